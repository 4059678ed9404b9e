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

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

Floats = NDArray[np.float64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIXES = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


def tie_breakers(exam_ids: Iterable[str], seed: int, count: int) -> Floats:
    """Return uniforms in (0, 1) from the exams' ids, (n, count): a rerun draws the same.

    The ids are hashed by pandas (SipHash), the channels' draws made of the hash by
    SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2714064.2660195).
    """
    ids = np.asarray(list(exam_ids), dtype=object)
    key = f"mammo-{seed % 10**10:010d}"
    hashed = hash_array(ids, hash_key=key, categorize=False)
    state = hashed[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    for shift, factor in _MIXES:
        state = (state ^ (state >> shift)) * factor
    state ^= state >> np.uint64(31)
    return np.asarray((state / 2.0**64).clip(1e-12, 1 - 1e-12))


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
