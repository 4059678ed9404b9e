"""What happens to a programme in its years, and when its monitor says so.

Events are those of `benchmarks.continual.scenarios`, one a year, in an order drawn anew for
each programme. Here they also turn the direction in which cancers show in the embedding:
a shift alone would leave the ranking within a scanner as it was, and there would be nothing
that retraining could regain. How far is a choice, given as the AUC that a classifier of the
old direction keeps (`KEPT_AUC`); a classifier that learns the new one has all of it again.

The monitor does not run here. Its delays are drawn from those that it had in the published
years (`benchmarks/continual.json`), its false alarms come at the rate measured there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from benchmarks.continual.events import Change
from benchmarks.continual.lot import Lot
from benchmarks.continual.scenarios import SCENARIOS
from benchmarks.continual.scores import AUC
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats, measure_shares

MEASURED = Path(__file__).parents[2] / "continual.json"
KEPT_AUC = {
    "scanner_replaced": 0.82,
    "software_upgrade": 0.85,
    "detector_ageing": 0.85,
    "concept": 0.82,
}
"""What the release keeps on the exams concerned, of 0.90: `concept` as its scenario says."""
SCANNERS = tuple(name for name in KEPT_AUC if name != "concept")
OTHERS = ("prevalence_up", "prevalence_down")
"""What asks for no release: the ranking stays as it was."""
BACK_DAYS = 7
"""A false alarm's estimate of its change: so many days before."""


@dataclass(frozen=True)
class Happening:
    """One event: its change, how far the cancers turn (radians), when it was confirmed.

    ``found_day`` is None where the monitor never said a cause that asks for an action, or
    where there is none to take (prevalence). ``change`` is None for a false alarm.
    """

    kind: str
    change: Change | None
    turn: float
    found_day: int | None
    since_day: int
    strata: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Whether all of the programme is concerned."""
        return not self.strata


def plan_happenings(lot: Lot, years: int, quiet_years: int = 1) -> list[Happening]:
    """Return the events of ``years`` years, then false alarms, in order of day of each.

    A year's kind is drawn from nine without putting back: new scanner, upgrade and ageing
    twice each, concept and a prevalence twice and half as high once each. The last
    ``quiet_years`` have none, so that every event has a year to be mended in.
    """
    measured = _measured()
    kinds = [*SCANNERS, *SCANNERS, "concept", *OTHERS]
    order = [kinds[place] for place in lot.rng.permutation(len(kinds))]
    taken: set[int] = set()
    happened = []
    for year in range(years - quiet_years):
        kind = order[year % len(order)]
        # what moves the score and its separation acts here through the embedding
        change = _apart(lot, kind, taken, year)
        taken |= set(change.strata)
        happened.append(_happening(lot, kind, change, measured))
    return [*happened, *_false_alarms(lot, years, measured)]


def _apart(lot: Lot, kind: str, taken: set[int], year: int) -> Change:
    """Return the kind's change on strata that had none yet (any, where none is left)."""
    for _ in range(50):
        change = SCENARIOS[kind](lot)[0]
        if not taken & set(change.strata):
            break
    return replace(change, day=change.day + year * DAYS_IN_YEAR, score=0.0, separation=0.0)


def _happening(lot: Lot, kind: str, change: Change, measured: Mapping[str, Any]) -> Happening:
    found = None
    if kind in KEPT_AUC:
        found = _found(lot, change.day, measured["scenarios"][kind]["delays"])
    since = found if found is not None and change.ramp_days else change.day
    return Happening(kind, change, _turn(lot, kind), found, int(since), change.strata)


def _turn(lot: Lot, kind: str) -> float:
    """Return the angle that leaves the old direction `KEPT_AUC`, varied as sizes are."""
    if kind not in KEPT_AUC:
        return 0.0
    return float(np.arccos(ndtri(KEPT_AUC[kind]) / ndtri(AUC))) * lot.size()


def _found(lot: Lot, day: int, delays: Sequence[int | None]) -> int:
    """Return the day of confirmation; a year that does not show it is followed by another."""
    waited = 0
    while True:
        delay = delays[int(lot.rng.integers(len(delays)))]
        if delay is not None:
            return day + waited + delay
        waited += DAYS_IN_YEAR


def _false_alarms(lot: Lot, years: int, measured: Mapping[str, Any]) -> list[Happening]:
    """Return false alarms of acquisition at their measured rate, each on one stratum."""
    rate = measured["ours"]["false_alarms_a_year"]["value"]
    days = np.sort(lot.rng.integers(0, years * DAYS_IN_YEAR, lot.rng.poisson(rate * years)))
    shares = measure_shares()
    return [
        Happening("false_alarm", None, 0.0, int(day), int(day) - BACK_DAYS, (int(stratum),))
        for day, stratum in zip(days, lot.rng.choice(len(shares), len(days), p=shares), strict=True)
    ]


def _measured() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(MEASURED.read_text())
    return found


def turned(direction: Floats, angle: float, covariance: Floats, rng: np.random.Generator) -> Floats:
    """Return (32,) what is added to cancers' embedding so that they show in another direction.

    ``direction`` (32,) is where they show, ``covariance`` (32, 32) that of either class. The
    new direction is as far from the others, so that the best linear classifier is as good;
    the old one keeps the cosine of ``angle`` of its distance.
    """
    inner = np.linalg.inv(covariance)
    other = rng.standard_normal(len(direction))
    other = np.linalg.cholesky(covariance) @ other
    other -= direction * (other @ inner @ direction) / (direction @ inner @ direction)
    other *= np.sqrt((direction @ inner @ direction) / (other @ inner @ other))
    return np.asarray((np.cos(angle) - 1) * direction + np.sin(angle) * other)
