"""`mammo detect join` and `agreement`: a detector within a release, and how far both agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_files import say_refused
from flows.cli_terminal import (
    Json,
    quiet_mlflow,
    reported,
    say,
    settings_from_environment,
    show,
    show_rows,
    stage_bars,
)

if TYPE_CHECKING:
    from mammo.appraisal.agreement import AgreementTable
    from mammo.settings import Settings

KeepBoxFrame = Annotated[
    bool,
    typer.Option(
        "--keep-box-frame", help="Take boxes that seem to be counted from the bottom edge, too."
    ),
]


FAMILIAR = "whether its images look like those the release was tried on"


def add_joined_commands(commands: typer.Typer) -> None:
    """Add the two to `mammo detect`."""
    commands.command(
        epilog="Example: mammo detect join r-20261122-1a2b3c4d --detector detectors/ssd"
    )(join)
    commands.command(epilog="Example: mammo detect agreement r-20261122-1a2b3c4d --part holdout")(
        agreement
    )


@reported
def join(
    release: Annotated[str, typer.Argument(help="Release to join it to; it stays as it is.")],
    detector: Annotated[
        Path, typer.Option(help="A folder that `mammo detect train --release` wrote.")
    ],
    findings_only: Annotated[
        bool, typer.Option("--findings-only", help="Leave the scores the classifier's.")
    ] = False,
    folds: Annotated[
        int,
        typer.Option(min=0, help="Fit on all training patients, marked out of that many folds."),
    ] = 0,
    keep_box_frame: KeepBoxFrame = False,
    as_json: Json = False,
) -> None:
    """Make a child release that carries a detector, with a score that uses both.

    Its weights come from training patients that neither has seen; `mammo gate` judges
    the child like any other.
    """
    if folds == 1:
        raise typer.BadParameter("one fold leaves nobody to train on; give 0, or 2 and more")
    from mammo.continual.join import join_detector

    quiet_mlflow()
    settings = settings_from_environment()
    with stage_bars(quiet=as_json) as bars:
        joined = join_detector(
            settings, release, detector, findings_only=findings_only, folds=folds,
            keep_box_frame=keep_box_frame, progress=bars,
        )  # fmt: skip
    show(joined.to_dict(), as_json=as_json, title="Release")


@reported
def agreement(
    release: Annotated[str, typer.Argument(help="A release that carries a detector.")],
    part: Annotated[str, typer.Option(help="holdout; golden is sealed.")] = "holdout",
    as_json: Json = False,
) -> None:
    """Measure how far heat map and detector agree, with and without cancer, 95% intervals."""
    from mammo.appraisal.agreement import measure_release
    from mammo.release import find_release

    settings = settings_from_environment()
    directory = find_release(settings.releases_dir, release)
    with stage_bars(quiet=as_json) as bars:
        table = measure_release(
            settings, directory, part=part,
            progress=lambda done, total: bars("scoring", done, total),
        )  # fmt: skip
    if as_json:
        show(table.to_dict(), as_json=True)
        return
    show_rows(_rows(table), ("measure", "with", "without"), f"{release}: breasts of the {part}")


def _rows(table: AgreementTable) -> list[dict[str, Any]]:
    """Return the measures of breasts with and without the target, for people."""
    names: dict[str, tuple[str, ...]] = {
        "breasts": ("breasts",),
        "patients": ("patients",),
        "places that both name": ("share",),
        "first place the same": ("top",),
    }
    groups = table.groups
    for kind, words in (("places", "{} places a breast"), ("hits", "{} places in a finding")):
        names |= {words.format(one): (kind, one) for one in groups["with"][kind]}
    return [
        {"measure": name} | {group: _told(groups[group], path) for group in groups}
        for name, path in names.items()
    ]


def _told(group: dict[str, Any], path: tuple[str, ...]) -> str:
    found: Any = group
    for name in path:
        found = found[name]
    return "none" if found is None else str(found)


def screen_with_release(
    settings: Settings, name: str, files: Sequence[tuple[str, bytes]], *, as_json: bool
) -> None:
    """Show what a release, by id or folder, says of each exam among the files."""
    from mammo.appraisal.detector_files import screen_files
    from mammo.release import find_release

    folder = Path(name)
    directory = folder if folder.is_dir() else find_release(settings.releases_dir, name)
    reports, refused = screen_files(settings, directory, files)
    exams = [one.to_json() for one in reports]
    if as_json:
        show({"exams": exams, "refused": [asdict(one) for one in refused]}, as_json=True)
        return
    breasts = [{"exam": exam["exam"]} | one for exam in exams for one in exam["breasts"]]
    show_rows(breasts, ("exam", "laterality", "probability", "recall"), "Breasts")
    for exam in exams:
        if exam["abstention"]:
            say(f"exam {exam['exam']}: not to be relied on: {', '.join(exam['abstention'])}")
        if not exam["familiarity_judged"]:
            say(f"exam {exam['exam']}: not judged, for too few reference exams: {FAMILIAR}")
    rows = [row for exam in exams for view in exam["views"] for row in _places(view)]
    columns = ("view", "named by", "rests on", "x", "y", "width", "height")
    show_rows(rows, columns, f"{directory.name}: findings in pixels of the original")
    say_refused(refused)


def _places(view: dict[str, Any]) -> list[dict[str, Any]]:
    from mammo.findings import tell_sources

    name = f"{view['laterality']} {view['view']}"
    return [
        {
            "view": name, "named by": one["source"], "rests on": tell_sources(one),
            "x": f"{one['x_min']:.0f}", "y": f"{one['y_min']:.0f}",
            "width": f"{one['x_max'] - one['x_min']:.0f}",
            "height": f"{one['y_max'] - one['y_min']:.0f}",
        }
        for one in view["findings"]
    ] or [{"view": name, "named by": "none"}]  # fmt: skip
