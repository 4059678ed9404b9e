"""What a training spent: time on the wall, time of processors, and energy where it is counted.

    meter = Meter()
    ...
    write_spent(directory, meter.read(resumed=False))

Energy is the processor packages' own counter (RAPL, Linux powercap): all that ran
on the machine meanwhile is in it. A GPU's is not, and most virtual machines have
no counter: then it is not known, and said so.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mammo.release import SPENT, write_json

POWERCAP = Path("/sys/class/powercap")
PACKAGES = "intel-rapl:[0-9]*"
"""AMD's packages go by this name as well."""


@dataclass(frozen=True)
class Spent:
    """Seconds and joules of one training.

    ``processor_s`` adds up all threads and child processes; ``energy_j`` is None
    where nothing counts it. ``resumed``: an earlier process did part of the
    work, which is not in here.
    """

    wall_s: float
    processor_s: float
    energy_j: float | None
    machine: str
    resumed: bool


class Meter:
    """Begins to count when it is made."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self.powercap = powercap
        self._wall, self._processor = time.perf_counter(), _processor_s()
        self._energy = _counters(powercap)

    def read(self, *, resumed: bool) -> Spent:
        """Return what was spent since."""
        return Spent(
            round(time.perf_counter() - self._wall, 3),
            round(_processor_s() - self._processor, 3),
            self._energy_j(),
            f"{platform.machine()}, {os.cpu_count()} processors",
            resumed,
        )

    def _energy_j(self) -> float | None:
        now = _counters(self.powercap)
        if not now or now.keys() != self._energy.keys():
            return None
        spent = 0
        for name, value in now.items():
            before = self._energy[name]
            spent += value - before if value >= before else value + _range(name) - before
        return round(spent / 1e6, 3)


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _counters(powercap: Path) -> dict[Path, int]:
    """Return each package's counter in microjoules; none where they cannot be read."""
    found = {}
    for zone in sorted(powercap.glob(PACKAGES)):
        if zone.name.count(":") > 1:
            continue  # a part of a package, which counts it already
        try:
            found[zone] = int((zone / "energy_uj").read_text())
        except (OSError, ValueError):  # most systems let only root read it
            return {}
    return found


def _range(zone: Path) -> int:
    """Return where a counter begins again, in microjoules."""
    return int((zone / "max_energy_range_uj").read_text())


def write_spent(directory: Path, spent: Spent) -> None:
    """Write it into a release's folder, outside of its digest: it is not of the model."""
    write_json(directory / SPENT, asdict(spent))


def read_spent(directory: Path) -> Spent | None:
    """Return what a release's training spent; None where it was not kept."""
    path = directory / SPENT
    return Spent(**json.loads(path.read_text())) if path.is_file() else None
