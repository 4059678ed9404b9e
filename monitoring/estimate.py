"""Performance of exams whose outcome is still to come, from calibrated probabilities: advice.

Confidence-based performance estimation: if each exam's probability p is right, a
recalled exam is a cancer found with probability p, another is one missed; sums of p
are then expected counts. It is as good as the calibration and no better: a change
of concept leaves it as it was. So it decides nothing, states what it assumes, and is
switched off, with the reason, where that cannot hold: the embeddings have left the
reference, outcomes show a change, or the probabilities disagree with the outcomes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitoring.conformal import Floats

LEVEL = 0.95
DRAWS = 200
MIN_CANCERS = 10
"""Cancers that calibration has to rest on, and that the estimate has to expect."""
ASSUMPTIONS = (
    "the probabilities are calibrated for these women",
    "cancers look as they did (no change of concept, which this cannot see)",
    "women and scanners are like the reference's",
)


class Scored(NamedTuple):
    """Exams, each (n,): calibrated probability of cancer in [0, 1], and whether recalled."""

    probability: Floats
    recall: NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Cancers found among exams with a known outcome, and how many their probabilities expect."""

    found: int
    expected: float
    among: str

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Found over expected, with the exact Poisson interval (Garwood 1936)."""
        tail = (1 - LEVEL) / 2
        low = stats.chi2.ppf(tail, 2 * self.found) / 2 if self.found else 0.0
        high = stats.chi2.ppf(1 - tail, 2 * self.found + 2) / 2
        return (
            self.found / self.expected,
            float(low / self.expected),
            float(high / self.expected),
        )

    @property
    def enough(self) -> bool:
        """True where found or expected cancers are enough to judge by."""
        return self.expected > 0 and max(self.found, self.expected) >= MIN_CANCERS


def estimate_performance(
    pending: Scored,
    agreements: list[Agreement],
    *,
    left_reference: bool = False,
    outcomes_moved: bool = False,
    seed: int = 7,
) -> dict[str, Any]:
    """Return the advice as JSON-able data: figures with intervals, or ``off`` with the reason.

    Parameters
    ----------
    pending
        Exams without an outcome yet.
    agreements
        How the probabilities did where outcomes are known, the most telling first: of
        production, of the reference.
    left_reference, outcomes_moved
        The embeddings have left the reference; outcomes confirmed a change.
    """
    known = next((one for one in agreements if one.enough), None)
    usable = pending.probability[np.isfinite(pending.probability)]
    reason = next(_doubts(usable, known, left_reference, outcomes_moved), None)
    told: dict[str, Any] = {"off": reason, "exams": len(usable), "assumptions": list(ASSUMPTIONS)}
    if reason is not None or known is None:
        return told
    told["calibration"] = dict(zip(("value", "low", "high"), known.ratio, strict=True))
    kept = np.isfinite(pending.probability)
    return told | _figures(Scored(usable, pending.recall[kept]), known, seed)


def _doubts(
    probability: Floats, known: Agreement | None, left_reference: bool, outcomes_moved: bool
) -> Iterator[str]:
    """Yield the reasons for which no estimate can be made."""
    if left_reference:
        yield "the embeddings have left the reference: calibration is not known there"
    if outcomes_moved:
        yield "outcomes have confirmed a change: the old calibration does not hold"
    if known is None:
        yield f"fewer than {MIN_CANCERS} cancers are known to check the calibration by"
    elif not known.ratio[1] <= 1 <= known.ratio[2]:
        yield (
            f"{known.found} cancers were found {known.among} where the probabilities expect "
            f"{known.expected:.0f}: they are not calibrated"
        )
    if len(probability) == 0 or probability.sum() < MIN_CANCERS:
        yield f"fewer than {MIN_CANCERS} cancers are expected among the exams without an outcome"


def _figures(exams: Scored, known: Agreement, seed: int) -> dict[str, Any]:
    """Return expected figures; the intervals are of what these very exams will show.

    They hold the chance of each outcome and the error of the calibration's level
    (as of so many cancers found), not a failure of the assumptions.
    """
    rng = np.random.default_rng(seed)
    level = rng.gamma(known.found + 0.5, 1 / (known.found + 0.5), DRAWS)
    order = np.argsort(exams.probability, kind="stable")
    p, recall = exams.probability[order], exams.recall[order]
    expected = _measure(p[None], recall, p)
    drawn = np.concatenate([_drawn(rng, p, recall, one) for one in level])
    low, high = np.nanquantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    found: dict[str, Any] = {
        name: {"value": float(value), "low": float(down), "high": float(up)}
        for name, value, down, up in zip(MEASURED, expected[0], low, high, strict=True)
    }
    return found | {"recall_rate": {"value": float(recall.mean()), "low": None, "high": None}}


MEASURED = ("auc", "sensitivity", "ppv", "detection_rate")


def _drawn(rng: np.random.Generator, p: Floats, recall: NDArray[np.bool_], level: float) -> Floats:
    cancer = rng.random((1, len(p))) < np.minimum(p * level, 1.0)
    return _measure(cancer.astype(float), recall, p)


def _measure(cancer: Floats, recall: NDArray[np.bool_], p: Floats) -> Floats:
    """Return `MEASURED` of (parts of) cancers (m, n), exams in order of probability ``p``."""
    found, total = cancer[:, recall].sum(axis=1), cancer.sum(axis=1)
    other = 1 - cancer
    starts = np.flatnonzero(np.diff(p, prepend=-1.0))  # exams of one probability are ties
    cancers = np.add.reduceat(cancer, starts, axis=1)
    others = np.add.reduceat(other, starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (cancers * below).sum(axis=1) / (total * other.sum(axis=1))
        return np.stack([auc, found / total, found / recall.sum(), found / len(p)], axis=1)
