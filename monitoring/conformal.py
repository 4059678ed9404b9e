"""Conformal normal scores: exact standardisation, however small the reference.

A new exam's value is ranked among the calibration values (the reference and the
exams already seen); ties are broken at random. While exams are exchangeable
with the calibration, these p-values are independent and uniform whatever the
distribution and the number of reference exams (Vovk, Gammerman & Shafer,
*Algorithmic Learning in a Random World*, theorem 8.2), so their normal scores
are independent N(0, 1). That is what keeps the thresholds honest with 20
reference exams: nothing is estimated, so no estimation error can alarm.

The price: a shift that goes on is slowly taken for normal, since its exams join
the calibration; with 500 exams in the calibration it no longer grows.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


def normal_scores(calibration: Floats, value: Floats, u: Floats, clip: float = 4.0) -> Floats:
    """Return the normal score of each column's new value; high values score high.

    ``calibration`` is (n, C), ``value`` and ``u`` (C,), ``u`` uniform in (0, 1).
    A missing value (NaN) gets the score of ``u`` alone: it says nothing.
    """
    size = np.isfinite(calibration).sum(axis=0)
    above = (calibration > value).sum(axis=0)
    ties = (calibration == value).sum(axis=0)
    missing = ~np.isfinite(value)
    upper = np.where(missing, u, (above + u * (ties + 1)) / (size + 1))
    return np.asarray(np.clip(-ndtri(upper), -clip, clip))


def smoothing_draws(exam_id: str, seed: int, count: int) -> Floats:
    """Return ``count`` uniforms in (0, 1) from the exam's id: a rerun draws the same."""
    digest = hashlib.shake_128(f"{seed}:{exam_id}".encode()).digest(8 * count)
    return (np.frombuffer(digest, dtype="<u8") / 2.0**64).clip(1e-12, 1 - 1e-12)


def random_ranks(reference: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return each column's ranks 0..n-1, ties in random order, missing values anywhere."""
    n, columns = reference.shape
    filled = np.where(np.isfinite(reference), reference, np.nan)
    ranks = np.empty((n, columns), dtype=np.int64)
    for column in range(columns):
        values = filled[:, column]
        draw = rng.permutation(n)
        known = np.isfinite(values)
        values = np.where(known, values, rng.choice(values[known], n) if known.any() else 0.0)
        ranks[np.lexsort((draw, values)), column] = np.arange(n)
    return ranks


def bootstrap_scores(
    ranks: NDArray[np.int64], streams: int, length: int, block: int, rng: np.random.Generator
) -> Floats:
    """Return in-control streams of normal scores, (length, streams, C).

    Blocks of consecutive reference exams are drawn with their ranks, so that the
    dependence between channels and between neighbours stays; a rank becomes a
    uniform within its step, so that every channel is N(0, 1) exactly.
    """
    n = len(ranks)
    block = max(1, min(block, n // 4))
    starts = rng.integers(0, n, size=(-(-length // block), 1, streams))
    rows = (starts + np.arange(block)[None, :, None]) % n
    picked = ranks[rows.reshape(-1, streams)[:length]]
    return np.asarray(ndtri((picked + rng.random(picked.shape)) / n))
