"""Solve `lite0_places` in closed form: a rule for each place, from where the findings lie.

Gradient descent on image labels has one bit an image to learn from. Where a
set says where its findings lie, every place of a breast is an example: a
linear discriminant between the places of findings and all other places is
learnt from thousands (Fisher 1936; covariance shrunk, Ledoit and Wolf 2004).
A target that has no places, such as dense tissue, is a ridge classifier of the
breast's mean tissue, its penalty chosen by patient-grouped folds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.covariance import shrunk_covariance
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mammo.data.index import target_values
from mammo.errors import SourceInvalid, TooFewLabels
from mammo.models.breast_net import ViewNet
from mammo.models.breast_places import PlaceAttention
from mammo.models.config import TrainConfig

Array = NDArray[np.float64]
PLACED_TARGETS = ("cancer", "abnormal")
"""Targets that a finding is a finding of."""
COVERED = 0.3
"""A place is one of a finding when more than this share of it is within the circle."""
SMALLEST_RADIUS = 8.0
"""Prepared pixels; a smaller finding is given that much, half a place."""
SHRINKAGE = 0.25
SHARE_OF_FINDINGS = 0.1
"""Of the covariance within classes, the part of the findings' places."""
PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0)
"""Of the squared weights of standardised tissue, to choose from."""
INNER_FOLDS = 5


def fit_places(
    net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig
) -> list[dict[str, float]]:
    """Solve for the rule and the head of ``net``, in place; return what it was solved from.

    Parameters
    ----------
    net
        Built as ``lite0_places``, its first stage frozen.
    maps
        `mammo.continual.trunk.trunk_maps` of the rows: (N, 2, 2C, h, w), the
        image and its mirror image.

    Raises
    ------
    SourceInvalid
        Another architecture, or another number of frozen stages.
    TooFewLabels
        No finding of the target has a place.
    """
    attention = _attention(net)
    if config.target in PLACED_TARGETS:
        rule, offset, told = _solve_places(maps, rows, config)
        zeros = np.zeros_like(rule)
        _write(net, attention, rule, np.concatenate([rule, zeros]), offset)
    else:
        weight, offset, told = _solve_tissue(maps, rows, config)
        zeros = np.zeros_like(weight)
        _write(net, attention, zeros, np.concatenate([zeros, weight]), offset)
    return [told]


def _attention(net: ViewNet) -> PlaceAttention:
    last = net.stages[-1]
    if not isinstance(last, PlaceAttention) or net.frozen_stages != 1:
        raise SourceInvalid(
            "fit is 'places', which needs architecture: lite0_places, frozen_stages: 1 "
            "and augment: false"
        )
    return last


@torch.no_grad()
def _write(
    net: ViewNet, attention: PlaceAttention, rule: Array, weight: Array, offset: float
) -> None:
    attention.rule.copy_(torch.from_numpy(rule))
    net.head.weight.copy_(torch.from_numpy(weight)[None])
    net.head.bias.fill_(offset)


def _solve_places(
    maps: Tensor, rows: pd.DataFrame, config: TrainConfig
) -> tuple[Array, float, dict[str, float]]:
    """Return rule (C,) and offset of the discriminant between findings' places and others.

    Every finding's image weighs the same however many places it covers. The
    rule is scaled such that other places have a standard deviation of 1.
    """
    height, width = maps.shape[3:]
    covered = finding_cover(rows, config, (height, width))
    positive = target_values(rows, config.target).eq(1).to_numpy(dtype=bool)
    contrast, tissue = maps[:, 0].float().chunk(2, dim=1)  # the mirror image tells nothing new
    inside = (tissue != 0).any(dim=1).numpy()
    findings = inside & positive[:, None, None] & (covered > COVERED)
    # a positive image whose finding has no place might hold it anywhere
    unplaced = positive & ~(covered > 0).any(axis=(1, 2))
    others = inside & (covered == 0) & ~unplaced[:, None, None]
    if not findings.any():
        raise TooFewLabels(
            f"no finding of target {config.target!r} has a place in the {len(rows)} images: "
            "set fit: gradient"
        )
    vectors = contrast.permute(0, 2, 3, 1).numpy()
    each = findings / findings.sum(axis=(1, 2), keepdims=True).clip(1)
    rule, offset = _discriminant(vectors[findings], each[findings], vectors[others])
    told = {"finding_places": float(findings.sum()), "other_places": float(others.sum())}
    return rule, offset, told | {"findings_images": float(findings.any(axis=(1, 2)).sum())}


