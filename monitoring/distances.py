"""How far each channel lies from its reference: PSI and Wasserstein, and both histograms.

These are for people to look at, and decide nothing: neither controls false alarms
over repeated looks. PSI is high by chance alone where exams are few, so what chance
gives stands beside it: for B bins and n recent, m reference exams PSI is about
``(1/n + 1/m) * chi2(B - 1)`` while nothing has changed (Yurdakul 2018, *Statistical
properties of the population stability index*).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from monitoring.conformal import Floats
from monitoring.strata import Stratum

BINS = 10
"""Bins of the PSI, each with as many reference exams; few distinct values are a bin each."""
EMPTY_SHARE = 1e-4
"""What an empty bin counts as, as in Evidently: the logarithm of 0 is nothing to add."""
CHANCE = 0.95
LEAST = 20
"""Reference exams that a node's own part needs to be compared with."""
PICTURE_BINS = 24
TAIL = 0.005
"""Share of the values that the picture's last bins gather on either side."""

Distances = dict[str, dict[str, dict[str, Any]]]
"""Node -> channel -> `ChannelShift.to_dict()`."""


@dataclass(frozen=True)
class Histogram:
    """Shares in [0, 1] of the exams that have a value, between ``edges`` (k + 1,), k bins.

    Where there are at most `BINS` distinct values, ``edges`` lie between them and
    ``values`` names them; otherwise ``values`` is empty.
    """

    edges: tuple[float, ...]
    reference: tuple[float, ...]
    recent: tuple[float, ...]
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class ChannelShift:
    """One channel, recent beside reference.

    ``psi`` >= 0, and ``psi_by_chance``: what it stays below with probability 0.95 while
    nothing has changed. ``wasserstein_sd`` is the Wasserstein-1 distance in SD of the
    reference; None where that is 0 or a side has no value. Means are in the channel's
    own unit, ``missing`` are shares of exams without a value.
    """

    exams: int
    reference_exams: int
    psi: float | None
    psi_by_chance: float | None
    wasserstein_sd: float | None
    mean: float | None
    reference_mean: float | None
    missing: float
    reference_missing: float
    histogram: Histogram | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def channel_shifts(
    recent: Floats, reference: Floats, names: Sequence[str]
) -> dict[str, ChannelShift]:
    """Return each channel's distances; ``recent`` is (n, C), ``reference`` (m, C), NaN missing.

    An empty side gives no distances, and says with its count that it is empty.
    """
    width = len(names)
    now, before = np.reshape(recent, (-1, width)), np.reshape(reference, (-1, width))
    return {name: _shift(now[:, at], before[:, at]) for at, name in enumerate(names)}


def _shift(recent: Floats, reference: Floats) -> ChannelShift:
    now, before = recent[np.isfinite(recent)], reference[np.isfinite(reference)]
    known = bool(len(now) and len(before))
    psi, chance = _psi(recent, reference) if len(recent) and len(before) else (None, None)
    return ChannelShift(
        exams=len(recent),
        reference_exams=len(reference),
        psi=psi,
        psi_by_chance=chance,
        wasserstein_sd=_wasserstein(now, before) if known else None,
        mean=_mean(now),
        reference_mean=_mean(before),
        missing=_missing(recent),
        reference_missing=_missing(reference),
        histogram=_histogram(now, before) if known else None,
    )


def _psi(recent: Floats, reference: Floats) -> tuple[float, float]:
    """Return the PSI over bins of the reference, "missing" among them, and what chance gives."""
    points = _cut_points(reference[np.isfinite(reference)])
    counts = np.stack([_counts(values, points) for values in (reference, recent)])
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = np.maximum(counts / counts.sum(axis=1, keepdims=True), EMPTY_SHARE)
    psi = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    spread = 1 / len(recent) + 1 / len(reference)
    free = max(counts.shape[1] - 1, 0)
    chance = float(spread * stats.chi2.ppf(CHANCE, free)) if free else 0.0
    return round(psi, 4), round(chance, 4)


def _cut_points(reference: Floats) -> Floats:
    distinct = np.unique(reference)
    if len(distinct) <= BINS:
        return distinct
    return np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))


