"""What the usual tests say of each window of exams: KS, chi-square, PSI, Wasserstein.

Everything is exact and vectorised over windows: each channel of a year is laid out as a
matrix (windows, exams) and sorted once; the reference's sorted values and their running
sums answer the rest by binary search. SciPy's and Evidently's own functions give the same
numbers on the same windows (`test_peers.py`) at a hundred times the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, kstwo

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PSI_BINS = 10
PSI_FLOOR = 1e-4
"""Deciles of the reference, empty shares raised to 1e-4: the usual recipe (Yurdakul 2018)."""
KS_ROOTS = np.linspace(0.0, 3.5, 141)
"""Root of the sample size times the statistic, where the table is; p is 5e-11 at its end."""


@dataclass(frozen=True)
class ReferenceColumn:
    """One channel of the reference: ``values`` (N,) sorted and finite, ``sums`` (N + 1,)
    their running sums from 0, ``first`` and ``last`` (N,) how many values are below and at
    most each, ``edges`` and ``shares`` of PSI's bins, ``binary`` for yes/no channels."""

    values: Floats
    sums: Floats
    first: Ints
    last: Ints
    edges: Floats
    shares: Floats
    binary: bool

    @classmethod
    def of(cls, column: Floats) -> ReferenceColumn:
        """Learn from a column (N,); NaN and infinite values are left out."""
        values = np.sort(column[np.isfinite(column)])
        binary = bool(np.isin(values, (0.0, 1.0)).all())
        cuts = np.array([0.5]) if binary else np.quantile(values, np.arange(1, PSI_BINS) / PSI_BINS)
        edges = np.unique(cuts)
        at = np.concatenate([[0], np.searchsorted(values, edges, side="right"), [len(values)]])
        shares = np.maximum(np.diff(at) / len(values), PSI_FLOOR)
        first, last = (np.searchsorted(values, values, side=side) for side in ("left", "right"))
        sums = np.concatenate([[0.0], values.cumsum()])
        return cls(values, sums, first, last, edges, shares, binary)

    def area(self, x: Floats, upto: Ints) -> Floats:
        """Return the integral of the reference's distribution function up to each x.

        ``upto`` counts the reference values that are at most x.
        """
        return np.asarray((upto * x - self.sums[upto]) / len(self.values))


@dataclass(frozen=True)
class Tested:
    """Windows (K,) x channels (C,) against the reference.

    ``p`` is the p-value of two-sample KS, of chi-square for yes/no channels;
    ``distance`` the Wasserstein distance in SD of the reference, for yes/no channels the
    Jensen-Shannon distance; ``psi`` the population stability index. ``last_day`` (K,) is the
    day of a window's last exam. Channels without values in a window are NaN there.
    """

    names: tuple[str, ...]
    last_day: Ints
    p: Floats
    psi: Floats
    distance: Floats


def learn_columns(columns: Mapping[str, Floats]) -> dict[str, ReferenceColumn]:
    """Return what is known of each reference channel that has values at all."""
    return {
        name: ReferenceColumn.of(values)
        for name, values in columns.items()
        if np.isfinite(values).any()
    }


def window_matrix(values: Floats, bounds: Ints) -> Floats:
    """Return (K, longest window): values[bounds[k]:bounds[k + 1]] sorted, padded with NaN."""
    lengths = np.diff(bounds)
    width = max(int(lengths.max(initial=0)), 1)
    inside = np.arange(width) < lengths[:, None]
    matrix = np.full(inside.shape, np.nan)
    matrix[inside] = np.where(np.isfinite(values), values, np.nan)[bounds[0] : bounds[-1]]
    matrix.sort(axis=1)
    return matrix


def test_windows(
    columns: Mapping[str, Floats],
    day: Ints,
    bounds: Ints,
    reference: Mapping[str, ReferenceColumn],
) -> Tested:
    """Test every window of exams against the reference, channel by channel.

    ``columns`` hold (n,) values in order of scoring, ``day`` (n,) their days; window k is
    ``bounds[k]:bounds[k + 1]``. Channels that the reference lacks are left out.
    """
    names = tuple(name for name in reference if name in columns)
    each = [_test_column(window_matrix(columns[one], bounds), reference[one]) for one in names]
    p, psi, distance = (np.stack([row[i] for row in each], axis=1) for i in range(3))
    return Tested(names, day[bounds[1:] - 1], p, psi, distance)


test_windows.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's


def _test_column(matrix: Floats, known: ReferenceColumn) -> tuple[Floats, Floats, Floats]:
    n = np.isfinite(matrix).sum(axis=1)
    psi = _psi(matrix, n, known)
    if known.binary:
        p, distance = _compare_rates(matrix, n, known)
    else:
        p, distance = _compare_numbers(matrix, n, known)
    return tuple(np.where(n > 0, one, np.nan) for one in (p, psi, distance))  # type: ignore[return-value]


