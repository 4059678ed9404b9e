"""How hard each scenario is: what its data tell per day, before any rule looks at them.

    python -m benchmarks.continual.difficulty --years 24

Each year is drawn twice from the same random numbers, with the event and without, so that
the change of every exam is known exactly. What one exam tells is d * d / 2 nats for a
shift of d SD in normal scores; what outcomes tell is that of a Poisson count whose rate
changed plus that of the ranks of the cancers found. `NATS` over nats a day is how long a
rule takes that knows the strata, the channel and the size: a yardstick, not a rule.
The tables of docs/simulated_programme.md come from here.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from benchmarks.continual.events import InjectedEvent
from benchmarks.continual.scenarios import SCENARIOS
from benchmarks.continual.volumes import EXAMS_PER_OPEN_DAY, FLEET, REFERENCE_EXAMS, Floats
from benchmarks.continual.world import SimYear, World
from benchmarks.report import describe_run
from benchmarks.written import markdown_table, write_between

NATS = 10.0
"""Odds of 22,000 to 1: about what half a false alarm among 39,000 exams a year demands."""
SETTLED_DAYS = 180
"""Gradual changes are measured when they have come in full, at the latest so long after."""
TIMES_LARGER = 10
"""Outcomes are so rare that what they tell is measured in a larger programme."""
CLEAR_NATS_A_DAY = 5e-3
"""Below this, what is measured of outcomes may be chance."""
PAGE = Path(__file__).parents[2] / "docs/simulated_programme.md"
HEAD = [
    "scenario", "what happens", "clearest channel", "its shift, SD", "exams concerned a day",
    "days for 10 nats: inputs", "outcomes",
]  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What one event's best channel tells: its shift in normal scores, exams it is seen in
    per calendar day."""

    channel: str
    shift_sd: float
    exams: float

    @property
    def days(self) -> float:
        """Return calendar days for `NATS`; inf where no channel moves."""
        nats = self.exams * self.shift_sd**2 / 2
        return NATS / nats if nats else np.inf


def draw_pair(world: World, scenario: str, seed: int) -> tuple[SimYear, SimYear]:
    """Return the same year without and with the scenario's events."""
    quiet, year = (world.year(np.random.default_rng(seed), name) for name in ("none", scenario))
    return quiet, year


def measure_event(quiet: SimYear, year: SimYear, event: InjectedEvent) -> Told:
    """Measure one event; ``quiet`` is the same year without it."""
    there = _concerned(year, event)
    exams = (there & (year.day >= event.day)).sum() / (year.days - event.day)
    late = there & (year.day >= min(event.day + SETTLED_DAYS, year.days - 60))
    shifts = {name: _shift(quiet, year, name, late) for name in year.columns}
    channel = max(shifts, key=lambda name: shifts[name])
    return Told(channel if shifts[channel] else "none", shifts[channel], exams)


def measure_outcome_nats(scenario: str, seed: int = 1) -> float:
    """Return what the cancers found after recall tell, in nats per calendar day.

    Only of events that concern the whole programme; 0 for the others.
    """
    quiet, year = draw_pair(
        World(exams_per_open_day=TIMES_LARGER * EXAMS_PER_OPEN_DAY), scenario, seed
    )
    events = [event for event in year.truth if not event.strata]
    if not events:
        return 0.0
    late = year.day >= min(events[0].day + SETTLED_DAYS, year.days - 60)
    before, now = (one.logit[late & one.cancer & one.recall] for one in (quiet, year))
    ratio = len(now) / len(before)
    rank = shift_in_sd(before, now)
    a_day = len(before) / TIMES_LARGER / (year.days - year.day[late].min())
    return float(a_day * (ratio * np.log(ratio) - ratio + 1 + ratio * rank**2 / 2))


def shift_in_sd(before: Floats, now: Floats) -> float:
    """Return how far ``now`` (n,) lies from ``before`` (m,) in SD of its normal scores."""
    ordered = np.sort(before)
    scores = [_normal_scores(ordered, values) for values in (before, now)]
    spread = scores[0].std()
    return float((scores[1].mean() - scores[0].mean()) / spread) if spread else 0.0


