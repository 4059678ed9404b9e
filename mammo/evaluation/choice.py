"""Of the candidates that passed the gate, the least invasive one that mends the loss.

A recalibration sets a new operating point and leaves the order of the exams as it is:
where a new scanner has cost AUC, none comes back by it. So the least invasive candidate
that passed is taken unless the newest window shows a loss, and a more invasive one that
passed wins some of it back with a chance of at least ``config.prefer``. That is a choice
among releases that may all be put into service: it spends nothing of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mammo.evaluation.gate_bounds import measure
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.gate_material import Scored
from mammo.evaluation.metrics import roc_auc


@dataclass(frozen=True)
class Choice:
    """Which candidate, why, and the AUC (newest window) of those compared by name."""

    chosen: str | None
    text: str
    auc: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def choose(
    passed: Sequence[str],
    newest: Mapping[str, Scored],
    target_auc: float | None,
    config: GateConfig,
) -> Choice:
    """Choose among candidates that passed, least invasive first.

    Parameters
    ----------
    passed : sequence of str
        Names in the order of how much they change.
    newest : name to Scored
        Each candidate's scores on the same exams of the newest window, as challenger;
        empty where there is no window.
    target_auc : float or None
        The champion's AUC on the golden set, what the window's should be near.
    """
    if not passed:
        return Choice(None, "No candidate passed the gate.")
    if not all(name in newest for name in passed) or target_auc is None:
        return Choice(passed[0], "The least invasive that passed; no newest window to compare on.")
    window = newest[passed[0]]
    scarce = min(int(window.labels.sum()), int((~window.labels).sum()))
    if scarce < config.min_per_class:
        return Choice(passed[0], f"The least invasive that passed; {window.described}: too few.")
    return _compare(passed, newest, target_auc, config)


def _compare(
    passed: Sequence[str], newest: Mapping[str, Scored], target_auc: float, config: GateConfig
) -> Choice:
    scores = {name: newest[name].challenger_scores for name in passed}
    window = newest[passed[0]]
    auc = {name: roc_auc(window.labels, one) for name, one in scores.items()}
    taken, measured = passed[0], measure(window, scores, config)
    told = [f"{taken} is the least invasive: AUC {auc[taken]:.3f} on {window.described}"]
    for name in passed[1:]:
        if auc[taken] >= target_auc:
            told.append(f"nothing is lost against the {target_auc:.3f} of the golden set")
            break
        chance = _chance(measured.auc_loss(name, taken).draws)
        text = f"{name} {auc[name]:.3f}, better with a chance of {chance:.0%}"
        told.append(f"{text}; from {config.prefer:.0%} it is taken")
        if chance >= config.prefer:
            taken = name
    return Choice(taken, "; ".join(told) + ".", auc)


def _chance(draws: np.ndarray) -> float:
    """Return the share of resamples in which the difference is above 0; a tie counts half."""
    known = draws[~np.isnan(draws)]
    return float(np.mean((known > 0) + 0.5 * (known == 0)))
