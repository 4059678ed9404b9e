"""The drill's phantoms: drawn beside the running drill, kept for the next one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from flows.demo_stream import PhantomExam, list_exams
from flows.drill_scenarios import Scenario
from mammo.dicom.phantom import write_phantoms
from mammo.dicom.phantom_inverted import invert_phantoms

Progress = Callable[[int, int], None]


def draw(directory: Path, scenario: Scenario, progress: Progress | None = None) -> Path:
    """Write a scenario's phantoms; those that an earlier drill drew with the same numbers stay."""
    order = json.dumps(asdict(scenario), sort_keys=True)
    made = directory / "made.json"
    if made.is_file() and made.read_text() == order:
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    write_phantoms(
        directory, exams=scenario.exams + scenario.after, scanner=scenario.scanners,
        seed=scenario.seed, cancer_rate=scenario.cancer_rate, conspicuity=scenario.conspicuity,
        variations=scenario.variations, progress=progress,
    )  # fmt: skip
    if scenario.inverted:
        invert_phantoms(directory)
    made.write_text(order)
    return directory


def unseen_set(scenario: Scenario, exams: int, seed: int) -> Scenario:
    """Return exams like a scenario's of which nothing is learnt: other women."""
    name = f"{scenario.name}_test"
    return replace(scenario, name=name, seed=seed, exams=exams, after=0, outcomes=False)


class Studio:
    """Draws the sets in the order in which they are asked for, one after another.

    A set is drawn while the drill waits for something else; who asks for it waits for it.
    """

    def __init__(self, material: Path) -> None:
        self.material = material
        self._pool = ThreadPoolExecutor(1)
        self._drawn: dict[str, Future[Path]] = {}

    def order(self, scenario: Scenario) -> None:
        """Have a set drawn when those that were ordered before are."""
        place = self.material / scenario.name
        self._drawn.setdefault(scenario.name, self._pool.submit(draw, place, scenario))

    def folder(self, scenario: Scenario) -> Path:
        """Return where a set's phantoms are; waits for them."""
        self.order(scenario)
        return self._drawn[scenario.name].result()

    def exams(self, scenario: Scenario) -> list[PhantomExam]:
        """Return a set's exams in their order; waits for them."""
        return list_exams(self.folder(scenario))

    def close(self) -> None:
        """Draw nothing more; a set that is half drawn is drawn anew by the next drill."""
        self._pool.shutdown(wait=True, cancel_futures=True)
