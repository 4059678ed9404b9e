"""What theory allows: a likelihood-ratio CUSUM that knows the change before it comes.

At a given rate of false alarms no rule has a shorter worst mean delay than the CUSUM of the
log-likelihood ratio between the world after the change and the world before (Moustakides
1986, Ann. Statist. 14:1379). It is told where the change comes, how large it is and which
channel moves, and has its whole budget for this one change: a real control watches all
channels and strata for changes of any size. It sees each exam's score, in SD of its
stratum's true distribution; what the other channels tell of the score (4 % of its
variance) is left out.

Run lengths are exact up to the grid: CUSUM as a Markov chain (Brook and Evans 1972,
Biometrika 59:539), the change coming when the chain is in its steady state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import toeplitz
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.continual.scores import SEPARATION
from benchmarks.continual.volumes import (
    EXAMS_PER_OPEN_DAY,
    WEEKDAYS,
    Floats,
    list_strata,
    measure_shares,
)
from benchmarks.continual.women import PREVALENCE

STATES = 240
GRID = np.linspace(-9.0, 12.0, 8401)
"""Scores in SD of the stratum: fine enough that the steps of the chain set the error."""
OPEN_DAYS_IN_YEAR = 261
Density = Callable[[Floats], Floats]


@dataclass(frozen=True)
class KnownChange:
    """Densities of the score before and after, and the part of all exams concerned."""

    before: Density
    after: Density
    share: float = 1.0


@dataclass(frozen=True)
class Limit:
    """The best possible: median and 90 % range of the delay in calendar days, as
    `benchmarks.continual.judge` counts them, and the median in exams of the programme."""

    median_days: float
    low_days: float
    high_days: float
    median_exams: float
    false_alarms_a_year: float


def mixture(prevalence: float = PREVALENCE, shift: float = 0.0, part: float = 1.0) -> Density:
    """Return the density of scores: binormal, a random ``part`` of all moved by ``shift`` SD."""

    def binormal(score: Floats) -> Floats:
        cancers = prevalence * norm.pdf(score - SEPARATION)
        return np.asarray((1 - prevalence) * norm.pdf(score) + cancers)

    return lambda score: part * binormal(score - shift) + (1 - part) * binormal(score)


def known_changes() -> dict[str, KnownChange]:
    """Return the scenarios whose change the score alone defines."""
    sites = np.array([stratum.site == "site 2" for stratum in list_strata()])
    before, half = mixture(), float(measure_shares()[sites].sum())
    return {
        "shift_all": KnownChange(before, mixture(shift=0.25)),
        "shift_half": KnownChange(before, mixture(shift=0.25), half),
        "shift_random_half": KnownChange(before, mixture(shift=0.25, part=0.5)),
        "shift_fifth": KnownChange(before, mixture(shift=1.0, part=0.2)),
        "prevalence_up": KnownChange(before, mixture(2 * PREVALENCE)),
        "prevalence_down": KnownChange(before, mixture(PREVALENCE / 2)),
    }


def best_delay(change: KnownChange, false_alarms_a_year: float) -> Limit:
    """Return the delay of the CUSUM that knows the change, at that rate of false alarms."""
    ratio = np.log(change.after(GRID) / change.before(GRID))
    quiet, changed = (
        density(GRID) / density(GRID).sum() for density in (change.before, change.after)
    )
    exams_a_year = EXAMS_PER_OPEN_DAY * OPEN_DAYS_IN_YEAR * change.share
    wanted = exams_a_year / false_alarms_a_year
    threshold = _solve_threshold(ratio, quiet, wanted)
    start = _steady_state(_chain(ratio, quiet, threshold))
    run = _run_length(_chain(ratio, changed, threshold), start, int(2 * exams_a_year))
    days, weights = _calendar_days(run, change.share)
    low, median, high = _quantiles(days, weights, (0.05, 0.5, 0.95))
    exams = float(np.searchsorted(run, 0.5) + 1) / change.share
    return Limit(median, low, high, exams, false_alarms_a_year)


def _chain(ratio: Floats, weights: Floats, threshold: float) -> Floats:
    """Return the transition matrix of CUSUM between alarms, (STATES, STATES).

    A step between two states goes to either with the odds that keep its mean: steps far
    smaller than the distance of states (rare cancers) would be lost otherwise.
    """
    step = np.clip(ratio / (threshold / STATES), -STATES, STATES)
    lower = np.floor(step).astype(int)
    part = step - lower
    # index STATES is no step; more than STATES up or down are clipped, and the same
    mass = np.bincount(lower + STATES, weights * (1 - part), 2 * STATES + 2)
    mass += np.bincount(lower + STATES + 1, weights * part, 2 * STATES + 2)
    matrix = toeplitz(mass[STATES:0:-1], mass[STATES : 2 * STATES])
    matrix[:, 0] = mass.cumsum()[STATES - np.arange(STATES)]  # CUSUM stays at 0 or above
    return np.asarray(matrix)


def _mean_run_length(ratio: Floats, weights: Floats, threshold: float) -> float:
    chain = _chain(ratio, weights, threshold)
    return float(np.linalg.solve(np.eye(STATES) - chain, np.ones(STATES))[0])


def _solve_threshold(ratio: Floats, weights: Floats, wanted: float) -> float:
    def excess(threshold: float) -> float:
        return float(np.log(_mean_run_length(ratio, weights, threshold) / wanted))

    return float(brentq(excess, 0.05, 3 * np.log(wanted), xtol=1e-3))


def _steady_state(chain: Floats, steps: int = 4000) -> Floats:
    """Return where CUSUM is after long without an alarm (its quasi-stationary law)."""
    state = np.eye(STATES)[0]
    power = np.linalg.matrix_power(chain / chain.sum(axis=1).max(), steps)
    state = state @ power
    return np.asarray(state / state.sum())


def _run_length(chain: Floats, start: Floats, most: int) -> Floats:
    """Return the probability of an alarm within 1, 2, ... exams, until it is 0.999."""
    state = start
    within: list[float] = []
    while len(within) < most and (not within or within[-1] < 0.999):
        state = state @ chain
        within.append(1 - float(state.sum()))
    return np.array(within)


def _calendar_days(run: Floats, share: float) -> tuple[Floats, Floats]:
    """Return delays in calendar days and their weights, over changes of Monday to Friday."""
    days, weights = [], []
    for first in range(5):
        seen, before = 0.0, 0.0
        for day in range(first, first + 3 * 365):
            seen += EXAMS_PER_OPEN_DAY * WEEKDAYS[day % 7] * share
            now = float(run[min(int(seen), len(run)) - 1]) if seen >= 1 else 0.0
            days.append(day - first + 1.0)
            weights.append(now - before)
            before = now
            if seen > len(run):
                break
    return np.array(days), np.array(weights)


def _quantiles(values: Floats, weights: Floats, levels: tuple[float, ...]) -> list[float]:
    order = np.argsort(values, kind="stable")
    cumulative = weights[order].cumsum() / weights.sum()
    return [float(values[order][np.searchsorted(cumulative, level)]) for level in levels]