def _discriminant(
    found: NDArray[np.float32], weights: Array, others: NDArray[np.float32]
) -> tuple[Array, float]:
    """Return Fisher's direction (C,) and offset, in standard deviations of ``others``."""
    centre = others.mean(axis=0, dtype=np.float64)
    within = (1 - SHARE_OF_FINDINGS) * _covariance(others)
    within += SHARE_OF_FINDINGS * _covariance(found)
    towards = np.average(found, axis=0, weights=weights) - centre
    rule = np.linalg.solve(shrunk_covariance(within, SHRINKAGE), towards)
    rule /= np.std(others @ rule.astype(np.float32))
    return rule, -float(centre @ rule)


def _covariance(vectors: NDArray[np.float32]) -> Array:
    """Return numpy.cov of rows in single precision: a hundred thousand places take a while."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return (centred.T @ centred).astype(np.float64) / max(1, len(vectors) - 1)


def finding_cover(
    rows: pd.DataFrame, config: TrainConfig, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the share of each place that lies within a finding, (N, h, w) in [0, 1].

    A finding is the ellipse within its box, brought into prepared pixels.
    """
    size = config.preprocess.height, config.preprocess.width
    return np.stack(
        [
            _cover(json.loads(findings or "[]"), json.loads(geometry), size, shape)
            for findings, geometry in zip(rows["findings"], rows["geometry"], strict=True)
        ]
    )


def _cover(
    findings: Sequence[dict[str, Any]],
    geometry: dict[str, Any],
    size: tuple[int, int],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    if not findings:
        return np.zeros(shape, np.float32)
    y, x = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    within = np.zeros(size, dtype=bool)
    for one in findings:
        centre_x, radius_x = _span(one["x_min"], one["x_max"], geometry, "x")
        centre_y, radius_y = _span(one["y_min"], one["y_max"], geometry, "y")
        within |= ((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2 <= 1
    rows, columns = shape
    padded = np.zeros((rows * -(-size[0] // rows), columns * -(-size[1] // columns)), np.float32)
    padded[: size[0], : size[1]] = within
    return padded.reshape(rows, -1, columns, padded.shape[1] // columns).mean(axis=(1, 3))


def _span(low: float, high: float, geometry: dict[str, Any], axis: str) -> tuple[float, float]:
    """Return centre and radius along an axis, in prepared pixels."""
    low, high = (
        (edge - geometry[f"{axis}0"]) * geometry["scale"] + geometry[f"pad_{axis}"]
        for edge in (low, high)
    )
    return (low + high) / 2, max((high - low) / 2, SMALLEST_RADIUS)


def _solve_tissue(
    maps: Tensor, rows: pd.DataFrame, config: TrainConfig
) -> tuple[Array, float, dict[str, float]]:
    """Return weight (C,) and offset of the classifier of the breast's mean tissue."""
    features = maps[:, 0].float().chunk(2, dim=1)[1].mean(dim=(2, 3)).double().numpy()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RidgeClassifier(class_weight="balanced")),
        {"ridgeclassifier__alpha": PENALTIES},
        scoring="roc_auc",
        cv=StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=config.seed),
        error_score="raise",
    )
    labels = target_values(rows, config.target).to_numpy(dtype=int)
    try:
        search.fit(features, labels, groups=rows["patient_id"].to_numpy())
    except ValueError as error:
        raise TooFewLabels(
            f"{len(rows)} images of target {config.target!r} are too few to divide into "
            f"{INNER_FOLDS} folds of patients with both classes"
        ) from error
    scaler, ridge = (step for _, step in search.best_estimator_.steps)
    weight = ridge.coef_.ravel() / scaler.scale_
    spread = float(np.std(features @ weight))  # the penalty shrinks it, and folds differ in it
    weight, middle = weight / spread, float(ridge.intercept_[0]) / spread
    offset = middle - float(weight @ scaler.mean_)
    (penalty,) = search.best_params_.values()
    return weight, offset, {"penalty": float(penalty), "inner_auc": float(search.best_score_)}
