"""What the drill found: one line a trial, as a table and as summary.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from flows.demo_report import Recorder
from mammo.settings import Settings
from monitoring.evidence_page import episode_file


@dataclass(frozen=True)
class Finding:
    """One trial: what was planted, what it should be called, and what the monitor said.

    ``causes`` are those of the episodes that opened, in order; ``exams`` those sent until
    then. ``evidence`` and ``evidently`` are pages that exist on disk, under the reports.
    """

    trial: str
    planted: str
    expected: str
    causes: tuple[str, ...]
    actions: tuple[str, ...]
    where: tuple[str, ...]
    probabilities: tuple[float | None, ...]
    exams: int
    evidence: tuple[str, ...]
    evidently: tuple[str, ...]

    @classmethod
    def of(
        cls,
        trial: str,
        planted: str,
        expected: str,
        exams: int,
        opened: Sequence[dict[str, Any]],
        settings: Settings,
    ) -> Self:
        """Read the episodes that a trial opened, and look for the pages that were written."""
        runs = {one["key"]: _run_of(one, settings) for one in opened}
        pages = [runs[one["key"]] / episode_file(one) for one in opened]
        verdicts = [page for run in set(runs.values()) for page in run.glob("evidently*.html")]
        return cls(
            trial,
            planted,
            expected,
            tuple(one["cause"] for one in opened),
            tuple(one["action"] for one in opened),
            tuple(one["stratum"] for one in opened),
            tuple(_probability(one) for one in opened),
            exams,
            tuple(_below(path, settings) for path in pages if path.is_file()),
            tuple(_below(path, settings) for path in sorted(verdicts)),
        )

    @property
    def is_right(self) -> bool:
        """True when the planted cause was named, nothing else acts, and the evidence is there."""
        if not self.expected:
            return not self.causes
        pairs = zip(self.causes, self.actions, strict=True)
        acting = {cause for cause, action in pairs if action != "note"}
        named = self.expected in self.causes and acting <= {self.expected}
        return named and bool(self.evidence) and bool(self.evidently)

    @property
    def verdict(self) -> str:
        """What the table says of it."""
        if self.is_right:
            return "right"
        if self.expected in self.causes and not (self.evidence and self.evidently):
            return "no page"
        return "wrong" if self.causes else "not found"


def _probability(episode: dict[str, Any]) -> float | None:
    triage = (episode["evidence"] or {}).get("triage") or {}
    chances = triage.get("probabilities") or {}
    return chances.get(episode["cause"])


def _run_of(episode: dict[str, Any], settings: Settings) -> Path:
    """Return the folder of the run that opened it: a scheduled one may have been first."""
    stamp = str(episode["report_url"]).rstrip("/").rpartition("/")[2]
    return settings.reports_dir / "drift" / stamp


def _below(path: Path, settings: Settings) -> str:
    return str(path.relative_to(settings.home.parent))


def finish_drill(
    directory: Path, recorder: Recorder, findings: Sequence[Finding], *, as_json: bool
) -> None:
    """Write summary.json; print it for machines, or a table for people."""
    stream = recorder.stream
    summary = {
        "findings": [asdict(one) | {"verdict": one.verdict} for one in findings],
        "right": sum(one.is_right for one in findings),
        "trials": len(findings),
        "stages": recorder.stages,
        "failure": recorder.failure,
        "requests": {"sent": stream.sent, "failed": stream.failed} if stream else {},
        "errors": stream.errors[:10] if stream else [],
    }
    (directory / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if as_json:
        print(json.dumps(summary))
        return
    _print_table(findings, directory)


def _print_table(findings: Sequence[Finding], directory: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "trial", "planted", "should be", "named", "does", "where", "exams", "", title="Drill"
    )
    for one in findings:
        table.add_row(
            one.trial,
            one.planted,
            one.expected or "nothing",
            "\n".join(_named(one)) or "nothing",
            "\n".join(one.actions),
            "\n".join(one.where),
            str(one.exams),
            one.verdict,
        )
    console = Console(width=140, highlight=False)
    console.print(table)
    for one in findings:
        for page in (*one.evidence, *one.evidently):
            console.print(f"{one.trial}: {directory / page}", soft_wrap=True)


def _named(one: Finding) -> list[str]:
    chances = zip(one.causes, one.probabilities, strict=True)
    return [cause if p is None else f"{cause} ({p:.0%})" for cause, p in chances]
