"""The tables and the picture of docs/shortcuts.md.

python -m benchmarks.shortcuts phantoms --home HOME --release ID    a release of the demo's config
python -m benchmarks.shortcuts mini-mias --data FOLDER              the data alone, no model
python -m benchmarks.shortcuts cause                                the phantoms' six numbers
python -m benchmarks.shortcuts write                                from benchmarks/shortcuts.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import name_run
from benchmarks.shortcut_phantoms import measure_cause
from benchmarks.written import markdown_table, write_between
from mammo.appraisal.shortcut_page import (
    ALONE,
    CHANGED,
    alone_row,
    change_row,
    draw_alone_on,
    draw_changes_on,
)
from mammo.appraisal.shortcut_release import check_release_shortcuts, read_views
from mammo.appraisal.shortcuts import ScoreChange, ShortcutAlone, ShortcutStudy, study_shortcuts
from mammo.data.index import read_index, target_values
from mammo.data.ingest import ingest
from mammo.evaluation.bootstrap import Interval
from mammo.geometry import PreprocessConfig
from mammo.release import find_release
from mammo.settings import Settings

RESULTS = Path(__file__).with_suffix(".json")
DOCS = Path(__file__).parents[1] / "docs"
MIAS_TARGETS = ("abnormal", "cancer", "dense")
MIAS_SIZE = PreprocessConfig(height=512, width=256)
CAUSE_EXAMS = 60
CAUSE_SIZE = PreprocessConfig(height=384, width=192)


def study_phantoms(home: Path, name: str) -> dict[str, Any]:
    """Study a release in its own installation."""
    settings = Settings(home=home, _env_file=None)
    directory = find_release(settings.releases_dir, name)
    release, study = check_release_shortcuts(settings, directory, progress=print)
    facts = {"trained_on": release.trained_on, "architecture": release.architecture}
    return {"phantoms": facts | study.to_dict()}


def study_mini_mias(folder: Path) -> dict[str, Any]:
    """Ask of each target what the shortcuts tell by themselves."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), _env_file=None)
        ingest("mini-mias", folder, settings, MIAS_SIZE)
        index = read_index(settings.index_path)
        found = {}
        for target in MIAS_TARGETS:
            rows = index[target_values(index, target).notna()].reset_index(drop=True)
            views = read_views(rows, settings.shards_dir, target)
            found[target] = study_shortcuts(views).to_dict()
    return {"mini_mias": found}


def study_cause() -> dict[str, Any]:
    """Ask why six numbers tell a phantom's cancer."""
    return {"cause": measure_cause(CAUSE_EXAMS, CAUSE_SIZE).to_dict()}


def read_study(data: dict[str, Any]) -> ShortcutStudy:
    """Build a study from its `to_dict`."""
    alone = [ShortcutAlone(**(one | {"auc": Interval(**one["auc"])})) for one in data["alone"]]
    changes = [
        ScoreChange(**(one | {"difference": Interval(**one["difference"])}))
        for one in data["changes"]
    ]
    counts = (data[name] for name in ("images", "patients", "positive"))
    return ShortcutStudy(*counts, tuple(alone), tuple(changes))


def write_docs(results: dict[str, Any]) -> None:
    """Write every table that there are results for, and the picture."""
    page = DOCS / "shortcuts.md"
    if "phantoms" in results:
        study = read_study(results["phantoms"])
        who = (
            f"{study.images} images of {study.patients} patients, {study.positive} with cancer. "
            f"Release: {results['phantoms']['architecture']}, {results['phantoms']['trained_on']}."
        )
        alone = markdown_table(list(ALONE), [list(alone_row(one)) for one in study.alone])
        changes = markdown_table(list(CHANGED), [list(change_row(one)) for one in study.changes])
        write_between(page, "phantoms", f"{who}\n\n{alone}\n\n{changes}")
        draw(study, DOCS / "pictures/shortcuts.png")
    if "mini_mias" in results:
        write_between(page, "mini-mias", _mias_table(results["mini_mias"]))
    if "cause" in results:
        write_between(page, "cause", _cause_text(results["cause"]))


def _mias_table(found: dict[str, Any]) -> str:
    studies = {target: read_study(data) for target, data in found.items()}
    head = ["seen alone", "may tell"]
    head += [f"{name} ({one.positive} of {one.images} images)" for name, one in studies.items()]
    names: dict[str, list[str]] = {}
    for study in studies.values():
        for one in study.alone:
            names.setdefault(one.name, ["yes" if one.anatomy else "no"])
    for name, cells in names.items():
        for study in studies.values():
            mine = [one for one in study.alone if one.name == name]
            auc = mine[0].auc if mine else None
            flag = " **betrays**" if mine and mine[0].betrays else ""
            span = "no box is known" if auc is None else f"{auc.low:.2f} to {auc.high:.2f}"
            cells.append(span if auc is None else f"{auc.value:.2f} ({span}){flag}")
    return markdown_table(head, [[name, *cells] for name, cells in names.items()])


def _cause_text(cause: dict[str, Any]) -> str:
    def told(name: str) -> str:
        one = cause[name]
        return f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"

    head = ["six numbers, cancer's side against the other", "AUC (95 %)"]
    low, high = cause["chance"]
    rows = [
        ["tumour drawn", told("drawn")],
        ["tumour not drawn", told("bare")],
        ["not drawn, the side by lot: what chance gives", f"{low:.2f} to {high:.2f}"],
    ]
    moved = [[name.replace("_", " "), f"{value:+.2f}"] for name, value in cause["moved"].items()]
    return "\n\n".join(
        [
            f"{cause['exams']} exams, the cancer's side rendered twice from the same random "
            f"numbers. Pixels that differ further than three boxes from the tumour: "
            f"{cause['far_pixels']}.",
            markdown_table(head, rows),
            markdown_table(["number", "moved by the tumour, in SD over images"], moved),
        ]
    )


def draw(study: ShortcutStudy, path: Path) -> None:
    """Draw both halves of the study side by side."""
    from matplotlib.figure import Figure

    rows = max(len(study.alone), len(study.changes))
    figure = Figure(figsize=(14, 1.2 + 0.36 * rows), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    draw_alone_on(left, study)
    draw_changes_on(right, study)
    for axes, title in ((left, "(a) what the data give away"), (right, "(b) what the model uses")):
        axes.set_title(title, loc="left", fontsize=11)
        axes.grid(axis="x", color="#e4e8ec")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run one part, keep its numbers, and write the docs from all that are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("phantoms", "mini-mias", "cause", "write"))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--release")
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if asked.part == "phantoms":
        found = study_phantoms(asked.home, asked.release)
    elif asked.part == "mini-mias":
        found = study_mini_mias(asked.data)
    elif asked.part == "cause":
        found = study_cause()
    # read only now: another part may have been written meanwhile
    kept = (json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}) | found
    kept["run"] = name_run("python -m benchmarks.shortcuts")
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    write_docs(kept)


if __name__ == "__main__":
    main()
