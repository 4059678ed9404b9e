"""Two models on the same rows: every metric's difference, on the same resampled patients."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from mammo.evaluation import ranking as rk
from mammo.evaluation.battery import LEVEL, Rows, ranked_columns
from mammo.evaluation.bootstrap import percentile_bounds
from mammo.evaluation.decisions import Decisions, named, rates
from mammo.evaluation.delong import AucComparison, delong_test
from mammo.evaluation.draws import PatientDraws

DECIDED = (
    "accuracy", "sensitivity", "specificity", "ppv", "npv", "recall_rate", "f1", "pf1", "brier",
)  # fmt: skip


@dataclass(frozen=True)
class PairedDifference:
    """A metric of models a and b and its difference b - a.

    ``low, high`` bound the difference (expanded percentiles of paired draws);
    ``p_value`` is two-sided by the draws' standard error and Student's t;
    ``p_holm`` is adjusted for all metrics compared. ``delong`` is there for the AUC.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    delong: AucComparison | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; what has no value (NaN) is None."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in asdict(self).items()
        }


def compare_rows(a: Rows, b: Rows, draws: PatientDraws) -> list[PairedDifference]:
    """Compare two models on the same rows, in the same order; labels and patients must agree."""
    if not (np.array_equal(a.labels, b.labels) and np.array_equal(a.patients, b.patients)):
        raise ValueError("rows of two models must agree in labels and patients, in one order")
    names, first, second = _values(a, draws)
    _, third, fourth = _values(b, draws)
    p_values = [
        difference_p_value(other - one, drawn, draws)
        for one, other, drawn in zip(first, third, (fourth - second).T, strict=True)
    ]
    found = []
    for place, (name, p, adjusted) in enumerate(zip(names, p_values, holm(p_values), strict=True)):
        one, other = float(first[place]), float(third[place])
        drawn = fourth[:, place] - second[:, place]
        bounds = (float("nan"), float("nan"))  # a PPV where nobody is recalled
        if np.isfinite([one, other]).all():
            bounds = percentile_bounds(drawn, _scarce(draws), LEVEL)
        delong = delong_test(a.labels, a.scores, b.scores, a.patients) if name == "auc" else None
        found.append(PairedDifference(name, one, other, other - one, *bounds, p, adjusted, delong))
    return found


def _values(rows: Rows, draws: PatientDraws) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the metrics' names, their values (metrics,) and draws (resamples, metrics)."""
    patient = draws.codes(rows.patients)
    columns = ranked_columns()
    ranked = rk.rank_rows(rows.labels, rows.scores, patient).table(
        lambda steps: np.column_stack([column(steps) for column in columns.values()])
    )
    decided = Decisions(rows.labels, rows.probability, rows.recalled, patient).table(draws)

    def table(weights: np.ndarray) -> np.ndarray:
        found = rates(named(decided(weights)))
        return np.column_stack([ranked(weights), *(found[name] for name in DECIDED)])

    return [*columns, *DECIDED], draws.once(table), draws.draw(table)


def difference_p_value(value: float, drawn: np.ndarray, draws: PatientDraws) -> float:
    """Return the two-sided p value of no difference: Student's t of the draws' standard error.

    1.0 where there is no value, or the draws show neither a difference nor a spread.
    """
    if np.isnan(value):
        return 1.0
    error = float(np.nanstd(drawn))
    if error < 1e-12:
        return 1.0 if abs(value) < 1e-12 else 0.0
    return float(2 * stats.t.sf(abs(value) / error, _scarce(draws) - 1))


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's adjusted p values (1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return [float(one) for one in adjusted]


def _scarce(draws: PatientDraws) -> int:
    return max(2, min(int(draws.positive.sum()), int((~draws.positive).sum())))
