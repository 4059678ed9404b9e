"""What late outcomes say of the release in service: one call for the monitor's run.

Outcomes are joined with the first score of their exam; troubles get a code
(`monitoring.outcome_labels`); the control takes what has become complete since the
last run (`monitoring.outcome_control`); performance is told by maturity
(`monitoring.maturity`), and estimated where outcomes are still to come
(`monitoring.estimate`), as advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mammo.prediction_log import PredictionLog, to_utc
from monitoring.config import MonitorConfig
from monitoring.estimate import estimate_performance
from monitoring.maturity import MaturityConfig, cohort_figures, maturity_table
from monitoring.outcome_control import OutcomeControl
from monitoring.outcome_findings import OutcomeConfig, OutcomeFindings, ScoredExams
from monitoring.outcome_joined import (
    JoinedExams,
    agreement_of,
    cancer_of,
    cohort_of,
    stratum_numbers,
)
from monitoring.outcome_labels import CLOCK_DAYS, Code, codes_of
from monitoring.outcome_reference import EVERYONE, RECALLED


@dataclass(frozen=True)
class OutcomeReport:
    """What outcomes say, and the ``state`` (JSON) that the next run goes on from.

    ``maturity`` has the figures (`monitoring.maturity.cohort_figures`) of each maturity
    reached; before the first, those of exams verified throughout, at 0 months.
    ``reference`` has the same of the release's reference, or None where it lacks outcomes.
    """

    release_id: str
    exams: int = 0
    known: int = 0
    findings: OutcomeFindings = field(default_factory=OutcomeFindings)
    maturity: Sequence[Mapping[str, Any]] = ()
    reference: Mapping[str, Any] | None = None
    estimate: Mapping[str, Any] = field(default_factory=dict)
    codes: Sequence[Code] = ()
    notes: Sequence[str] = ()
    state: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data; the state is not in it."""
        return {
            "release_id": self.release_id,
            "exams": self.exams,
            "known": self.known,
            "findings": self.findings.to_dict(),
            "maturity": [dict(one) for one in self.maturity],
            "reference": dict(self.reference) if self.reference else None,
            "estimate": dict(self.estimate),
            "codes": [one.to_dict() for one in self.codes],
            "notes": list(self.notes),
        }


def measure_outcomes(
    log: PredictionLog,
    release_id: str,
    reference: pd.DataFrame,
    state: Mapping[str, Any],
    config: MonitorConfig,
    now: datetime,
    *,
    left_reference: bool = False,
    answered: Mapping[str, float] | None = None,
) -> OutcomeReport:
    """Take the outcomes that have come, and report.

    Parameters
    ----------
    reference
        The release's reference exams in order of acquisition: logit, recall, cancer
        (may be null or missing), patient_id, site, scanner, software_version.
    state
        `OutcomeReport.state` of the run before, or empty. That of another release is
        not gone on from.
    now
        The time of this run. Behind that of the run before it takes nothing new.
    left_reference
        The embeddings have left the reference: estimates without outcomes are then off.
    answered
        The day up to which outcomes had been taken, by the key of each closed episode about
        them (`monitoring.episodes.answered_outcomes`). What they confirmed by then is
        answered: it is confirmed again by outcomes that come later alone, or a retraining
        that the gate refused would be started by every run.
    """
    exams, outcomes = log.scored_exams(release_id), log.outcomes()
    before = state if state.get("release_id") == release_id else {}
    joined = JoinedExams.of(exams, outcomes, to_utc(now))
    control = _resume(reference, before, config)
    known = before.get("answered", ())
    answers = {key: day for key, day in (answered or {}).items() if key not in known}
    _take(control, joined.scored(config.strata), joined.today, answers.values())
    settings = _settings(control, config)
    figures = _figures(joined, control, settings, before.get("maturity", {}))
    compared = before.get("reference") or _reference_figures(reference, settings)
    findings = control.findings()
    estimate = estimate_performance(
        joined.pending(),
        [joined.agreement(), agreement_of(reference)],
        left_reference=left_reference,
        outcomes_moved=findings.confirmed,
        seed=config.seed,
    )
    last_day = float(before.get("now_day", joined.today))
    return OutcomeReport(
        release_id,
        exams=len(exams),
        known=int(np.isfinite(joined.labels.told_day).sum()),
        findings=findings,
        maturity=list(figures.values()),
        reference=compared,
        estimate=estimate,
        codes=codes_of(_unknown(log, exams, outcomes) | _counts(joined, control, last_day)),
        state={
            "release_id": release_id,
            "now_day": max(joined.today, last_day),
            "control": control.to_dict(),
            "maturity": figures,
            "reference": compared,
            "answered": sorted({*known, *answers}),
        },
    )


