"""What late outcomes say of the release in service: one call for the monitor's run.

Outcomes are joined with the first score of their exam; troubles get a code
(`monitoring.outcome_labels`); the control takes what has become complete since the
last run (`monitoring.outcome_control`); performance is told by maturity
(`monitoring.maturity`), and estimated where outcomes are still to come
(`monitoring.estimate`), as advice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from mammo.prediction_log import PredictionLog, to_utc
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.maturity import Cohort, Followed, MaturityConfig, cohort_figures, maturity_table
from monitoring.outcome_control import OutcomeControl
from monitoring.outcome_findings import OutcomeConfig, OutcomeFindings, ScoredExams
from monitoring.outcome_labels import (
    CLOCK_DAYS,
    Code,
    Labels,
    codes_of,
    days_since_epoch,
    label_days,
    scored_days,
)
from monitoring.outcome_reference import RECALLED


@dataclass(frozen=True)
class OutcomeReport:
    """What outcomes say, and the ``state`` (JSON) that the next run goes on from."""

    release_id: str
    exams: int = 0
    known: int = 0
    findings: OutcomeFindings = field(default_factory=OutcomeFindings)
    maturity: Sequence[Mapping[str, Any]] = ()
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
    """
    exams, outcomes, today = log.scored_exams(release_id), log.outcomes(), to_utc(now)
    before = state if state.get("release_id") == release_id else {}
    at = float(days_since_epoch(pd.Series([today]))[0])
    days, clocks = scored_days(exams, today)
    labels = label_days(exams, outcomes, today)
    control = _resume(reference, before, config)
    control.take(_scored(exams, days, labels, config), at)
    followed = _followed(exams, days, labels)
    figures = maturity_table(followed, at, _settings(control, config), before.get("maturity", {}))
    compared = before.get("reference") or _reference_figures(reference, config)
    counts = {
        "OUTCOME_UNKNOWN_EXAM": _unknown(log, exams, outcomes),
        **labels.counts,
        **clocks,
        "NOW_BACKWARDS": int(at < before.get("now_day", at) - CLOCK_DAYS),
        "OUTCOMES_LATE": _late(control, days, at),
        "REFERENCE_WITHOUT_OUTCOMES": int(control.reference["cancers"] == 0),
    }
    return OutcomeReport(
        release_id,
        exams=len(exams),
        known=int(np.isfinite(labels.told_day).sum()),
        findings=control.findings(),
        maturity=[*figures.values(), *compared],
        codes=codes_of(counts),
        state={
            "release_id": release_id,
            "now_day": max(at, before.get("now_day", at)),
            "control": control.to_dict(),
            "maturity": figures,
            "reference": compared,
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
        _cancer(reference),
        reference["recall"],
        settings,
        reference_stratum=_strata(reference, config),
    )


def _cancer(reference: pd.DataFrame) -> Floats:
    """Return 1, 0 or NaN (unknown) for each reference exam, (n,)."""
    if "cancer" not in reference:
        return np.full(len(reference), np.nan)
    known = reference["cancer"].astype("Float64")
    return np.asarray(known.to_numpy(float, na_value=np.nan), dtype=np.float64)


def _settings(control: OutcomeControl, config: MonitorConfig) -> MaturityConfig:
    seen = control.reference
    others = max(seen["exams"] - seen["recalled"], 1.0)
    return MaturityConfig(
        config.bootstrap, config.seed, config.min_positives, seen["missed"] / others
    )


def _reference_figures(reference: pd.DataFrame, config: MonitorConfig) -> list[dict[str, Any]]:
    """Return the row of the release's reference, whose outcomes are final; none without any."""
    cancer = _cancer(reference)
    if not (cancer == 1).any():
        return []
    cohort = Cohort(
        reference["patient_id"].to_numpy(),
        reference["logit"].to_numpy(dtype=float),
        reference["recall"].to_numpy(dtype=bool),
        ~np.isnan(cancer),
        cancer == 1,
    )
    settings = MaturityConfig(config.bootstrap, config.seed, config.min_positives)
    return [cohort_figures(24, "reference", cohort.part(cohort.told), settings)]


def _followed(exams: pd.DataFrame, days: Floats, labels: Labels) -> Followed:
    return Followed(
        exams["patient_id"].to_numpy(),
        exams["logit"].to_numpy(dtype=float),
        exams["recall"].to_numpy(dtype=bool),
        days,
        labels.told_day,
        labels.cancer_day,
    )


def _scored(
    exams: pd.DataFrame, days: Floats, labels: Labels, config: MonitorConfig
) -> ScoredExams:
    return ScoredExams(
        days,
        exams["logit"].to_numpy(dtype=float),
        exams["recall"].to_numpy(dtype=bool),
        labels.told_day,
        labels.cancer_day,
        _strata(exams, config),
    )


def _strata(frame: pd.DataFrame, config: MonitorConfig) -> np.ndarray:
    """Return the number of each exam's stratum, int64 (n,)."""
    keys = [name for name in config.strata if name in frame]
    if not keys or frame.empty:
        return np.zeros(len(frame), dtype=np.int64)
    return frame.groupby(keys, sort=False, dropna=False).ngroup().to_numpy(dtype=np.int64)


def _unknown(log: PredictionLog, exams: pd.DataFrame, outcomes: pd.DataFrame) -> int:
    """Return how many outcomes are of exams that no release has scored."""
    others = outcomes["exam_id"][~outcomes["exam_id"].isin(exams["exam_id"])]
    return int((~others.isin(log.known_exams(others))).sum())


def _late(control: OutcomeControl, days: Floats, at: float) -> int:
    """Return how many exams wait longer than the maturity for their recalled's outcomes."""
    waiting = days[control.taken[RECALLED] :]
    waiting = waiting[: len(waiting) - len(waiting) % control.config.block_exams]
    return int((waiting + control.config.recalled.maturity_days < at).sum())
