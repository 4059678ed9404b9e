"""Exams of a release joined with their outcomes, as control, figures and estimate take them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.conformal import Floats
from monitoring.estimate import Agreement, Scored
from monitoring.maturity import MATURITIES, Cohort, Followed
from monitoring.outcome_findings import ScoredExams
from monitoring.outcome_labels import Labels, days_since_epoch, label_days, scored_days


@dataclass(frozen=True)
class JoinedExams:
    """Exams in the order of the log, when they were scored and told of, and today (days)."""

    exams: pd.DataFrame
    day: Floats
    labels: Labels
    today: float
    counts: dict[str, int]

    @classmethod
    def of(cls, exams: pd.DataFrame, outcomes: pd.DataFrame, now: datetime) -> Self:
        """Join `PredictionLog.scored_exams` with `PredictionLog.outcomes`."""
        day, clocks = scored_days(exams, now)
        labels = label_days(exams, outcomes, now)
        today = float(days_since_epoch(pd.Series([now]))[0])
        return cls(exams, day, labels, today, labels.counts | clocks)

    def scored(self, keys: tuple[str, ...]) -> ScoredExams:
        """Return what the control takes; exams that agree in ``keys`` are of a stratum."""
        return ScoredExams(
            self.day,
            self._floats("logit"),
            self._recall,
            self.labels.told_day,
            self.labels.cancer_day,
            stratum_numbers(self.exams, keys),
        )

    def followed(self) -> Followed:
        """Return what figures by maturity are made of."""
        return Followed(
            self.exams["patient_id"].to_numpy(),
            self._floats("logit"),
            self._recall,
            self.day,
            self.labels.told_day,
            self.labels.cancer_day,
        )

    def pending(self) -> Scored:
        """Return the exams too young for any figure by maturity."""
        young = self.day + MATURITIES[3] > self.today
        return Scored(self._floats("probability")[young], self._recall[young])

    def agreement(self) -> Agreement:
        """Return how the probabilities did among the recalled with an outcome by 3 months."""
        cohort, old = self.followed().at(MATURITIES[3], self.today)
        known = cohort.recall & cohort.told
        expected = np.nansum(self._floats("probability")[old][known])
        return Agreement(int(cohort.cancer[known].sum()), float(expected), "among the recalled")

    @property
    def _recall(self) -> NDArray[np.bool_]:
        return self.exams["recall"].to_numpy(dtype=bool)

    def _floats(self, name: str) -> Floats:
        return self.exams[name].to_numpy(dtype=float)


def stratum_numbers(frame: pd.DataFrame, keys: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the number of each exam's stratum, int64 (n,); all 0 without keys."""
    known = [name for name in keys if name in frame]
    if not known or frame.empty:
        return np.zeros(len(frame), dtype=np.int64)
    groups = frame.groupby(known, sort=False, dropna=False).ngroup()
    return np.asarray(groups, dtype=np.int64)


def cancer_of(reference: pd.DataFrame) -> Floats:
    """Return 1, 0 or NaN (unknown) for each reference exam, (n,)."""
    if "cancer" not in reference:
        return np.full(len(reference), np.nan)
    known = reference["cancer"].astype("Float64")
    return np.asarray(known.to_numpy(float, na_value=np.nan), dtype=np.float64)


def cohort_of(reference: pd.DataFrame) -> Cohort:
    """Return the reference exams with a known outcome, which is final."""
    cancer = cancer_of(reference)
    cohort = Cohort(
        reference["patient_id"].to_numpy(),
        reference["logit"].to_numpy(dtype=float),
        reference["recall"].to_numpy(dtype=bool),
        ~np.isnan(cancer),
        cancer == 1,
    )
    return cohort.part(cohort.told)


def agreement_of(reference: pd.DataFrame) -> Agreement:
    """Return how the probabilities did in the release's reference."""
    cancer = cancer_of(reference)
    known = ~np.isnan(cancer)
    if "probability" not in reference:
        return Agreement(0, 0.0, "in the reference")
    expected = reference["probability"].to_numpy(dtype=float)[known]
    return Agreement(int(cancer[known].sum()), float(np.nansum(expected)), "in the reference")
