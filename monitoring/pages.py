"""The pages of a monitor run: one per run, and an index of runs. No script, no network."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import IO, Any

from monitoring.evidence_page import episode_file
from monitoring.outcome_section import outcomes_section
from monitoring.page import page
from monitoring.sections import (
    DISTANCE_NOTE,
    codes_section,
    distances_section,
    evidently_section,
    nodes_section,
)
from monitoring.words import cause_words

WRITING = ".writing"
"""The file whose lock tells that a run writes its pages."""


def write_run_page(directory: Path, report: Mapping[str, Any]) -> None:
    """Write index.html and report.json of one run into its folder."""
    (directory / "report.json").write_text(json.dumps(report, indent=1, default=str))
    body = [
        f"<h1>Monitor run {escape(report['stamp'])}</h1>",
        f"<p>Release <b>{escape(report['release_id'])}</b> · {report['read']} new exams · "
        f"policy {escape(report['policy'])}{_budget(report)} · <a href='../'>all runs</a></p>",
        *(_episode(one, directory) for one in report["episodes_opened"]),
        *_going_on(directory, report),
        codes_section(report.get("codes", ())),
        "<h2>The programme</h2>",
        nodes_section(report["strata"]),
        *_picture(directory),
        "<h2>Outcomes</h2>",
        outcomes_section(report),
        *_distances(report.get("distances") or {}),
        "<h2>Evidently</h2>",
        evidently_section(report["drift"]),
        *(f"<p class=quiet>{escape(note)}</p>" for note in report["notes"]),
        "<p class=quiet><a href='report.json'>report.json</a> has all of this for machines.</p>",
    ]
    (directory / "index.html").write_text(page(f"Monitor run {report['stamp']}", body))


def run_links(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (key, URL, words) of what a run wrote: its page, the evidence, Evidently's reports.

    Keys are of lower-case letters, digits and dashes, and the same in every run for
    the same thing. Nothing where this run wrote no report.
    """
    url = report.get("report_url")
    if not url or not str(url).rstrip("/").endswith(str(report["stamp"])):
        return []
    links = [("drift-report", url, "Drift report")]
    for one in report["episodes_opened"]:
        words = f"Evidence: {cause_words(one['cause'])}, {one['stratum']}"
        links.append((_key("evidence", one["key"]), f"{url}{episode_file(one)}", words))
    for name, verdict in report["drift"].items():
        if verdict.get("page"):
            address = f"{url}{verdict['page']}"
            links.append((_key("evidently", name), address, f"Evidently: {name}"))
            data = f"{address.removesuffix('.html')}.json"
            links.append((_key("evidently-json", name), data, f"Evidently, JSON: {name}"))
    return links


def _key(kind: str, name: str) -> str:
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


@contextmanager
def draft_folder(root: Path, stamp: str) -> Iterator[Path]:
    """Yield a new folder to write a run's pages in before they are put in place.

    What killed runs have left is removed, unless another run is writing just now.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / WRITING).open("a") as lock:
        if _is_alone(lock):
            for path in root.glob(".*"):
                if path.is_dir():
                    shutil.rmtree(path)
        fcntl.flock(lock, fcntl.LOCK_SH)
        draft = root / f".{stamp}.{os.getpid()}"
        draft.mkdir()
        yield draft


def _is_alone(lock: IO[str]) -> bool:
    """Return whether nobody else writes; every writer shares the lock, a kill lets go of it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_index(root: Path, *, keep: int = 40, linked: Iterable[str] = ()) -> None:
    """Write the list of runs, newest first; drop runs beyond ``keep`` that no episode links."""
    runs = sorted((path for path in root.iterdir() if _is_run(path)), reverse=True)
    texts = " ".join(str(url) for url in linked)
    for path in runs[keep:]:
        if path.name not in texts:
            shutil.rmtree(path, ignore_errors=True)
    rows = [_run_row(path) for path in runs if path.exists()]
    table = (
        "<table><tr><th>Run (UTC)</th><th>Release</th><th>New exams</th><th>Strata in alarm</th>"
        f"<th>Episodes opened</th><th>Evidently</th></tr>{''.join(rows)}</table>"
    )
    draft = root / ".index.html"
    draft.write_text(page("Drift reports", ["<h1>Drift reports</h1>", table]))
    draft.replace(root / "index.html")


