"""`mammo evaluate`: from a release, or a file of scores, to numbers and a page.

evaluate_release(settings, "r-20261122-1a2b3c4d", level="exam")
evaluate_file(settings, Path("scores.csv"), prevalence=0.0078)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import mammo
from mammo.appraisal.evaluate import Evaluation, evaluate_scores
from mammo.appraisal.evaluate_page import Judged, build_sections, summary, write_out
from mammo.appraisal.evaluate_words import POSITIVES, Words, is_phantoms
from mammo.appraisal.groups import evaluate_groups, with_total
from mammo.appraisal.release_scores import read_release_scores
from mammo.appraisal.scores import OUT_OF_FOLD, UNTOUCHED, pick_part, read_scores
from mammo.data.durable import write_text
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES
from mammo.evaluation.subgroups import SubgroupResult
from mammo.exam import OperatingPoint
from mammo.explore.page import Origin
from mammo.release import Release
from mammo.settings import Settings

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What `mammo evaluate` was asked for; see `evaluate_scores`."""

    part: str | None = None
    level: str = "breast"
    prevalence: float | None = None
    resamples: int = DEFAULT_RESAMPLES
    seed: int = 0


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """The evaluation, its subgroups (the total first), and the page that was written."""

    path: Path
    evaluation: Evaluation
    groups: tuple[SubgroupResult, ...]
    facts: Mapping[str, str]
    warnings: tuple[str, ...]
    leads: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "page": str(self.path),
            "judged": dict(self.facts),
            "warnings": list(self.warnings),
            "sentences": list(self.leads),
            **self.evaluation.to_dict(),
            "subgroups": [one.to_dict() for one in self.groups],
        }


def evaluate_release(
    settings: Settings,
    directory: Path,
    asked: Asked = Asked(),
    *,
    to: Path | None = None,
    command: str = "mammo evaluate",
    progress: Progress | None = None,
) -> EvaluationReport:
    """Evaluate a release on patients it was not trained on, and write the page.

    The default part is ``untouched``, or ``out_of_fold`` where a release has
    nothing else. A release without ``scores.parquet`` is scored anew.

    Raises
    ------
    ReleaseNotFound, IndexMissing
        There is no release in that folder, or nothing to score it on.
    PartUnknown, LevelUnknown, ScoresInvalid, TooFewLabels
        As `evaluate_scores`.
    """
    release = Release.read(directory)
    scores = read_release_scores(directory, release, settings, progress)
    part = asked.part or (OUT_OF_FOLD if set(scores["part"]) == {OUT_OF_FOLD} else UNTOUCHED)
    facts = {
        "release": f"{release.id} ({release.kind} from {release.parent or 'no earlier release'})",
        "target": release.target,
        "trained on": release.trained_on,
        "network": f"{release.architecture}, {release.preprocess.height} x "
        f"{release.preprocess.width}; breasts by {release.aggregation}",
        "data version": release.data_version,
        "made": release.created_at[:10],
    }
    return _report(
        scores, part, asked, release.operating_points, facts,
        name=f"Release {release.id}", positive=release.target, trained_on=release.trained_on,
        origin=_origin(release.data_version, command),
        to=to or settings.reports_dir / "evaluate" / f"{release.id}.html",
    )  # fmt: skip


def evaluate_file(
    settings: Settings,
    path: Path,
    asked: Asked = Asked(),
    *,
    release: Release | None = None,
    to: Path | None = None,
    command: str = "mammo evaluate --scores",
) -> EvaluationReport:
    """Evaluate a table of scores (Parquet or CSV), by a release's operating points if given."""
    points = release.operating_points if release else {}
    facts = {"scores": path.name}
    facts |= {"operating points of": release.id} if release else {}
    return _report(
        read_scores(path), asked.part, asked, points, facts,
        name=path.name, positive=release.target if release else "cancer",
        trained_on="", origin=_origin("none (a table of scores)", command),
        to=to or settings.reports_dir / "evaluate" / f"{path.stem}.html",
    )  # fmt: skip


def _report(
    scores: pd.DataFrame,
    part: str | None,
    asked: Asked,
    points: Mapping[str, OperatingPoint],
    facts: Mapping[str, str],
    *,
    name: str,
    positive: str,
    trained_on: str,
    origin: Origin,
    to: Path,
) -> EvaluationReport:
    found = evaluate_scores(
        scores, points or None, level=asked.level, part=part, prevalence=asked.prevalence,
        resamples=asked.resamples, seed=asked.seed,
    )  # fmt: skip
    groups = with_total(evaluate_groups(found), found)
    rows = pick_part(scores, part)
    parts = rows["part"].fillna("not stated").value_counts().to_dict()
    words = Words(
        POSITIVES.get(positive, positive), bool(points), is_phantoms(rows, trained_on),
        {str(key): int(value) for key, value in parts.items()}, asked.prevalence,
    )  # fmt: skip
    judged = Judged(name, words, points, tuple(facts.items()))
    sections = build_sections(found, groups, judged)
    write_text(to, write_out(sections, judged, origin), drafts=to.absolute().parent)
    return EvaluationReport(to, found, tuple(groups), facts, *summary(sections))


def _origin(data_version: str, command: str) -> Origin:
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return Origin(data_version, command, now, mammo.__version__)
