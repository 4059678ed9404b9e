"""All years under all rules: blocks of years share a reference and run in own processes.

Every year is drawn once per scenario and given to every rule. The same year has the same
women in every scenario up to the day of its event; another block has another reference
and other years, so that figures hold over references too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from benchmarks.continual.judge import JudgedYear, judge_year
from benchmarks.continual.ours import Ours, ablations
from benchmarks.continual.peers import YearTests, peers, sweep
from benchmarks.continual.recalibration import recalibrate_year
from benchmarks.continual.rules import Rule
from benchmarks.continual.scenarios import SCENARIOS
from benchmarks.continual.world import SimExams, SimYear, World

YEARS_A_REFERENCE = 20
"""Thresholds are set anew for each reference, which takes as long as some ten of its years."""
SWEPT = ("none", "shift_all", "shift_half", "shift_random_half", "shift_fifth")
"""Scenarios in which peers run at other thresholds too."""
ABLATED = {
    "none": 1,
    "shift_all": 4,
    "shift_half": 4,
    "scanner_replaced": 4,
    "software_upgrade": 4,
    "fault_missing": 4,
}
"""Scenarios in which the ablations run, in every n-th year: false alarms need the most."""
REFERENCES, YEARS = 1, 2
"""What a seed is for: the first word of its key."""
Judged = dict[tuple[str, str], list[JudgedYear]]
"""Judged years by rule and scenario."""


@dataclass(frozen=True)
class Block:
    """Years ``first`` .. ``first + years - 1`` after one reference, in ``scenarios``."""

    number: int
    first: int
    years: int
    scenarios: tuple[str, ...]
    ablations: bool
    seed: int


def plan_blocks(
    years: int, scenarios: Sequence[str], ablations: bool, seed: int = 0
) -> list[Block]:
    """Cut the years into blocks, two at least; the same ones whatever the workers.

    Raises ValueError for an unknown scenario.
    """
    unknown = sorted(set(scenarios) - set(SCENARIOS))
    if unknown:
        known = ", ".join(SCENARIOS)
        raise ValueError(f"Unknown scenario: {', '.join(unknown)}. Known: {known}.")
    size = min(YEARS_A_REFERENCE, -(-years // 2))
    return [
        Block(number, first, min(size, years - first), tuple(scenarios), ablations, seed)
        for number, first in enumerate(range(0, years, size))
    ]


def run_blocks(
    blocks: Sequence[Block], workers: int, tick: Callable[[int], object]
) -> Iterator[tuple[Block, Judged]]:
    """Yield each block with what it gave, as they come; ``tick(1)`` after every year.

    One worker runs in this process.
    """
    if workers == 1:
        for block in blocks:
            yield block, run_block(block, tick)
        return
    # spawned, not forked: threads of numba and BLAS do not survive a fork
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        ticks = manager.Queue()
        running = {pool.submit(run_block, block, ticks.put): block for block in blocks}
        waiting = set(running)
        while waiting:
            done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            for _ in range(ticks.qsize()):
                tick(ticks.get())
            yield from ((running[one], one.result()) for one in done)


def run_block(block: Block, tick: Callable[[int], object] = lambda years: None) -> Judged:
    """Run all rules over the block's years and judge them."""
    world = World()
    reference = world.reference(_generator(block.seed, REFERENCES, block.number))
    tests = YearTests()
    always, swept, ablated = [Ours(), *peers(tests)], sweep(tests), ablations()
    judged: Judged = {}
    for number in range(block.first, block.first + block.years):
        for scenario in block.scenarios:
            year = world.year(_generator(block.seed, YEARS, number), scenario)
            rules = always + swept * (scenario in SWEPT)
            if block.ablations and scenario in ABLATED and number % ABLATED[scenario] == 0:
                rules += ablated
            for rule in rules:
                judged.setdefault((rule.name, scenario), []).append(_judge(rule, year, reference))
        tick(1)
    return judged


def merge(parts: Sequence[tuple[Block, Judged]]) -> Judged:
    """Return all blocks' years together, in order of year."""
    merged: Judged = {}
    for _, judged in sorted(parts, key=lambda part: part[0].number):
        for key, years in judged.items():
            merged.setdefault(key, []).extend(years)
    return merged


def _judge(rule: Rule, year: SimYear, reference: SimExams) -> JudgedYear:
    alarms = rule.run(year, reference)
    return judge_year(year, alarms, recalibrate_year(year, alarms, reference))


def _generator(seed: int, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, number])
