"""Performance by maturity: what was known 3, 12 and 24 months after each exam was scored.

A cancer counts at a maturity only if it was known by then, and an exam only if it
is that old: exams too young would look free of cancer. So cohorts of one maturity
can be compared, and none of different ones.

**Verification bias.** Mostly only recalled women are examined further, so cancers of
the others are known late or never. What is known makes sensitivity and AUC look
better than they are (Begg & Greenes 1983, doi:10.2307/2530820). Here:

- ``sensitivity`` and ``auc`` are of the cancers known by then: the usual figures of a
  screening programme, and always told with the share verified;
- where at least half of the women not recalled have an outcome, ``corrected`` takes
  the verified to stand for the unverified of the same recall decision and score
  (inverse-probability weights; Begg & Greenes for sensitivity);
- where they have not, ``bounds`` say what is left open if the unverified hide
  between no cancer and as many as programmes or the reference have seen at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mammo.evaluation.bootstrap import Interval, percentile_bounds
from monitoring.conformal import Floats
from monitoring.patient_types import LEVEL, auc_by_patients, ratio_interval, sum_draws

MATURITIES = {3: 91, 12: 365, 24: 731}
"""Months to days; an outcome on the anniversary counts."""
VERIFIED = 0.5
"""Share of the women not recalled whose outcome has to be known for a correction; a choice."""
INTERVAL_RATE = 0.00211
"""Highest usual rate of interval cancers over two years, per screening exam (8.4 to 21.1 in
10,000: Houssami & Hunter 2017, doi:10.1038/s41523-017-0014-x)."""
SCORE_BINS = 5

Figure = dict[str, Any]


class Cohort(NamedTuple):
    """Exams of one maturity, each (n,): what was decided, and what was known by then."""

    patient: NDArray[Any]
    logit: Floats
    recall: NDArray[np.bool_]
    told: NDArray[np.bool_]
    cancer: NDArray[np.bool_]

    def part(self, rows: NDArray[np.bool_]) -> Cohort:
        """Return some of the exams."""
        return Cohort(
            self.patient[rows],
            self.logit[rows],
            self.recall[rows],
            self.told[rows],
            self.cancer[rows],
        )


class Followed(NamedTuple):
    """Exams with the days on which they were scored and their outcome was known, each (n,)."""

    patient: NDArray[Any]
    logit: Floats
    recall: NDArray[np.bool_]
    day: Floats
    told_day: Floats
    cancer_day: Floats

    def at(self, days: float, until: float) -> tuple[Cohort, NDArray[np.bool_]]:
        """Return the exams ``days`` old by day ``until`` as they were known at that age."""
        old = self.day + days <= until
        return self.known_by(self.day + days).part(old), old

    def known_by(self, day: Floats | float) -> Cohort:
        """Return all exams as they were known by a day, one or each its own (n,)."""
        told, cancer = self.told_day <= day, self.cancer_day <= day
        return Cohort(self.patient, self.logit, self.recall, told, cancer)


@dataclass(frozen=True)
class MaturityConfig:
    """Resamples, seed, the cancers an AUC needs, and the reference's rate of missed cancers."""

    resamples: int = 1000
    seed: int = 7
    min_cancers: int = 10
    missed_rate: float = 0.0


def maturity_table(
    exams: Followed, until: float, config: MaturityConfig, known: Mapping[str, Any]
) -> dict[str, Figure]:
    """Return the figures of each maturity that some exams have reached, by a key of what is known.

    ``known`` is the table of a run before: where nothing new is known its row is taken.
    """
    table = {}
    for months, days in MATURITIES.items():
        cohort, _ = exams.at(days, until)
        if len(cohort.logit):
            key = _key(months, cohort)
            table[key] = dict(known.get(key) or cohort_figures(months, "stream", cohort, config))
    return table


def _key(months: int, cohort: Cohort) -> str:
    parts = (cohort.recall, cohort.told, cohort.told & cohort.recall, cohort.cancer)
    return "-".join(str(one) for one in (months, len(cohort.logit), *(int(p.sum()) for p in parts)))


def cohort_figures(months: int, of: str, cohort: Cohort, config: MaturityConfig) -> Figure:
    """Return a cohort's counts and figures; a figure is {"value", "low", "high", …} or None."""
    recall, told, auc = cohort.recall, cohort.told, _auc(cohort, config)
    enough = _share(told[~recall]) >= VERIFIED
    return {
        "months": months,
        "of": of,
        "exams": len(cohort.logit),
        "recalled": int(recall.sum()),
        "cancers": int(cohort.cancer.sum()),
        "verified_recalled": _share(told[recall]),
        "verified_others": _share(told[~recall]),
        **_rates(cohort, config),
        "auc": _told(auc),
        "corrected": _corrected(cohort, config) if enough else None,
        "bounds": None if enough else _bounds(cohort, auc, config),
        "assumes": _assumes(months, enough, config),
    }


