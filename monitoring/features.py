"""Channels: the few numbers per exam that are watched, from the log's exam frame.

    score                the logit
    recall               1 if the exam was recalled
    missing              1 if a view is missing or a file of the exam was refused
    quality              1 if the image itself has a quality code
    embedding_1, _2      projections on the first principal axes of the reference
    embedding_distance   Mahalanobis distance with a shrunk covariance (SD, >= 0)
    <image feature>      f_<name>: mean intensity, contrast, sharpness, noise

A value is only ever compared by rank with the reference's values, so scale and
distribution do not matter. Distances of reference exams are cross-fitted: an
exam that shaped the covariance lies nearer to it than a new one would, and a
monitor calibrated on such distances alarms on everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.quality import FAULT_CODES
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats

FOLDS = 10
INCOMPLETE_CODES = frozenset({"MISSING_VIEW", "FILE_REFUSED"})
GROUPS = {
    "score": "score",
    "recall": "recall",
    "missing": "missing",
    "quality": "image",
    "embedding_1": "embedding",
    "embedding_2": "embedding",
    "embedding_distance": "embedding",
}


def channel_group(channel: str) -> str:
    """Return ``score``, ``recall``, ``missing``, ``embedding`` or ``image``."""
    return GROUPS.get(channel, "image")


@dataclass(frozen=True)
class EmbeddingMap:
    """Axes and metric of the reference's embeddings, (d,) with d = 32."""

    center: Floats
    axes: Floats
    whitener: Floats

    @classmethod
    def fit(cls, vectors: Floats) -> Self:
        """Fit on (n, d): mean, two principal axes, covariance shrunk by d / (n + d)."""
        n, width = vectors.shape
        center = vectors.mean(axis=0)
        covariance = np.cov(vectors, rowvar=False, ddof=1) if n > 1 else np.eye(width)
        shrink = width / (n + width)
        level = max(float(np.trace(covariance)) / width, 1e-12)
        values, basis = np.linalg.eigh((1 - shrink) * covariance + shrink * level * np.eye(width))
        axes = basis[:, ::-1][:, :2].T
        # eigenvectors have no sign of their own; fix one, so that reruns agree
        axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]
        return cls(center, axes, basis / np.sqrt(values))

    def project(self, vectors: Floats) -> Floats:
        """Return projections on the axes, (n, 2)."""
        return np.asarray((vectors - self.center) @ self.axes.T)

    def distance(self, vectors: Floats) -> Floats:
        """Return distances from the center in SD, (n,)."""
        return np.asarray(np.linalg.norm((vectors - self.center) @ self.whitener, axis=1))


@dataclass(frozen=True)
class ChannelMap:
    """From exam frames to channel values (n, C), as one release's reference defines them."""

    names: tuple[str, ...]
    embedding: EmbeddingMap | None

    @classmethod
    def fit(cls, reference: pd.DataFrame, config: MonitorConfig) -> tuple[Self, Floats]:
        """Fit on the reference; return the map and the reference's own values (n, C).

        Channels that the reference does not have are left out.
        """
        vectors = embeddings(reference)
        known = np.isfinite(vectors).all(axis=1) if vectors.shape[1] else np.zeros(0, bool)
        embedding = EmbeddingMap.fit(vectors[known]) if known.sum() > 2 else None
        found = [name for name in config.image_features if _has(reference, f"f_{name}")]
        names = ["score", "recall", "missing", "quality"]
        names += ["embedding_1", "embedding_2", "embedding_distance"] if embedding else []
        names += found[: config.max_image_features]
        channels = cls(tuple(names), embedding)
        values = channels.values(reference)
        if embedding:
            column = names.index("embedding_distance")
            values[known, column] = cross_fitted_distances(vectors[known])
        return channels, values

    def values(self, frame: pd.DataFrame) -> Floats:
        """Return the channels of each exam, (n, C) float64; NaN where one is missing."""
        columns = _decisions(frame)
        if self.embedding:
            vectors = embeddings(frame)
            if vectors.shape[1] != len(self.embedding.center):
                vectors = np.full((len(frame), len(self.embedding.center)), np.nan)
            first, second = self.embedding.project(vectors).T
            distance = self.embedding.distance(vectors)
            columns |= {
                "embedding_1": first,
                "embedding_2": second,
                "embedding_distance": distance,
            }
        parts = [columns.get(name, _column(frame, f"f_{name}")) for name in self.names]
        values = np.column_stack(parts).astype(float).reshape(len(frame), len(self.names))
        return np.where(np.isfinite(values), values, np.nan)


def embeddings(frame: pd.DataFrame) -> Floats:
    """Return the columns e_00, e_01, ... as float64 (n, d)."""
    names = sorted(name for name in frame.columns if name.startswith("e_") and name[2:].isdigit())
    return frame[names].to_numpy(dtype=float)


def cross_fitted_distances(vectors: Floats) -> Floats:
    """Return each exam's distance by a map fitted on the other folds, (n,)."""
    n = len(vectors)
    fold = np.arange(n) % min(FOLDS, n)
    distances = np.empty(n)
    for one in np.unique(fold):
        held = fold == one
        distances[held] = EmbeddingMap.fit(vectors[~held]).distance(vectors[held])
    return distances


def quality_codes(frame: pd.DataFrame) -> list[set[str]]:
    """Return each exam's quality codes."""
    texts = frame["quality"] if "quality" in frame else pd.Series([""] * len(frame))
    return [{code for code in str(text or "").split("|") if code} for text in texts]


def robust_z(values: Floats, reference: Floats) -> Floats:
    """Return (n, C) deviations from the reference's median in robust SD.

    The scale is the larger of 1.4826 MAD and half the SD, so that a channel with
    many equal values is not blown up; where the reference is constant, any other
    value is infinitely far.
    """
    center = np.nanmedian(reference, axis=0)
    mad = 1.4826 * np.nanmedian(np.abs(reference - center), axis=0)
    scale = np.maximum(mad, 0.5 * np.nanstd(reference, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values == center, 0.0, (values - center) / scale)


def _decisions(frame: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    codes = quality_codes(frame)
    return {
        "score": frame["logit"].to_numpy(dtype=float),
        "recall": frame["recall"].to_numpy(dtype=float),
        "missing": np.array([float(bool(one & INCOMPLETE_CODES)) for one in codes]),
        "quality": np.array([float(bool(one & FAULT_CODES)) for one in codes]),
    }


def _has(frame: pd.DataFrame, name: str) -> bool:
    return name in frame.columns and bool(frame[name].notna().any())


def _column(frame: pd.DataFrame, name: str) -> Floats:
    return frame[name].to_numpy(dtype=float) if name in frame else np.full(len(frame), np.nan)
