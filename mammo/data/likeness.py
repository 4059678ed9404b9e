"""A perceptual hash of a prepared image: copies lie within a few bits, other breasts far apart.

The image is averaged onto 64 x 64 cells, turned so that the chest wall is left, its tones are
replaced by their ranks within the breast (blind to window and brightness), and the signs of 16 x
16 low frequencies of its cosine transform are the 256 bits.

Everything is integer arithmetic, so that a hash is the same on every machine: it is a column
of the index, whose bytes are compared. `imagehash` was measured and left out: its 256-bit phash
brings breasts nearer to each other and moves as far under a copy's changes (see below), works in
floating point, and its import (Pillow, SciPy) costs each reader's process half a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CELLS = 64
FREQUENCIES = 16
BITS = FREQUENCIES * FREQUENCIES
NEAR_BITS = 24
"""Two hashes at most so far apart are near-identical pictures.

Measured on the 224 images of mini-MIAS (24,976 pairs of different breasts, 224 changed copies
of each kind), bits of 256:

=====================================  ======  ===  =======
pair                                   median  95%  extreme
=====================================  ======  ===  =======
different patients                        116    -   min 55
left and right breast of a patient        104    -   min 71
saved again as JPEG (quality 60)            1    7   max 17
mirrored                                    5   13   max 22
other window (90 % of contrast)             0    6   max 11
half the size                               3   12  max 107
1 % cut off each edge                      14   31   max 46
2 % cut off each edge                      26   53   max 74
gamma 0.8                                  16   49  max 126
=====================================  ======  ===  =======

The largest distances are of images in which the breast was cut out elsewhere (film labels).
imagehash's phash of the same size: different patients from 42, 1 % cut off: 12, 30, 56, mirrored:
128. In 1.5e9 pairs (55 thousand images) chance is expected to bring a few as near as 25 to 30.
"""
BACKGROUND = 2000
"""Averages below this (of 65,535) are no breast."""
EXHAUSTIVE_ROWS = 200_000
WORDS, HALVES = BITS // 32, BITS // 16
CANDIDATES = 4_000_000


def perceptual_hash(pixels: NDArray[np.uint16]) -> str:
    """Return the hash of a prepared image, (height, width) uint16, as 64 hex digits.

    An image and its mirror image have (nearly) the same hash. An image without any
    structure hashes to zeros.
    """
    ranked = _rank(_turn(_average(pixels)))
    signs = _frequencies(ranked) > 0
    return np.packbits(signs.ravel()).tobytes().hex()


def distance(one: str, other: str) -> int:
    """Return in how many of the 256 bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def near_pairs(
    hashes: Sequence[str], threshold: int = NEAR_BITS
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]]:
    """Yield (first, second, distance) in blocks: places in ``hashes`` of near pairs, each once.

    Finds every pair up to 31 bits apart: at least one of the sixteen 16-bit parts then differs in
    at most one bit. Above `EXHAUSTIVE_ROWS` hashes only pairs that share one of eight 32-bit parts
    are found: all up to 7 bits apart, and most copies, since their changed bits lie together.
    ``threshold`` above 31 is a ValueError.
    """
    if not 0 <= threshold < 2 * HALVES:
        raise ValueError(f"threshold is {threshold}; allowed are 0 to {2 * HALVES - 1} bits")
    if len(hashes) < 2:
        return
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(len(hashes), -1)
    exhaustive = len(hashes) <= EXHAUSTIVE_ROWS
    kind, flips = (">u2", [0, *(1 << bit for bit in range(16))]) if exhaustive else (">u4", [0])
    parts = np.ascontiguousarray(packed).view(kind).astype(np.uint32)
    words = np.ascontiguousarray(packed).view(np.uint64)
    for part in range(parts.shape[1]):
        yield from _near_by_part(parts, part, flips, words, threshold)


def _near_by_part(
    parts: NDArray[np.uint32],
    part: int,
    flips: Sequence[int],
    words: NDArray[np.uint64],
    threshold: int,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]]:
    keys, place = np.unique(parts[:, part], return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.append(np.searchsorted(place[order], np.arange(keys.size)), place.size)
    for flip in flips:
        wanted = keys ^ np.uint32(flip)
        found = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        there = keys[found] == wanted
        low, high = (np.where(there, starts[found + end], 0)[place] for end in (0, 1))
        for first, second in _expand(low, high, order):
            apart = np.bitwise_count(words[first] ^ words[second]).sum(1).astype(np.int64)
            near = (first < second) & (apart <= threshold)
            near[near] &= ~_met_before(parts, part, flips, first[near], second[near])
            if near.any():
                yield first[near], second[near], apart[near]


def _expand(
    low: NDArray[np.intp], high: NDArray[np.intp], order: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the pairs (row, each row of its range), a bounded number at a time."""
    counts = high - low
    upto = np.cumsum(counts)
    start = 0
    while start < counts.size:
        done = upto[start - 1] if start else 0
        stop = max(int(np.searchsorted(upto, done + CANDIDATES, "right")), start + 1)
        some = counts[start:stop]
        first = np.repeat(np.arange(start, stop), some)
        inside = np.arange(first.size) - np.repeat(np.cumsum(some) - some, some)
        yield first, order[np.repeat(low[start:stop], some) + inside]
        start = stop


def _met_before(
    parts: NDArray[np.uint32],
    part: int,
    flips: Sequence[int],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Return which pairs an earlier part has brought together already."""
    differing = np.bitwise_count(parts[first, :part] ^ parts[second, :part])
    return np.asarray((differing <= (len(flips) > 1)).any(axis=1))


def _average(pixels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return the means of 64 x 64 cells; a smaller image has its pixels repeated first."""
    repeats = [-(-CELLS // side) for side in pixels.shape]
    large = pixels.repeat(repeats[0], 0).repeat(repeats[1], 1)
    edges = [np.arange(CELLS) * side // CELLS for side in large.shape]
    sums = np.add.reduceat(np.add.reduceat(large, edges[0], 0, np.int64), edges[1], 1)
    down, across = (
        np.diff(edge, append=side) for edge, side in zip(edges, large.shape, strict=True)
    )
    return np.asarray(sums // (down[:, None] * across[None, :]))


def _turn(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Mirror so that the brighter half is left: a copy may have been mirrored."""
    half = CELLS // 2
    return cells if cells[:, :half].sum() >= cells[:, half:].sum() else cells[:, ::-1]


def _rank(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace the breast's tones by their ranks, 0 to 4095; the background becomes 0."""
    breast = np.sort(cells[cells > BACKGROUND])
    if not breast.size:
        return np.zeros_like(cells)
    ranks = 1 + np.searchsorted(breast, cells) * 4094 // breast.size
    return np.asarray(np.where(cells > BACKGROUND, ranks, 0))


def _frequencies(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cosine coefficients 1 to 16 of either axis, exactly."""
    table = _cosines()
    return np.asarray(table @ cells @ table.T)


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.int64]:
    """Return the transform's rows (16, 64) in 4096ths."""
    order, place = np.arange(1, FREQUENCIES + 1)[:, None], np.arange(CELLS)[None, :]
    return np.rint(4096 * np.cos(np.pi * order * (2 * place + 1) / (2 * CELLS))).astype(np.int64)