def _is_run(path: Path) -> bool:
    return path.is_dir() and (path / "report.json").is_file() and not path.name.startswith(".")


def _run_row(path: Path) -> str:
    report = json.loads((path / "report.json").read_text())
    alarms = [name for name, one in report["strata"].items() if one["state"] == "confirmed"]
    opened = [f"{one['cause']} → {one['action']}" for one in report["episodes_opened"]]
    return (
        f"<tr><td><a href='{path.name}/'>{path.name}</a></td>"
        f"<td>{escape(report['release_id'])}</td><td class=n>{report['read']}</td>"
        f"<td>{escape('; '.join(alarms))}</td><td>{escape('; '.join(opened))}</td>"
        f"<td>{escape(_verdict(report['drift']))}</td></tr>"
    )


def _budget(report: Mapping[str, Any]) -> str:
    """Say what the control's thresholds are set to; Evidently's rule has no budget."""
    budget = report.get("false_alarms_a_year")
    if report["policy"] != "control" or budget is None:
        return ""
    return f" · at most {budget:g} confirmed false alarms a year"


def _episode(one: Mapping[str, Any], directory: Path) -> str:
    after = one["exams_to_alarm"]
    when = f" · confirmed after {after} exams" if after is not None else ""
    file = episode_file(one)
    link = f" · <a href='{file}'>evidence</a>" if (directory / file).exists() else ""
    return (
        f"<div class='box {escape(one['action'])}'><b>{escape(one['stratum'])}</b>: "
        f"{escape(cause_words(one['cause']))} → "
        f"<b>{escape(one['action'])}</b>{when}{link}<br>{escape(one['reason'])}<br>"
        f"<span class=quiet>{escape(one['key'])}</span></div>"
    )


def _going_on(directory: Path, report: Mapping[str, Any]) -> list[str]:
    """Link the evidence of alarms that opened no episode in this run: theirs is open already."""
    opened = {one["key"] for one in report["episodes_opened"]}
    rest = [one for one in report.get("alarms", ()) if one["key"] not in opened]
    lines = []
    for one in rest:
        file = episode_file(one)
        words = escape(f"{one['stratum']}: {cause_words(one['cause'])}")
        linked = f"<a href='{file}'>{words}</a>" if (directory / file).exists() else words
        lines.append(f"<li>{linked} <span class=quiet>{escape(one['key'])}</span></li>")
    return [f"<p>Going on since an earlier run:</p><ul>{''.join(lines)}</ul>"] if lines else []


def _distances(distances: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the table of the largest node; the others folded."""
    if not distances:
        return []
    parts = ["<h2>Recent exams beside the reference</h2>", DISTANCE_NOTE]
    for at, (name, shifts) in enumerate(distances.items()):
        shown = "" if at else " open"
        exams = next(iter(shifts.values()))["exams"] if shifts else 0
        parts.append(
            f"<details{shown}><summary>{escape(name)}, {exams:,} exams</summary>"
            f"{distances_section(shifts)}</details>"
        )
    return parts


def _picture(directory: Path) -> list[str]:
    if not (directory / "control.svg").exists():
        return []
    return [
        "<h2>Control</h2><img src='control.svg' alt='CUSUM and e-process of each part'>"
        "<p class=quiet>Each line is a channel's CUSUM as a part of its threshold; dashed the "
        "e-process. The CUSUM alerts, the e-process confirms.</p>"
    ]


def _verdict(drift: Mapping[str, Mapping[str, Any]]) -> str:
    verdict = drift.get("all exams")
    if not verdict or verdict["drifted"] is None:
        return ""
    return f"{'drift' if verdict['drifted'] else 'no drift'} ({verdict['share']:.0%})"
