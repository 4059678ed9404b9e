"""The demo's last screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows import stack
from mammo.settings import Settings

WIDTH = 110


def print_tables(summary: dict[str, Any], settings: Settings, directory: Path, *, up: bool) -> None:
    """Print stages, phases, what happened, and where to look."""
    console = Console(width=WIDTH, highlight=False)
    print_summary(summary, console)
    console.print(f"picture: {directory / 'timeline.png'}; summary: {directory / 'summary.json'}")
    if up:
        for name, link in stack.links(settings).items():
            console.print(f"{name}: {link}")
        console.print(f"The stack is still up. To end it: MAMMO_HOME={settings.home} mammo down")


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print what summary.json says: stages, phases, what happened."""
    console.print(_stages(summary))
    console.print(_phases(summary))
    for line in _facts(summary):
        console.print(line)


def _stages(summary: dict[str, Any]) -> Table:
    table = Table("stage", "status", "seconds", title="What each stage took")
    for stage in summary["stages"]:
        table.add_row(stage["name"], stage["status"], f"{stage['seconds']:.1f}")
    table.add_row("total", "", f"{summary['seconds_total']:.1f}")
    return table


def _phases(summary: dict[str, Any]) -> Table:
    title = "The stream (phantoms; 95% intervals, by patient)"
    table = Table("scanner", "release", "exams", "cancers", "recall rate", "AUC", title=title)
    for phase in summary["phases"]:
        table.add_row(
            phase["scanner"],
            phase["release"],
            str(phase["exams"]),
            str(phase["cancers"]),
            _interval(phase["recall"]),
            _interval(phase["auc"]),
        )
    return table


def _interval(value: dict[str, float] | None) -> str:
    if value is None:
        return "too few"
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def _facts(summary: dict[str, Any]) -> list[str]:
    champion, episode, requests = summary["champion"], summary["episode"], summary["requests"]
    lines = [f"FAILED: {summary['failure']}"] if summary["failure"] else []
    if champion["auc"] is not None:
        lines.append(
            f"champion {champion['release']}: golden AUC {champion['auc']:.3f} "
            f"({champion['auc_low']:.3f} to {champion['auc_high']:.3f}), "
            f"MLflow version {champion['mlflow_version']}, Bento {champion['bento_tag']}"
        )
    lines += [
        f"real exam {exam['exam']} ({exam['source']}): score {exam['score']:.3f}, "
        f"{exam['decision']}; {', '.join(exam['quality']) or 'no quality code'}"
        for exam in summary["real_exams"]
    ]
    if dicom := summary["by_dicom"]:
        back = ", ".join(dicom["reports"])
        lines.append(f"exam {dicom['exam']} by DICOM: {dicom['state']}; back by DICOM: {back}")
    codes = ", ".join(sorted(one["code"] for one in summary["quarantined"]))
    lines.append(f"{len(summary['quarantined'])} bad files in quarantine: {codes or 'none'}")
    if episode["key"]:
        lines.append(
            f"episode {episode['cause']}: alarm after {episode['exams_to_alarm']} exams, "
            f"{episode['action']}, started by {episode['started_by']}"
        )
        lines.append(f"the gate chose {episode['chosen'] or 'none: what serves stays'}")
        lines += [
            f"  it refused {release}: {', '.join(clauses)}"
            for release, clauses in episode["refused"].items()
        ]
    if summary["refused"]:
        clauses = ", ".join(summary["refused"]["clauses"])
        lines.append(f"refused {summary['refused']['release']}: {clauses}")
    gates = summary["gates"]
    if gates["looks"]:
        lines.append(
            f"{gates['looks']} looks at the golden set, {gates['refused']} refused; they spent "
            f"{gates['spent']:.3f} of its alpha of {gates['total']:.3f}"
        )
    if summary["change_records"]:
        lines.append(f"{summary['change_records']} change records, all verify")
    if summary["stopped_by_guard"]:
        lines.append(f"the guard stopped {summary['stopped_by_guard']} on trial")
    lines.append(
        f"requests: {requests['sent']} sent, {requests['failed']} failed; "
        f"peak memory {summary['peak_mb']} MB"
    )
    return lines