def _rates(cohort: Cohort, config: MaturityConfig) -> dict[str, Figure | None]:
    """Return the rates with intervals that resample patients.

    Recalled women without an outcome yet are no healthy ones: PPV leaves them out, and
    the detection rate takes them to hold as many cancers as the others recalled.
    """
    known = cohort.recall & cohort.told
    found = cohort.cancer & cohort.recall
    flags = [np.ones(len(known), dtype=bool), cohort.recall, known, cohort.cancer, found]
    rows = np.stack(flags, axis=1).astype(float)
    draws = sum_draws(rows, cohort.patient, config.resamples, config.seed)
    exams, recalled, verified, cancers, hits = rows.sum(axis=0)
    patients = len(np.unique(cohort.patient))
    pairs = {
        "recall_rate": (draws[:, 1], draws[:, 0], recalled, exams),
        "ppv": (draws[:, 4], draws[:, 2], hits, verified),
        "sensitivity": (draws[:, 4], draws[:, 3], hits, cancers),
        "detection_rate": (
            draws[:, 4] * draws[:, 1],
            draws[:, 0] * draws[:, 2],
            hits * recalled,
            exams * verified,
        ),
    }
    counted = {"recall_rate": recalled}
    return {
        name: _told(
            ratio_interval(
                np.stack([above, below], axis=1), value, among, patients, counted.get(name, hits)
            )
        )
        for name, (above, below, value, among) in pairs.items()
    }


def _auc(cohort: Cohort, config: MaturityConfig, weight: Floats | None = None) -> Interval | None:
    if min(cohort.cancer.sum(), (~cohort.cancer).sum()) < config.min_cancers:
        return None
    return auc_by_patients(
        cohort.cancer,
        cohort.logit,
        cohort.patient,
        weight=weight,
        resamples=config.resamples,
        seed=config.seed,
    )


def _corrected(cohort: Cohort, config: MaturityConfig) -> dict[str, Figure | None]:
    """Return AUC and sensitivity of all exams, the verified standing for the unverified."""
    stands = verification_weights(cohort)[cohort.told]
    return {
        "sensitivity": _told(_begg_greenes(cohort, config)),
        "auc": _told(_auc(cohort.part(cohort.told), config, stands)),
    }


def _begg_greenes(cohort: Cohort, config: MaturityConfig) -> Interval | None:
    """Return the sensitivity if verification depends on the recall alone (Begg & Greenes 1983)."""
    recall, told, cancer = cohort.recall, cohort.told, cohort.cancer
    flags = (recall, recall & told, recall & cancer, ~recall, ~recall & told, ~recall & cancer)
    rows = np.stack(flags, axis=1).astype(float)
    value = float(_cancers_found(rows.sum(axis=0)[None])[0])
    if not np.isfinite(value):
        return None
    draws = _cancers_found(sum_draws(rows, cohort.patient, config.resamples, config.seed))
    ill = np.unique(cohort.patient[cancer])
    low, high = percentile_bounds(draws, len(ill), LEVEL)
    return Interval(value, low, high, len(np.unique(cohort.patient)), len(ill))


def _cancers_found(sums: Floats) -> Floats:
    """Return sensitivities of totals (m, 6): recalled, verified, cancers; and of the others."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = sums[:, 0] * sums[:, 2] / sums[:, 1]
        missed = sums[:, 3] * sums[:, 5] / sums[:, 4]
        return np.asarray(found / (found + np.where(sums[:, 3] > 0, missed, 0.0)))


def verification_weights(cohort: Cohort) -> Floats:
    """Return how many exams each verified one stands for, (n,); 0 for the others.

    Exams stand for those of the same recall decision and, not recalled, of the same
    fifth of the scores.
    """
    stratum = np.zeros(len(cohort.logit), dtype=np.int64)
    others = np.flatnonzero(~cohort.recall)
    order = np.argsort(np.argsort(cohort.logit[others], kind="stable"), kind="stable")
    stratum[others] = 1 + order * SCORE_BINS // max(len(others), 1)
    verified = np.bincount(stratum[cohort.told], minlength=SCORE_BINS + 1)
    every = np.bincount(stratum, minlength=SCORE_BINS + 1)
    return np.where(cohort.told, (every / np.maximum(verified, 1))[stratum], 0.0)


def _bounds(
    cohort: Cohort, seen: Interval | None, config: MaturityConfig
) -> dict[str, list[float] | None]:
    """Return what sensitivity and AUC may be, the unverified hiding few cancers or many."""
    unverified = ~cohort.recall & ~cohort.told
    hidden = float(unverified.sum()) * max(INTERVAL_RATE, config.missed_rate)
    found, known = float((cohort.cancer & cohort.recall).sum()), float(cohort.cancer.sum())
    if not known:
        return {"sensitivity": None, "auc": None}
    if seen is None:
        return {"sensitivity": [found / (known + hidden), found / known], "auc": None}
    # hidden cancers that score like any other woman not recalled
    ranks = np.argsort(np.argsort(cohort.logit)) / max(len(cohort.logit) - 1, 1)
    placed = float(ranks[unverified].mean())
    lowest = (known * seen.value + hidden * placed) / (known + hidden)
    return {
        "sensitivity": [found / (known + hidden), found / known],
        "auc": [min(lowest, seen.value), seen.value],
    }


def _assumes(months: int, enough: bool, config: MaturityConfig) -> str:
    told = f"Cancers known within {months} months of the exam; exams that are as old, no others. "
    if not months:
        return "Exams from the first on as far as (nearly) all have an outcome, whatever their age."
    if enough:
        return told + (
            "Corrected: women with an outcome stand for those without of the same recall "
            "decision and, not recalled, of a like score."
        )
    rate = 1000 * max(INTERVAL_RATE, config.missed_rate)
    return told + (
        "Most women not recalled have no outcome: sensitivity and AUC are too good. The bounds "
        f"leave open between none and {rate:.1f} cancers in 1,000 of them."
    )


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 1.0


def _told(interval: Interval | None) -> Figure | None:
    return interval.to_dict() if interval else None
