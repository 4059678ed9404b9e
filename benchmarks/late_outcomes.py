"""What late outcomes find in simulated years, how soon, and how soon anybody could.

    python -m benchmarks.late_outcomes --years 40
    python -m benchmarks.late_outcomes --years 40 --write    docs/late_outcomes.md, pictures
    python -m benchmarks.late_outcomes --years 5 --scenario concept --json

Two years of the simulated programme (`benchmarks.continual.world`) per draw, each with a
reference of its own; only the control of outcomes looks on. The limit is a CUSUM of the
likelihood ratio that knows the distributions before and after, with no reference to
learn from, at the same rate of false alarms.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from benchmarks.continual.intervals import median_delay, rate, share
from benchmarks.continual.scores import AUC, RECALL_RATE, SEPARATION
from benchmarks.continual.women import PREVALENCE
from benchmarks.continual.world import World
from benchmarks.report import describe_run
from benchmarks.written import markdown_table, write_between
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.outcome_control import OutcomeControl
from monitoring.outcome_findings import OutcomeConfig, OutcomeFindings

DOCS = Path("docs")
DAYS = 730
EXAMS_A_YEAR = 39_000
LATE_AUC = 0.82
"""What the scenario "concept" leaves of the AUC."""
SCENARIOS = {
    "none": "nothing",
    "concept": "cancers look otherwise: AUC 0.90 to 0.82",
    "prevalence_up": "twice as many cancers",
    "prevalence_down": "half as many cancers",
    "population_ageing": "older women",
    "shift_all": "all scores 0.25 SD higher",
    "software_upgrade": "images change at a scanner",
    "label_delay": "outcomes three months later",
}


@dataclass(frozen=True)
class Seen:
    """Findings of one draw, and the day of the change (None: there was none)."""

    findings: OutcomeFindings
    changed_on: int | None

    def delay(self, day: float | None) -> int | None:
        """Return days from the change to a confirmation; None where there was none."""
        return None if day is None or self.changed_on is None else round(day - self.changed_on)


def watch_years(scenario: str, years: int, days: int = DAYS) -> Iterator[Seen]:
    """Yield what outcomes say in ``years`` draws of a scenario."""
    world = World()
    config = OutcomeConfig.of(MonitorConfig(exams_a_year=EXAMS_A_YEAR))
    for number in range(years):
        before = world.reference(np.random.default_rng([number, 1]))
        seen = world.year(np.random.default_rng([number, 2]), scenario, days)
        control = OutcomeControl.start(
            before.logit,
            before.cancer,
            before.recall,
            config,
            reference_stratum=before.stratum,
        )
        findings = control.run(
            seen.day,
            seen.logit,
            seen.recall,
            seen.outcome_known_cancer,
            seen.outcome_day,
            stratum=seen.stratum,
            until=float(days),
        )
        yield Seen(findings, seen.truth[0].day if seen.truth else None)


def describe(seen: list[Seen]) -> dict[str, Any]:
    """Return the shares confirmed as concept and as prevalence, and the median delays (days)."""
    ranks = [one.findings.rank_day for one in seen]
    rates = [one.findings.rate_day for one in seen]
    first = [_first(one.findings) for one in seen]
    return {
        "ranks_fell": share(sum(day is not None for day in ranks), len(seen)).to_dict(),
        "rate_moved": share(sum(day is not None for day in rates), len(seen)).to_dict(),
        "confirmed_a_year": rate(sum(day is not None for day in first), len(seen) * 2).to_dict(),
        "delay_days": median_delay(
            [one.delay(day) for one, day in zip(seen, first, strict=True)]
        ).to_dict(),
        "rank_delays": [one.delay(day) for one, day in zip(seen, ranks, strict=True)],
    }


def _first(findings: OutcomeFindings) -> float | None:
    days = [day for day in (findings.rank_day, findings.rate_day) if day is not None]
    return min(days, default=None)


def limit_delays(draws: int = 400, seed: int = 0) -> list[int]:
    """Return after how many days of exams a CUSUM that knows all confirms the concept change.

    Recalled cancers come as a Poisson process, their scores are normal above the
    threshold, both known before and after. To the days come those until outcomes
    are complete.
    """
    rng = np.random.default_rng(seed)
    budget = MonitorConfig().false_alarms_a_year * MonitorConfig().outcome_share
    quiet = 365 * 20
    highest = [_cusum(rng, quiet, 0).max() for _ in range(draws // 2)]
    level = np.quantile(highest, np.exp(-budget * 20))
    found = []
    for _ in range(draws):
        path = _cusum(rng, 1500, 365)[365:] >= level
        found.append(int(path.argmax()) + 1 if path.any() else 1500)
    return found


def _cusum(rng: np.random.Generator, days: int, before: int) -> Floats:
    """Return the CUSUM of days, changed after the first ``before``; of none where that is 0."""
    late = np.arange(days) >= (before or days)
    cut, moved = ndtri(1 - RECALL_RATE), np.sqrt(2) * ndtri(LATE_AUC)
    found = {mean: ndtr(mean - cut) for mean in (SEPARATION, moved)}
    a_day = EXAMS_A_YEAR / 365 * PREVALENCE
    means = np.where(late, moved, SEPARATION)
    count = rng.poisson(a_day * ndtr(means - cut))
    mean = np.repeat(means, count)
    score = mean - ndtri(rng.random(len(mean)) * ndtr(mean - cut))
    ratio = found[moved] / found[SEPARATION]
    each = ((score - SEPARATION) ** 2 - (score - moved) ** 2) / 2 - np.log(ratio)
    gain = np.log(ratio) * count - a_day * (found[moved] - found[SEPARATION])
    total = np.cumsum(gain + np.bincount(np.repeat(np.arange(days), count), each, days))
    return np.asarray(total - np.minimum.accumulate(np.minimum(total, 0.0)))


def make_record(scenarios: list[str], years: int) -> dict[str, Any]:
    """Return everything that is published, JSON-able."""
    found = {name: describe(list(watch_years(name, years))) for name in scenarios}
    run = describe_run("", 0)
    return {
        "scenarios": found,
        "limit_days": sorted(limit_delays()),
        "auc": [AUC, LATE_AUC],
        "years": years,
        "commit": run["commit"],
        "date": run["date"],
    }


def table(record: dict[str, Any]) -> str:
    """Return the record as a Markdown table."""
    head = ["what changes", "ranks fell", "rate moved", "confirmed a year", "median delay, days"]
    rows = [
        [
            SCENARIOS[name],
            _percent(one["ranks_fell"]),
            _percent(one["rate_moved"]),
            _text(one["confirmed_a_year"], 2) if name == "none" else "–",
            _text(one["delay_days"], 0) if name != "none" else "–",
        ]
        for name, one in record["scenarios"].items()
    ]
    return markdown_table(head, rows)


def _percent(measure: dict[str, float]) -> str:
    value, low, high = (100 * measure[name] for name in ("value", "low", "high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def _text(measure: dict[str, float | None], digits: int) -> str:
    value, low, high = (measure[name] for name in ("value", "low", "high"))
    if value is None:
        return "most not"
    top = "never" if high is None else f"{high:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {top})"


def plot(record: dict[str, Any], path: Path) -> None:
    """Draw which part of concept changes is confirmed how long after: ours and the limit's."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    ours = record["scenarios"]["concept"]["rank_delays"]
    months = np.linspace(0, 18, 200)
    days = months * 30.4
    known = np.array([np.inf if one is None else one for one in ours])
    limit = np.array(record["limit_days"])
    axes.plot(months, [(known <= day).mean() for day in days], label="ranks of recalled cancers")
    axes.plot(
        months,
        [(limit + 50 <= day).mean() for day in days],
        "--",
        label="limit: everything known, + 50 days for the outcomes",
    )
    axes.set(
        xlabel="months since the change",
        ylabel="part confirmed",
        ylim=(0, 1.02),
        title="AUC 0.90 to 0.82, 0.05 false alarms a year",
    )
    axes.legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Read the command line, simulate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--years", type=int, default=40, help="draws of two years each")
    parser.add_argument("--scenario", nargs="+", default=list(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--json", action="store_true", help="print the record")
    parser.add_argument("--write", action="store_true", help="write the page and its picture")
    asked = parser.parse_args()
    record = make_record(asked.scenario, asked.years)
    print(json.dumps(record) if asked.json else table(record))
    limit = np.median(record["limit_days"])
    if not asked.json:
        print(f"\nlimit for concept: {limit:.0f} days of exams, and those until outcomes are known")
    if asked.write:
        page = DOCS / "late_outcomes.md"
        write_between(page, "late outcomes", f"{table(record)}\n\n{_origin(record, limit)}")
        plot(record, DOCS / "pictures" / "late_outcomes.svg")


def _origin(record: dict[str, Any], limit: float) -> str:
    return (
        f"{record['years']} draws of two years each, 95 % intervals; commit {record['commit']}, "
        f"{record['date']}. The limit for the change of concept: {limit:.0f} days of exams "
        "(median), and those until their outcomes are known."
    )


if __name__ == "__main__":
    main()
