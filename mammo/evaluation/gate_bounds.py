"""Paired differences of two releases, and the bounds that the gate's clauses read.

All releases are measured on the same resampled patients, so that a difference is paired by
construction and any number of comparisons costs one pass for each release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from mammo.evaluation import ranking as rk
from mammo.evaluation.bootstrap import expanded_tail
from mammo.evaluation.draws import PatientDraws, Table
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.gate_material import Scored

ROUNDING = 1e-9  # a bound that is the margin itself has reached it

TAIL_DRAWS = 25
"""Fewer resamples beyond a bound say nothing about it: it is extrapolated from this many."""

PAIRS_PER_ROW = 300
"""Pairs of a cancer and none, for each exam, up to which a product of matrices is faster."""


@dataclass(frozen=True)
class Loss:
    """A paired difference (challenger minus another release) and its resamples.

    ``draws`` float64 (resamples,); ``units`` the patients of the scarcer class.
    """

    value: float
    draws: np.ndarray
    units: int

    def low(self, alpha: float) -> float:
        """Return the lower bound at the one-sided level ``alpha``."""
        return self._quantile(expanded_tail(alpha, self.units), 1)

    def high(self, alpha: float) -> float:
        """Return the upper bound at the one-sided level ``alpha``."""
        return self._quantile(expanded_tail(alpha, self.units), -1)

    def reaches(self, margin: float, alpha: float) -> bool:
        """Say whether the lower bound lies above minus the margin."""
        return self.low(alpha) >= -margin - ROUNDING

    def error(self) -> float:
        """Return the standard error that the resamples show."""
        return float(np.nanstd(self.draws))

    def p_value(self, margin: float) -> float:
        """The smallest one-sided alpha at which ``low`` lies above minus the margin."""
        draws = self.draws[~np.isnan(self.draws)]
        share = (np.sum(draws < -margin) + 1) / (len(draws) + 1)
        n = max(self.units, 2)
        return float(stats.t.cdf(stats.norm.ppf(share) / np.sqrt(n / (n - 1)), n - 1))

    def distance(self, margin: float) -> float:
        """Return how many standard errors the difference lies above minus the margin."""
        return (self.value + margin) / max(self.error(), 1e-12)

    def _quantile(self, tail: float, side: int) -> float:
        """Return the quantile at ``tail`` from below (``side`` 1) or from above (-1).

        A ledger asks for levels that the resamples do not resolve. Beyond their last
        `TAIL_DRAWS` the normal's shape goes on from there, on the scale of that side.
        """
        resolved = TAIL_DRAWS / len(self.draws)
        draws = side * self.draws
        if tail >= resolved:
            return side * float(np.nanquantile(draws, tail))
        far, middle = np.nanquantile(draws, (resolved, 0.5))
        stretch = float(stats.norm.ppf(tail) / stats.norm.ppf(resolved))
        return side * float(middle + (far - middle) * stretch)


@dataclass(frozen=True, eq=False)
class Measured:
    """AUC and sensitivity of several releases on the same resampled patients.

    ``auc`` and ``sensitivity``: release to (1 + resamples,), the value itself first.
    """

    auc: Mapping[str, np.ndarray]
    sensitivity: Mapping[str, np.ndarray]
    units: int

    def auc_loss(self, after: str, before: str) -> Loss:
        """Return the difference in AUC of ``after`` minus ``before``."""
        return _loss(self.auc[after] - self.auc[before], self.units)

    def sensitivity_loss(self, after: str, before: str) -> Loss:
        """Return the difference in sensitivity at the recall rate of ``after`` minus ``before``."""
        return _loss(self.sensitivity[after] - self.sensitivity[before], self.units)


def _loss(table: np.ndarray, units: int) -> Loss:
    return Loss(float(table[0]), table[1:], units)


def measure(
    scored: Scored,
    scores: Mapping[str, np.ndarray],
    config: GateConfig,
    recall_rate: float | None = None,
) -> Measured:
    """Measure releases (name to scores (exams,)) on the exams of ``scored``.

    ``recall_rate`` is the share of exams recalled at which the sensitivity is read; without
    one it is not, and ``sensitivity`` is empty.
    """
    draws = PatientDraws.of(
        scored.patients, scored.labels, resamples=config.resamples, seed=config.seed
    )
    patient = draws.codes(scored.patients)
    tables = {}
    for name, one in scores.items():
        table = _table(scored.labels, one, patient, recall_rate)
        tables[name] = np.vstack([draws.once(table), draws.draw(table)])
    return Measured(
        {name: one[:, 0] for name, one in tables.items()},
        {name: one[:, 1] for name, one in tables.items() if recall_rate is not None},
        _scarce_patients(scored),
    )


def _table(
    labels: np.ndarray, scores: np.ndarray, patient: np.ndarray, recall_rate: float | None
) -> Table:
    """Return AUC, and sensitivity at the recall rate, as columns of patients' weights."""
    if recall_rate is None and labels.sum() * (~labels).sum() < PAIRS_PER_ROW * len(labels):
        return _pairs_table(labels, scores, patient)

    def columns(steps: rk.Steps) -> np.ndarray:
        read = [rk.auc(steps)]
        if recall_rate is not None:
            read.append(rk.sensitivity_at_recall(steps, recall_rate))
        return np.column_stack(read)

    return rk.rank_rows(labels, scores, patient).table(columns)


def _pairs_table(labels: np.ndarray, scores: np.ndarray, patient: np.ndarray) -> Table:
    """Return the AUC as a product of matrices: exact, and for few cancers ten times faster.

    Weights are whole numbers and a tie counts one half, so that float32 adds up without error.
    """
    positive, negative = scores[labels], scores[~labels, np.newaxis]
    pairs = ((positive > negative) + 0.5 * (positive == negative)).astype(np.float32)

    def table(weights: np.ndarray) -> np.ndarray:
        sick = weights[:, patient[labels]]
        healthy = weights[:, patient[~labels]].astype(np.float32)
        won = np.einsum("ij,ij->i", healthy @ pairs, sick)
        with np.errstate(divide="ignore", invalid="ignore"):
            auc = won / (sick.sum(axis=1) * healthy.sum(axis=1, dtype=float))
        return np.asarray(auc[:, np.newaxis])

    return table


def _scarce_patients(scored: Scored) -> int:
    positive = len(np.unique(scored.patients[scored.labels]))
    negative = len(np.unique(scored.patients[~scored.labels]))
    return min(positive, negative)


class Holm(NamedTuple):
    """What was shown of several differences at once: names in the order of their p-values."""

    order: list[str]
    low: dict[str, float]
    failed: list[str]

    @property
    def worst(self) -> str:
        """The name with the lowest bound."""
        return min(self.order, key=lambda name: self.low[name])


def holm(losses: Mapping[str, Loss], margin: float, alpha: float) -> Holm:
    """Bound every difference; Holm (1979): the i-th smallest p-value at alpha / (m - i).

    It stops at the first that is not shown: the others are not shown either.
    """
    order = sorted(
        losses, key=lambda name: (losses[name].p_value(margin), -losses[name].distance(margin))
    )
    low: dict[str, float] = {}
    failed: list[str] = []
    for step, name in enumerate(order):
        level = alpha / (len(order) - step)
        low[name] = losses[name].low(level)
        if failed or not losses[name].reaches(margin, level):
            failed.append(name)
    return Holm(order, low, failed)