def scenario_row(scenario: str, told: Sequence[Told], outcome_nats: float) -> list[str]:
    """Return a scenario's row of the page."""
    what = (SCENARIOS[scenario].__doc__ or "").splitlines()[0]
    outcomes = _days([NATS / outcome_nats]) if outcome_nats > CLEAR_NATS_A_DAY else "—"
    if not told:
        return [f"`{scenario}`", what, *["—"] * 5]
    channel = Counter(one.channel for one in told).most_common(1)[0][0]
    shift, exams = np.median([(one.shift_sd, one.exams) for one in told], axis=0)
    inputs = _days([one.days for one in told])
    return [f"`{scenario}`", what, channel, f"{shift:.2f}", f"{exams:.0f}", inputs, outcomes]


def fleet_row(year: SimYear, machine: int) -> list[str]:
    """Return a machine's row: what RSNA has of it, and what a simulated year has."""
    one = FLEET[machine]
    names = [(stratum.site, stratum.scanner) == (one.site, one.name) for stratum in year.strata]
    part = np.array(names)[year.stratum]
    versions = " and ".join(name for name, _ in one.versions)
    cells = [f"{one.patients / REFERENCE_EXAMS:.1%}", f"{part.mean():.1%}"]
    age = year.columns["age_years"][part]
    cells += [f"{one.age_mean:.1f} ± {one.age_sd:.1f}", f"{age.mean():.1f} ± {age.std():.1f}"]
    rate = f"{year.recall[part].mean():.1%}"
    return [one.site, one.name, versions, f"{one.patients:,}", *cells, rate]


def write_page(years: int, page: Path = PAGE) -> None:
    """Measure and write both tables of the page."""
    large = World(exams_per_open_day=TIMES_LARGER * EXAMS_PER_OPEN_DAY)
    quiet = large.year(np.random.default_rng(1))
    head = ["site", "scanner", "software versions", "patients in RSNA", "share", "drawn"]
    head += ["age in RSNA, years", "drawn", "recall rate drawn"]
    rows = [fleet_row(quiet, machine) for machine in range(len(FLEET))]
    write_between(page, "fleet", markdown_table(head, rows))
    rows = [_measure_row(name, years) for name in SCENARIOS]
    run = describe_run("", 0)
    caption = f"{years} years each; medians over events, in brackets 80 % of them. "
    caption += f"Commit {run['commit']}, {run['date']}."
    write_between(page, "scenarios", f"{markdown_table(HEAD, rows)}\n\n{caption}")


def main(words: Sequence[str] | None = None) -> None:
    """Measure all scenarios and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--years", type=int, default=24, help="years of each scenario")
    write_page(parser.parse_args(words).years)


def _measure_row(scenario: str, years: int) -> list[str]:
    told = []
    for seed in range(years):
        quiet, year = draw_pair(World(), scenario, seed)
        told += [measure_event(quiet, year, event) for event in year.truth]
    row = scenario_row(scenario, told, measure_outcome_nats(scenario))
    print(" | ".join(row), flush=True)
    return row


def _concerned(year: SimYear, event: InjectedEvent) -> np.ndarray:
    return np.isin(year.stratum, event.strata) if event.strata else np.ones(len(year), bool)


def _shift(quiet: SimYear, year: SimYear, name: str, rows: np.ndarray) -> float:
    before, now = quiet.columns[name][rows], year.columns[name][rows]
    known = np.isfinite(before) & np.isfinite(now)
    if not known.any() or np.array_equal(before[known], now[known]):
        return 0.0
    return abs(shift_in_sd(before[known], now[known]))


def _normal_scores(ordered: Floats, values: Floats) -> Floats:
    """Return normal scores, (n,); ties (counts of missing views) are ranked in their middle."""
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(ndtri((below / 2 + 0.5) / (len(ordered) + 1)))


def _days(days: Sequence[float]) -> str:
    low, middle, high = np.quantile(days, (0.1, 0.5, 0.9), method="nearest")
    if middle > 300:
        return "> 300" if np.isfinite(middle) else "—"
    form = ".1f" if middle < 10 else ".0f"
    if low == high:
        return f"{middle:{form}}"
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
