"""What the drill found: a table for people, summary.json for machines, and where to look."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from flows.demo_report import Recorder
from flows.drill_checks import Claim
from flows.drill_scenarios import Scenario
from mammo.settings import Settings
from monitoring.evidence_page import episode_file

ABOUT = "phantoms: these numbers say that the loop works, not how well it reads mammograms"


@dataclass(frozen=True)
class Finding:
    """One scenario: what was planted, what the loop made of it, and what that shows.

    ``named`` has what the monitor opened, in order: cause, action, stratum, probability (of
    the cause) and exams until then; ``exams`` were sent until it was over. ``pages`` exist
    on disk, below the drill's directory. ``figures`` are measured values beside the claims.
    """

    scenario: str
    planted: str
    expected: str
    exams: int = 0
    seconds: float = 0.0
    named: tuple[dict[str, Any], ...] = ()
    claims: tuple[Claim, ...] = ()
    pages: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        exams: int,
        opened: Sequence[dict[str, Any]],
        claims: Sequence[Claim],
        pages: Sequence[str],
        figures: dict[str, Any],
        began: float,
    ) -> Self:
        """Put together what was seen; ``began`` is of the monotonic clock."""
        return cls(
            scenario.name,
            scenario.planted,
            " and ".join(" or ".join(any_of) for any_of in scenario.causes) or "nothing",
            exams,
            round(time.monotonic() - began, 1),
            tuple(_named(one) for one in opened),
            tuple(claims),
            tuple(pages),
            figures,
        )

    @classmethod
    def ended(cls, name: str, planted: str, why: str) -> Self:
        """Return what is told of a scenario that an error ended."""
        return cls(name, planted, "", claims=(Claim("came to its end", False, why),))

    @property
    def is_right(self) -> bool:
        """True when every claim holds."""
        return bool(self.claims) and all(one.holds for one in self.claims)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"right": self.is_right}


def _named(episode: dict[str, Any]) -> dict[str, Any]:
    triage = (episode["evidence"] or {}).get("triage") or {}
    return {
        "key": episode["key"],
        "cause": episode["cause"],
        "action": episode["action"],
        "stratum": episode["stratum"],
        "probability": (triage.get("probabilities") or {}).get(episode["cause"]),
        "exams": episode.get("exams_to_alarm"),
    }


def pages_of(opened: Sequence[dict[str, Any]], settings: Settings) -> tuple[list[str], list[str]]:
    """Return the pages of evidence and of Evidently that the episodes' runs left on disk."""
    runs = {one["key"]: _run_of(one, settings) for one in opened}
    pages = [runs[one["key"]] / episode_file(one) for one in opened]
    verdicts = sorted(page for run in set(runs.values()) for page in run.glob("evidently*.html"))
    home = settings.home.parent
    ours = [str(one.relative_to(home)) for one in pages if one.is_file()]
    return ours, [str(one.relative_to(home)) for one in verdicts]


def _run_of(episode: dict[str, Any], settings: Settings) -> Path:
    """Return the folder of the run that opened it: a scheduled one may have been first."""
    stamp = str(episode["report_url"]).rstrip("/").rpartition("/")[2]
    return settings.reports_dir / "drift" / stamp


def finish_drill(
    directory: Path,
    settings: Settings,
    recorder: Recorder,
    findings: Sequence[Finding],
    *,
    as_json: bool,
) -> None:
    """Write summary.json; print it for machines, or a table for people."""
    stream = recorder.stream
    summary = {
        "code": recorder.code,
        "findings": [one.to_dict() for one in findings],
        "right": sum(one.is_right for one in findings),
        "drills": len(findings),
        "stages": recorder.stages,
        "seconds_total": round(time.monotonic() - recorder.began, 1),
        "failure": recorder.failure,
        "requests": {"sent": stream.sent, "failed": stream.failed} if stream else {},
        "errors": stream.errors[:10] if stream else [],
        "links": _links(settings),
        "about": ABOUT,
    }
    (directory / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if as_json:
        print(json.dumps(summary))
        return
    _print_table(findings, directory, summary)


def _links(settings: Settings) -> dict[str, str]:
    """Return what a person opens afterwards, below the drill's directory."""
    places = {
        "history of changes": settings.reports_dir / "changes" / "index.html",
        "runs of the monitor": settings.reports_dir / "drift" / "index.html",
    }
    home = settings.home.parent
    return {name: str(one.relative_to(home)) for name, one in places.items() if one.is_file()}


def _print_table(findings: Sequence[Finding], directory: Path, summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("scenario", "planted", "should be", "named", "exams", "s", "", title="Drills")
    for one in findings:
        named = "\n".join(_words(row) for row in one.named) or "nothing"
        exams, seconds = str(one.exams), f"{one.seconds:.0f}"
        verdict = "right" if one.is_right else "WRONG"
        table.add_row(one.scenario, one.planted, one.expected, named, exams, seconds, verdict)
    console = Console(width=140, highlight=False, markup=False)
    console.print(table)
    for one in findings:
        for claim in one.claims:
            said = "holds" if claim.holds else "FAILS"
            console.print(f"{one.scenario}: {claim.name} {said}: {claim.text}", soft_wrap=True)
    for one in findings:
        for page in one.pages:
            console.print(f"{one.scenario}: {directory / page}", soft_wrap=True)
    for name, place in summary["links"].items():
        console.print(f"{name}: {directory / place}", soft_wrap=True)
    console.print(
        f"{summary['right']} of {summary['drills']} drills are right, in "
        f"{summary['seconds_total'] / 60:.0f} minutes; {ABOUT}"
    )


def _words(row: dict[str, Any]) -> str:
    chance = row["probability"]
    certain = "" if chance is None else f" ({chance:.0%})"
    return f"{row['cause']}{certain}: {row['action']}"
