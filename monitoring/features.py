"""Channels: the few numbers per exam that are watched, from the log's exam frame.

    score                the logit
    recall               1 if the exam was recalled
    missing              1 if a view of the exam is missing
    refused              1 if a file of the exam was refused
    quality              1 if the image itself has a quality code
    embedding_1, _2      projections on the first principal axes of the reference
    embedding_distance   Mahalanobis distance with a shrunk covariance (SD, >= 0)
    <image feature>      f_<name>: mean intensity, contrast, sharpness, noise, breast fraction
    <header feature>     f_<name>: thickness, compression force, kVp, exposure
    age_years            f_age_years

Two more are made of blocks of exams: ``score_ks`` and ``embedding_mmd``.

A value is only ever compared by rank with the reference's values, so scale and
distribution do not matter. Distances of reference exams are cross-fitted: an
exam that shaped the covariance lies nearer to it than a new one would, and a
monitor calibrated on such distances alarms on everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from mammo.quality import FAULT_CODES
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.embedding import FEATURES, EmbeddingMap, cross_fitted_distances

FLAGS = {
    "missing": frozenset({"MISSING_VIEW"}),
    "refused": frozenset({"FILE_REFUSED"}),
    "quality": FAULT_CODES,
}
DECISIONS = ("score", "recall", "missing", "refused", "quality")
EMBEDDING = ("embedding_1", "embedding_2", "embedding_distance")
HEADER = ("thickness_mm", "compression_n", "kvp", "exposure_mas")
POPULATION = ("age_years",)
BLOCKS = ("score_ks", "embedding_mmd")
GROUPS = {
    "score": "score",
    "recall": "recall",
    "missing": "missing",
    "refused": "missing",
    "quality": "image",
    "score_ks": "score",
    "embedding_mmd": "embedding",
    **dict.fromkeys(EMBEDDING, "embedding"),
    **dict.fromkeys(HEADER, "header"),
    **dict.fromkeys(POPULATION, "population"),
}
MIN_KNOWN = 20
"""Reference exams that have a value of the channel (or half of them, where there are few)."""

Columns = Mapping[str, Floats]


def channel_group(channel: str) -> str:
    """Return what a channel is of.

    One of ``score``, ``recall``, ``missing``, ``embedding``, ``image``, ``header``
    and ``population``.
    """
    return GROUPS.get(channel, "image")


@dataclass(frozen=True)
class ChannelMap:
    """From exams to channel values (n, C), as one release's reference defines them."""

    names: tuple[str, ...]
    embedding: EmbeddingMap | None

    @classmethod
    def fit(cls, reference: pd.DataFrame, config: MonitorConfig) -> tuple[Self, Floats]:
        """Fit on the reference; return the map and the reference's own values (n, C).

        Channels that the reference does not have are left out.
        """
        return cls.fit_columns(channel_columns(reference, config), embeddings(reference), config)

    @classmethod
    def fit_columns(
        cls, columns: Columns, vectors: Floats, config: MonitorConfig
    ) -> tuple[Self, Floats]:
        """Fit on arrays, as `fit`: scalar channels (n,) by name and embeddings (n, d).

        A channel that fewer than 20 exams have (or half of them) is left out, and
        all of the embedding where no two exams have one.
        """
        known = np.isfinite(vectors).all(axis=1) if vectors.shape[1] else np.zeros(0, bool)
        embedding = EmbeddingMap.fit(vectors[known], config.seed) if known.sum() > 2 else None
        names = [name for name in DECISIONS if name in columns]
        names += EMBEDDING if embedding else ()
        further = (*config.image_features, *HEADER, *POPULATION)
        names += [name for name in further if name in columns and _is_known(columns[name])]
        channels = cls(tuple(names), embedding)
        values = channels.values_of(columns, vectors)
        if embedding:
            column = names.index("embedding_distance")
            values[known, column] = cross_fitted_distances(vectors[known])
        return channels, values

    def values(self, frame: pd.DataFrame) -> Floats:
        """Return the channels of each exam, (n, C) float64; NaN where one is missing."""
        return self.values_of(_frame_columns(frame, self.names), embeddings(frame))

    def values_of(self, columns: Columns, vectors: Floats) -> Floats:
        """Return the same of arrays: scalar channels (n,) by name and embeddings (n, d).

        What is not given, not finite or, of embeddings, not of the reference's width
        is NaN: it says nothing, and is never taken for a number.
        """
        count = len(vectors)
        parts = dict(columns) | self._embedded(vectors)
        values = np.full((count, len(self.names)), np.nan)
        for at, name in enumerate(self.names):
            if name in parts:
                values[:, at] = parts[name]
        values[~np.isfinite(values)] = np.nan
        return values

    def phi(self, vectors: Floats) -> Floats:
        """Return the kernel's random features of embeddings (n, d), (n, D).

        Rows of NaN where an exam has none, or where the reference or the width gives none.
        """
        if self.embedding is None or not self._fits(vectors):
            return np.full((len(vectors), FEATURES), np.nan)
        # an infinite embedding is none; one beyond single precision has no angle either
        with np.errstate(invalid="ignore", over="ignore"):
            return self.embedding.phi(vectors)

    def _embedded(self, vectors: Floats) -> dict[str, Floats]:
        if self.embedding is None or not self._fits(vectors):
            return {}
        with np.errstate(invalid="ignore"):
            axes, distance = self.embedding.place(vectors)
        return dict(zip(EMBEDDING, (*axes.T, distance), strict=True))

    def _fits(self, vectors: Floats) -> bool:
        return self.embedding is not None and vectors.shape[1] == len(self.embedding.center)


def embeddings(frame: pd.DataFrame) -> Floats:
    """Return the columns e_00, e_01, ... as float64 (n, d)."""
    names = sorted(name for name in frame.columns if name.startswith("e_") and name[2:].isdigit())
    return frame[names].to_numpy(dtype=float)


def channel_columns(frame: pd.DataFrame, config: MonitorConfig) -> dict[str, Floats]:
    """Return the scalar channels that an exam frame has, (n,) each, by their names."""
    return _frame_columns(frame, (*DECISIONS, *config.image_features, *HEADER, *POPULATION))


def quality_flags(frame: pd.DataFrame, codes: frozenset[str]) -> Floats:
    """Return 1.0 for exams that have one of the quality codes, else 0.0, (n,)."""
    if "quality" not in frame:
        return np.zeros(len(frame))
    # few different texts among many exams: each is read once
    place, texts = pd.factorize(frame["quality"].fillna("").astype(str))
    flags = np.array([float(bool(codes & set(text.split("|")))) for text in texts])
    return flags[place] if len(texts) else np.zeros(len(frame))


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


def _frame_columns(frame: pd.DataFrame, names: tuple[str, ...]) -> dict[str, Floats]:
    """Return those of the scalar channels that the frame has."""
    features = {name: f"f_{name}" for name in names if f"f_{name}" in frame}
    features |= {"score": "logit"} if "score" in names else {}
    features |= {"recall": "recall"} if "recall" in names else {}
    found = {name: frame[column].to_numpy(dtype=float) for name, column in features.items()}
    flags = {name: quality_flags(frame, codes) for name, codes in FLAGS.items() if name in names}
    return found | flags


def _is_known(values: Floats) -> bool:
    return int(np.isfinite(values).sum()) >= max(1, min(MIN_KNOWN, len(values) // 2))
