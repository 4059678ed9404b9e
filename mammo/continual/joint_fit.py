"""Weights of the score that uses classifier and detector: two, and an offset.

    joint, told = fit_joint(logits, best_scores, labels)

A logistic regression of the breast's label on the classifier's logit and on the
log-odds of the detector's best mark, neither weight below 0, so that the score rises
with each. The breasts are few, so the weights are held near those of the classifier
alone: a normal prior of one logit for each standard deviation of a feature. What the
data do not speak for stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from mammo.detection.carried import JointScore, mark_logit

Array = NDArray[np.float64]
PRIOR = 1.0
"""Standard deviation of the prior, in logits for each standard deviation of a feature."""
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class JointFit:
    """What the weights were fitted on; the losses are mean log losses of a breast.

    ``loss_alone`` is that of the best weight and offset of the classifier alone. Both are
    of the breasts that were fitted on: the joint one is never the higher, and says nothing
    of others.
    """

    breasts: int
    positives: int
    loss_alone: float
    loss_joint: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return dict(self.__dict__)


def fit_joint(
    logits: ArrayLike, best_scores: ArrayLike, labels: ArrayLike
) -> tuple[JointScore, JointFit]:
    """Fit on breasts that neither classifier nor detector learnt from.

    ``logits`` (B,) are the classifier's, ``best_scores`` (B,) of the best marks in [0, 1],
    ``labels`` (B,) 0 or 1. Raises ValueError where only one class is there.
    """
    logit = np.asarray(logits, np.float64)
    mark = np.array([mark_logit(float(one)) for one in np.asarray(best_scores)], np.float64)
    label = np.asarray(labels, np.float64)
    if len(set(label.tolist())) < 2:
        raise ValueError(f"{len(label)} breasts of one class; both are needed")
    alone = _fit(logit[:, None], label, None)
    features = np.stack([logit, mark], axis=1)
    start = np.array([alone[0], 0.0, alone[1]])
    joint = _fit(features, label, start)
    losses = (_loss(logit[:, None], alone, label), _loss(features, joint, label))
    told = JointFit(len(label), int(label.sum()), *losses)
    return JointScore(float(joint[0]), float(joint[1]), float(joint[2])), told


def _fit(features: Array, label: Array, prior: Array | None) -> Array:
    """Return weights, at least 0, and offset; held near ``prior`` where that is given."""
    spread = features.std(axis=0)
    spread = np.where(spread > LEAST_SPREAD, spread, 1.0)  # what never varies tells nothing
    scaled = features / spread
    held = None if prior is None else prior[:-1] * spread

    def cost(weights: Array) -> tuple[float, Array]:
        told = scaled @ weights[:-1] + weights[-1]
        value = float(np.logaddexp(0.0, np.where(label == 1, -told, told)).sum())
        error = expit(told) - label
        slope = np.append(scaled.T @ error, error.sum())
        if held is not None:
            value += float(((weights[:-1] - held) ** 2).sum()) / (2 * PRIOR**2)
            slope[:-1] += (weights[:-1] - held) / PRIOR**2
        return value, slope

    rate = float(label.mean())
    first = np.append(np.zeros(features.shape[1]), np.log(rate / (1 - rate)))
    if held is not None and prior is not None:
        first = np.append(held, prior[-1])
    bounds = [(0.0, None)] * features.shape[1] + [(None, None)]
    found = minimize(cost, first, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(np.append(found.x[:-1] / spread, found.x[-1]), np.float64)


def _loss(features: Array, weights: Array, label: Array) -> float:
    told = features @ weights[:-1] + weights[-1]
    return float(np.logaddexp(0.0, np.where(label == 1, -told, told)).mean())
