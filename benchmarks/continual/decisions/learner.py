"""The learner: logistic regression with a line for all and a small own line per scanner.

    lines = fit_lines(rows, parent)

Each exam's log-odds of cancer are ``x @ (shared + own[stratum])``, which is logistic
regression on features doubled for every domain (Daume 2007, "Frustratingly easy domain
adaptation"): a network can tell scanners apart and need not see all alike, so neither
must its stand-in. Training begins at the release in service and is held near it by a
ridge, as fine-tuning is by its few and small steps. It is really trained, on what outcomes
the programme knew on the day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from benchmarks.continual.decisions.exams import HELD, WIDTH, Exams
from benchmarks.continual.decisions.programme import Programme
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats, Ints

HEALTHY_PER_CANCER = 10
"""Healthy exams that are kept for each cancer; they then count for those left out."""
RIDGE_SHARED, RIDGE_OWN = 10.0, 30.0
"""How near the lines stay to their parent's, in cancers: a choice, not tuned."""
LEAST_CANCERS = 20
"""Cancers among matured exams from which on risks are calibrated."""
RIDGE_FREE = 1e-3
"""On the intercepts: next to nothing."""


@dataclass(frozen=True)
class Lines:
    """``shared`` (34,) and ``own`` (S, 34); the last place of each is the intercept."""

    shared: Floats
    own: Floats

    @classmethod
    def zero(cls, strata: int) -> Lines:
        """Return lines that know nothing."""
        return cls(np.zeros(WIDTH + 1), np.zeros((strata, WIDTH + 1)))

    def line(self, stratum: int) -> Floats:
        """Return a stratum's line, (34,)."""
        return np.asarray(self.shared + self.own[stratum])

    def logit(self, features: np.ndarray, stratum: Ints) -> Floats:
        """Return the log-odds of cancer, (n,)."""
        lines = self.shared + self.own
        scores = np.empty(len(stratum))
        for place in np.unique(stratum):
            rows = stratum == place
            scores[rows] = features[rows] @ lines[place, :-1] + lines[place, -1]
        return scores


@dataclass(frozen=True)
class Labelled:
    """What a training run is given: exams, their labels (n,) as known, and weights (n,)."""

    exams: Exams
    cancer: np.ndarray
    weight: Floats

    def __len__(self) -> int:
        """Return the number of exams."""
        return len(self.cancer)

    def joined(self, other: Labelled) -> Labelled:
        """Return these and others."""
        both = [np.concatenate(pair) for pair in zip(_parts(self), _parts(other), strict=True)]
        day, stratum, features, truth, part, outcome, cancer, weight = both
        return Labelled(Exams(day, stratum, features, truth, part, outcome.T), cancer, weight)


def _parts(rows: Labelled) -> list[np.ndarray]:
    one = rows.exams
    parts: list[np.ndarray] = [
        one.day,
        one.stratum,
        one.features,
        one.cancer,
        one.part,
        one.outcome_day.T,
    ]
    return [*parts, rows.cancer, rows.weight]