def _counts(values: Floats, points: Floats) -> Floats:
    """Count exams below, at and between the points; the last count is of the missing ones."""
    known = values[np.isfinite(values)]
    place = np.searchsorted(points, known, "left") + np.searchsorted(points, known, "right")
    counts = np.bincount(place, minlength=2 * len(points) + 1)
    return np.append(counts, len(values) - len(known)).astype(float)


def _wasserstein(now: Floats, before: Floats) -> float | None:
    spread = float(before.std())
    if spread == 0.0:
        return None
    return round(float(stats.wasserstein_distance(now, before)) / spread, 4)


def _histogram(now: Floats, before: Floats) -> Histogram:
    both = np.concatenate([now, before])
    distinct = np.unique(both)
    if len(distinct) <= BINS:
        middles = (distinct[1:] + distinct[:-1]) / 2
        edges = np.concatenate([[distinct[0] - 0.5], middles, [distinct[-1] + 0.5]])
    else:
        distinct = distinct[:0]
        edges = _even_edges(now, before)
    shares = [_shares(one, edges) for one in (before, now)]
    return Histogram(_rounded(edges), shares[0], shares[1], _rounded(distinct))


def _even_edges(now: Floats, before: Floats) -> Floats:
    """Return edges of bins of one width; whole numbers get bins of whole numbers."""
    low = min(float(np.quantile(one, TAIL)) for one in (now, before))
    high = max(float(np.quantile(one, 1 - TAIL)) for one in (now, before))
    if not all(np.array_equal(one, np.round(one)) for one in (now, before)):
        return np.linspace(low, high, PICTURE_BINS + 1)
    width = max(np.ceil((high - low + 1) / PICTURE_BINS), 1.0)
    return np.arange(np.floor(low) - 0.5, high + 0.5 + width, width)


def _shares(values: Floats, edges: Floats) -> tuple[float, ...]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return _rounded(counts / len(values), 5)


def _rounded(values: Floats, digits: int = 6) -> tuple[float, ...]:
    return tuple(float(f"{value:.{digits}g}") for value in values)


def _mean(values: Floats) -> float | None:
    return float(f"{values.mean():.6g}") if len(values) else None


def _missing(values: Floats) -> float:
    return round(float(1 - np.isfinite(values).mean()), 4) if len(values) else 0.0


def shift_nodes(
    recent: Floats,
    recent_strata: Sequence[Stratum],
    reference: Floats,
    reference_strata: Sequence[Stratum],
    names: Sequence[str],
    nodes: Iterable[Stratum],
) -> Distances:
    """Return node name -> channel -> `ChannelShift.to_dict()`, for the report and its pages.

    A node (a stratum with empty parts: site, scanner, or all) takes the exams of all
    strata below it. It is compared with the same part of the reference, else with the
    scanner's, else with all of it: the smallest of them that holds `LEAST` exams.
    """
    found = {}
    for node in nodes:
        now = recent[_below(node, recent_strata)]
        parts = (node, Stratum("", node.scanner, ""), Stratum("", "", ""))
        masks = [_below(one, reference_strata) for one in parts]
        mask = next((one for one in masks if one.sum() >= LEAST), masks[-1])
        shifts = channel_shifts(now, reference[mask], names)
        found[node.name] = {name: one.to_dict() for name, one in shifts.items()}
    return found


def numbers_only(distances: Distances) -> Distances:
    """Return `shift_nodes`'s distances without their histograms: what metrics keep."""
    return {
        node: {
            channel: {name: value for name, value in one.items() if name != "histogram"}
            for channel, one in channels.items()
        }
        for node, channels in distances.items()
    }


def _below(node: Stratum, strata: Sequence[Stratum]) -> NDArray[np.bool_]:
    """Return which exams are of the node; its empty parts hold for every exam."""
    wanted = {part: value for part, value in asdict(node).items() if value}
    of = {one: all(getattr(one, p) == v for p, v in wanted.items()) for one in set(strata)}
    return np.array([of[one] for one in strata], dtype=bool)
