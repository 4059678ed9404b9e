"""When and where women are screened: the fleet of scanners, the week and the year.

The fleet is that of the RSNA screening mammography set (2022, Kaggle), whose
``machine_id`` is a scanner model at one of two sites. Its patients per machine and their
ages are measured constants here; a test compares them with the set where it is present.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.strata import Stratum

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAYS_IN_YEAR = 365
EXAMS_PER_OPEN_DAY = 150.0
"""A choice: a programme of about 39,000 women a year, as a middle-sized region has."""
WEEKDAYS = (1.06, 1.06, 1.02, 1.00, 0.86, 0.0, 0.0)
"""A choice: Monday to Friday, the mean of which is 1; closed at weekends. Day 0 is a Monday."""
SEASON = 0.08
"""A choice: volume is so much higher at the end of winter, and lower in late summer."""
BUSIEST_DAY = 60


@dataclass(frozen=True)
class Machine:
    """A scanner model at a site: patients in RSNA ``train.csv``, their age in years.

    ``versions`` maps software versions to their part of the machine's exams. The set
    tells none: two machines with two versions each are a choice, as fleets are
    never upgraded in one night.
    """

    site: str
    name: str
    patients: int
    age_mean: float
    age_sd: float
    versions: tuple[tuple[str, float], ...] = (("1.0", 1.0),)


FLEET: tuple[Machine, ...] = (
    Machine("site 1", "machine 49", 4589, 57.3, 11.4, (("1.0", 0.7), ("1.1", 0.3))),
    Machine("site 1", "machine 216", 386, 59.5, 11.5),
    Machine("site 1", "machine 93", 388, 57.9, 11.1),
    Machine("site 1", "machine 210", 234, 52.5, 8.9),
    Machine("site 1", "machine 170", 191, 59.2, 11.5),
    Machine("site 1", "machine 190", 27, 57.3, 11.0),
    Machine("site 1", "machine 197", 4, 54.5, 9.0),
    Machine("site 2", "machine 21", 2000, 60.1, 7.8),
    Machine("site 2", "machine 29", 2021, 59.1, 8.0, (("2.0", 0.55), ("2.1", 0.45))),
    Machine("site 2", "machine 48", 2074, 60.4, 8.4),
)
"""Machine 29 and 190 share one patient, so that the counts are one more than the patients."""
REFERENCE_EXAMS = sum(machine.patients for machine in FLEET)


def list_strata() -> list[Stratum]:
    """Return the fleet's strata, one per machine and version; their order is the index."""
    return [Stratum(m.site, m.name, version) for m in FLEET for version, _ in m.versions]


def list_machines() -> list[Machine]:
    """Return each stratum's machine, in the order of `list_strata`."""
    return [machine for machine in FLEET for _ in machine.versions]


def measure_shares() -> Floats:
    """Return each stratum's part of all exams, (S,), sum 1."""
    parts = [machine.patients * part for machine in FLEET for _, part in machine.versions]
    return np.array(parts) / sum(parts)


def is_open(day: Ints) -> NDArray[np.bool_]:
    """Tell whether women are screened on these days (day 0 is a Monday)."""
    return np.asarray(WEEKDAYS)[day % 7] > 0


def mean_volume(day: Ints) -> Floats:
    """Return expected exams of each day as a part of an average open day's."""
    season = 1 + SEASON * np.cos(2 * np.pi * (day - BUSIEST_DAY) / DAYS_IN_YEAR)
    return np.asarray(WEEKDAYS)[day % 7] * season


def draw_schedule(
    rng: np.random.Generator, days: Ints, exams_per_open_day: float
) -> tuple[Ints, Ints]:
    """Draw exams in order of scoring: day (n,) and index of stratum (n,).

    Exams of a day are Poisson; within a day the scanners come in random order.
    """
    day = np.repeat(days, rng.poisson(exams_per_open_day * mean_volume(days)))
    edges = np.cumsum(measure_shares())
    stratum = np.searchsorted(edges, rng.random(len(day)) * edges[-1], side="right")
    return day, np.minimum(stratum, len(edges) - 1)