def thin(rows: Labelled, rng: np.random.Generator, most: int | None = None) -> Labelled:
    """Return all cancers and ten times as many healthy exams, weighted for those left out.

    With ``most`` at the most so many exams, cancers and others each drawn evenly from
    strata and years, as a replay buffer of that size is.
    """
    kept = []
    for cancer in (True, False):
        pool = np.flatnonzero(rows.cancer == cancer)
        wanted = len(pool) if cancer else HEALTHY_PER_CANCER * int(rows.cancer.sum())
        if most is not None:
            wanted = min(wanted, most // 11 if cancer else most - most // 11)
        kept.append(_draw_evenly(rows, pool, min(wanted, len(pool)), rng, even=most is not None))
    places = np.concatenate([part for part, _ in kept])
    weight = np.concatenate([part for _, part in kept])
    return Labelled(rows.exams.at(places), rows.cancer[places], rows.weight[places] * weight)


def _draw_evenly(
    rows: Labelled, pool: Ints, wanted: int, rng: np.random.Generator, *, even: bool
) -> tuple[Ints, Floats]:
    """Return places drawn from ``pool`` and what each counts for."""
    if wanted == 0:
        return pool[:0], np.zeros(0)
    chance = np.full(len(pool), 1 / len(pool))
    if even:  # by the square root of each cell: small ones are seen, and not worn out
        years = rows.exams.day[pool] // DAYS_IN_YEAR
        cells = rows.exams.stratum[pool] * 1000 + years
        _, cell, size = np.unique(cells, return_inverse=True, return_counts=True)
        chance = 1 / np.sqrt(size[cell])
        chance /= chance.sum()
    drawn = rng.choice(len(pool), wanted, replace=False, p=chance)
    weight = 1 / chance[drawn]
    return pool[drawn], weight * len(pool) / weight.sum()


def fit_lines(rows: Labelled, parent: Lines, strength: float = 1.0) -> Lines:
    """Return the lines that fit the rows best, held near the parent's.

    ``strength`` multiplies the ridges. Raises ValueError without a cancer or a healthy exam.
    """
    if rows.cancer.all() or not rows.cancer.any():
        raise ValueError("training needs exams of both classes, found one")
    order = np.argsort(rows.exams.stratum, kind="stable")
    stratum = rows.exams.stratum[order]
    places, starts = np.unique(stratum, return_index=True)
    x = np.column_stack([rows.exams.features[order].astype(float), np.ones(len(order))])
    y, weight = rows.cancer[order].astype(float), rows.weight[order]
    ridge = np.full(WIDTH + 1, RIDGE_SHARED * strength)
    ridge_own = np.full(WIDTH + 1, RIDGE_OWN * strength)
    ridge[-1], ridge_own[-1] = RIDGE_FREE, 1.0
    row = np.searchsorted(places, stratum)
    began = np.vstack([parent.shared, parent.own[places]])
    ridges = np.vstack([ridge, np.tile(ridge_own, (len(places), 1))])

    def loss(flat: Floats) -> tuple[float, Floats]:
        lines = flat.reshape(began.shape)
        z = np.einsum("ij,ij->i", x, (lines[0] + lines[1:])[row])
        off = lines - began
        value = weight @ (np.logaddexp(0.0, z) - y * z) + 0.5 * (ridges * off * off).sum()
        slope = np.add.reduceat(x * (weight * (expit(z) - y))[:, None], starts, axis=0)
        return float(value), (np.vstack([slope.sum(axis=0), slope]) + ridges * off).ravel()

    found = minimize(
        loss, began.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 60, "ftol": 1e-6}
    ).x.reshape(began.shape)
    own = parent.own.copy()
    own[places] = found[1:]
    return Lines(found[0], own)


def calibrated(lines: Lines, exams: Exams) -> Lines:
    """Return the lines stretched and moved to the risks of matured exams (Platt 1999).

    Training counts cancers that are not yet known as healthy, and these are the ones that
    the release in service scored low: its risks are too low there, and too steep. With
    fewer than `LEAST_CANCERS` the lines stay as they are.
    """
    if int(exams.cancer.sum()) < LEAST_CANCERS:
        return lines
    scores = lines.logit(exams.features, exams.stratum)

    def loss(by: Floats) -> tuple[float, Floats]:
        z = by[0] * scores + by[1]
        off = expit(z) - exams.cancer
        value = float((np.logaddexp(0.0, z) - exams.cancer * z).sum())
        return value, np.array([off @ scores, off.sum()])

    stretch, move = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B").x
    if stretch <= 0:  # nothing learnt: calibration must not turn the ranking round
        return lines
    moved = move * np.eye(WIDTH + 1)[-1]
    return Lines(stretch * lines.shared + moved, stretch * lines.own)


def first_lines(programme: Programme, rng: np.random.Generator) -> Lines:
    """Train the first release on the matured years before."""
    exams = programme.exams
    rows = exams.at(np.flatnonzero((exams.day < 0) & for_training(exams)))
    labelled = Labelled(rows, rows.cancer, np.ones(len(rows)))
    return fit_lines(thin(labelled, rng), Lines.zero(len(programme.strata)))


def for_training(exams: Exams) -> np.ndarray:
    """Tell which exams may be trained on, (n,) bool: women neither sealed nor held back."""
    return np.asarray(exams.part >= HELD)
