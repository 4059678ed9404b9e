"""The cut on a scanner's scores that recalls a target share, without outcomes.

A cut straight from n exams is off its target by ``sqrt((1 - t) / (t n))`` of it: at a
target of 10%, by half of it with 40 exams and by 10% with 900. Scores that a new
scanner shifted and stretched still have the reference's shape, so the reference's cut,
carried over by location and spread, is nearer with few exams. With many, the shape's own
difference is what remains; hence the weight moves to the exams as they contradict it.

Measured on synthetic scores, shifted, stretched or of another shape (`tests/evaluation/
test_alignment.py`): the median distance of the recall rate from a target of 10% is 0.21 to
0.36 of it with 40 exams, 0.13 to 0.21 with 100, 0.09 to 0.16 with 300, 0.06 to 0.09 with
1000 and 0.04 with 3000. No rule without outcomes can do much better: with a known shape,
unshifted but for a constant, chance alone leaves 0.10 at 300 exams in two of three tries.
"""

from __future__ import annotations

import numpy as np

SCALE_RANGE = (0.2, 5.0)
"""Slopes that a change of scanner can explain; beyond them something else is wrong."""

MATCHED_QUANTILES = np.linspace(0.10, 0.90, 33)


def align(reference_logit: np.ndarray, recent_logit: np.ndarray, target: float) -> float:
    """Return the logit at or above which a share ``target`` of the scanner's exams lies.

    Parameters
    ----------
    reference_logit, recent_logit
        Logits of exams, (n,) float: of the release's reference, and of the scanner since
        its change.
    target
        Recall rate per exam, inside (0, 1), that the reference's cut has on the reference.

    Raises
    ------
    ValueError
        Without an exam on either side, or for a target outside (0, 1).
    """
    if not 0 < target < 1:
        raise ValueError(f"target recall rate must be inside (0, 1), found {target}")
    if len(reference_logit) == 0 or len(recent_logit) == 0:
        raise ValueError("found no exam to align, or none to align with")
    slope, shift = match_quantiles(reference_logit, recent_logit)
    cut = float(np.quantile(reference_logit, 1 - target))
    return settle_cut((cut - shift) / slope, recent_logit, target)


def settle_cut(carried: float, recent_logit: np.ndarray, target: float) -> float:
    """Return the cut between a carried one and the exams' own quantile at ``target``.

    The exams' own counts by as much as the rate at the carried cut contradicts the target
    beyond chance (positive-part James-Stein on the logarithm of the rate).
    """
    own = float(np.quantile(recent_logit, 1 - target))
    n = len(recent_logit)
    rate = (np.count_nonzero(recent_logit >= carried) + 0.5) / (n + 1)
    error = float(np.log(rate / target))
    if error == 0:
        return carried
    weight = max(0.0, 1 - (1 - target) / (target * n) / error**2)
    return (1 - weight) * carried + weight * own


def match_quantiles(reference: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Return (slope, shift) so that ``slope * new + shift`` is distributed like ``reference``.

    Fitted between the quantiles from 10% to 90%: outliers do not enter, and
    cancers, a part of both mixtures, need not be told apart. The logarithm of
    the slope has a variance near ``1 / n + 1 / n_reference`` (simulated); it is
    shrunk by as much (positive-part James-Stein), which leaves a mere shift a
    shift. It stays within ``SCALE_RANGE``.
    """
    q_ref = np.quantile(reference, MATCHED_QUANTILES)
    q_new = np.quantile(new, MATCHED_QUANTILES)
    log_slope = np.log(q_ref.std() / q_new.std()) if min(q_ref.std(), q_new.std()) > 0 else 0.0
    noise = 1 / len(new) + 1 / len(reference)
    log_slope *= max(0.0, 1 - noise / log_slope**2) if log_slope else 0.0
    slope = float(np.clip(np.exp(log_slope), *SCALE_RANGE))
    return slope, float(np.mean(q_ref) - slope * np.mean(q_new))


def recall_error(exams: int, target: float) -> float:
    """Return the standard error of a rate that ``exams`` exams set, relative to the target.

    The empirical cut's: what `align` has at the worst, where the shape changed.
    """
    return float(np.sqrt((1 - target) / (target * exams)))