def _resume(
    reference: pd.DataFrame, before: Mapping[str, Any], config: MonitorConfig
) -> OutcomeControl:
    """Return the release's control as it was left, or a new one."""
    settings = OutcomeConfig.of(config)
    if before:
        return OutcomeControl.from_dict(before["control"], settings)
    return OutcomeControl.start(
        reference["logit"],
        cancer_of(reference),
        reference["recall"],
        settings,
        reference_stratum=stratum_numbers(reference, config.strata),
    )


def _take(
    control: OutcomeControl, exams: ScoredExams, today: float, answered: Iterable[float]
) -> None:
    """Take the outcomes by today; the evidence starts over after each day that was answered."""
    for day in sorted(answered):
        control.take(exams, min(day, today))
        control.restart()
    control.take(exams, today)


def _settings(control: OutcomeControl, config: MonitorConfig) -> MaturityConfig:
    seen = control.reference
    missed = seen["missed"] / max(seen["exams"] - seen["recalled"], 1.0)
    return MaturityConfig(config.bootstrap, config.seed, config.min_positives, missed)


def _figures(
    joined: JoinedExams,
    control: OutcomeControl,
    settings: MaturityConfig,
    known: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return the figures by maturity; before the first, of what is verified throughout."""
    table = maturity_table(joined.followed(), joined.today, settings, known)
    taken = control.taken[EVERYONE]
    if table or not taken:
        return table
    cohort = joined.followed().known_by(joined.today)
    cohort = cohort.part(cohort.told & (np.arange(len(cohort.told)) < taken))
    if not len(cohort.told):
        return {}
    return {"0": cohort_figures(0, "verified throughout", cohort, settings)}


def _reference_figures(reference: pd.DataFrame, settings: MaturityConfig) -> dict[str, Any] | None:
    """Return the figures of the release's reference, whose outcomes are final; None without any."""
    cohort = cohort_of(reference)
    return cohort_figures(24, "reference", cohort, settings) if cohort.cancer.any() else None


def _unknown(log: PredictionLog, exams: pd.DataFrame, outcomes: pd.DataFrame) -> dict[str, int]:
    """Count the outcomes of exams that no release has scored."""
    others = outcomes["exam_id"][~outcomes["exam_id"].isin(exams["exam_id"])]
    return {"OUTCOME_UNKNOWN_EXAM": int((~others.isin(log.known_exams(others))).sum())}


def _counts(joined: JoinedExams, control: OutcomeControl, last_day: float) -> dict[str, int]:
    """Count what was amiss, by code."""
    waiting = joined.day[control.taken[RECALLED] :]
    waiting = waiting[: len(waiting) - len(waiting) % control.config.block_exams]
    late = waiting + control.config.recalled.maturity_days < joined.today
    return joined.counts | {
        "NOW_BACKWARDS": int(joined.today < last_day - CLOCK_DAYS),
        "OUTCOMES_LATE": int(late.sum()),
        "REFERENCE_WITHOUT_OUTCOMES": int(control.reference["cancers"] == 0),
    }