def _psi(matrix: Floats, n: Ints, known: ReferenceColumn) -> Floats:
    bins = len(known.edges) + 1
    bin_of = np.searchsorted(known.edges, matrix.ravel(), side="left").reshape(matrix.shape)
    # a value equal to an edge belongs to the bin below it, as in the reference's shares
    row = np.arange(len(matrix))[:, None] * bins
    counted = np.isfinite(matrix)
    counts = np.bincount((row + bin_of)[counted], minlength=len(matrix) * bins)
    shares = counts.reshape(-1, bins) / np.maximum(n, 1)[:, None]
    shares = np.maximum(shares, PSI_FLOOR)
    return np.asarray(((shares - known.shares) * np.log(shares / known.shares)).sum(axis=1))


def _compare_rates(matrix: Floats, n: Ints, known: ReferenceColumn) -> tuple[Floats, Floats]:
    """Return chi-square p-values (1 degree of freedom) and Jensen-Shannon distances."""
    rate, ones = float(known.values.mean()), np.nansum(matrix, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (ones - n * rate) ** 2 / (n * rate * (1 - rate))
        p = np.where(ones == n * rate, 1.0, chi2.sf(statistic, 1))
        now = ones / n
        middle = (now + rate) / 2
        divergence = (_relative(now, middle) + _relative(np.full_like(now, rate), middle)) / 2
    return p, np.sqrt(np.maximum(divergence, 0.0))


def _relative(a: Floats, b: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of rate ``a`` from rate ``b`` in nats."""
    yes = np.where(a > 0, a * np.log(a / b), 0.0)
    no = np.where(a < 1, (1 - a) * np.log((1 - a) / (1 - b)), 0.0)
    return np.asarray(yes + no)


def _compare_numbers(matrix: Floats, n: Ints, known: ReferenceColumn) -> tuple[Floats, Floats]:
    size = len(known.values)
    counted = np.isfinite(matrix)
    largest = np.nanmax(np.where(counted, matrix, -np.inf), axis=1)
    x = np.where(counted, matrix, np.where(n > 0, largest, 0.0)[:, None])
    upto = np.searchsorted(known.values, x.ravel(), side="right").reshape(x.shape)
    before = np.maximum(upto - 1, 0)
    below = np.where(known.values[before] == x, known.first[before], upto)
    rank, share = np.arange(1, x.shape[1] + 1), 1 / np.maximum(n, 1)[:, None]
    over = np.where(counted, rank * share - upto / size, 0.0).max(axis=1)
    under = np.where(counted, below / size - (rank - 1) * share, 0.0).max(axis=1)
    distance = _wasserstein(x, upto, n, known) / max(float(known.values.std()), 1e-3)
    return ks_p_value(np.maximum(over, under), n, size), distance


def ks_p_value(statistic: Floats, n: Ints, size: int) -> Floats:
    """Return two-sided p-values of KS statistics of samples of ``n`` against ``size`` values.

    SciPy's asymptotic rule (Kolmogorov's exact one-sample law at n N / (n + N)), read from
    a table per sample size; its logarithm is off by less than 2e-3.
    """
    effective = np.round(n * size / np.maximum(n + size, 1)).astype(int)
    p = np.ones(len(statistic))
    for one in np.unique(effective[effective > 0]):
        rows = effective == one
        root = np.sqrt(one) * statistic[rows]
        far = np.log(2) - 2 * root**2  # Kolmogorov's leading term
        p[rows] = np.exp(
            np.where(root < KS_ROOTS[-1], np.interp(root, KS_ROOTS, _ks_table(one)), far)
        )
    return np.minimum(p, 1.0)


@cache
def _ks_table(effective: int) -> Floats:
    p = kstwo.sf(KS_ROOTS / np.sqrt(effective), effective)
    return np.asarray(np.log(np.maximum(p, 1e-300)))


def _wasserstein(x: Floats, upto: Ints, n: Ints, known: ReferenceColumn) -> Floats:
    """Return the integral of |F_window - F_reference| over each window (K,), exactly.

    ``x`` is sorted and padded with its largest. Between two neighbours of the window its own
    step function is a constant c; the reference's lies below c up to its quantile of c and
    not below it from there on.
    """
    size, highest = len(known.values), known.values[-1]
    left, right = x[:, :-1], x[:, 1:]
    area = known.area(x, upto)
    level = np.minimum(np.arange(1, x.shape[1]) / np.maximum(n, 1)[:, None], 1.0)
    at = np.ceil(level * size - 1e-9).astype(int) - 1
    turn = np.clip(known.values[at], left, right)
    upto_turn = np.clip(known.last[at], upto[:, :-1], upto[:, 1:])
    area_turn = known.area(turn, upto_turn)
    low = level * (turn - left) - (area_turn - area[:, :-1])
    high = (area[:, 1:] - area_turn) - level * (right - turn)
    end = np.maximum(x[:, -1], highest)
    after = (end - x[:, -1]) - (known.area(end, np.full(len(end), size)) - area[:, -1])
    return np.asarray(area[:, 0] + (low + high).sum(axis=1) + after)
