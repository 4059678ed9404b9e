"""What the guard's checks cost and find: simulated exams, the default policy, every look.

    python -m benchmarks.rollout_checks            # prints
    python -m benchmarks.rollout_checks --write    # writes docs/rollout.md

Exams are yes-or-no draws of a share, looked at after every one. Beside the e-values
stands the usual way: a binomial test after each exam at the same level, stopped when it
says so, which is valid at one look only.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln
from scipy.stats import binom

from benchmarks.report import describe_run
from benchmarks.written import markdown_table, write_between
from bentos.screening.guard_bets import PRIOR
from bentos.screening.rollout_policy import DEFAULT, RolloutPolicy, rollout_policy_from

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "rollout.md", ROOT / "benchmarks" / "rollout_checks.json"
TRIALS, EXAMS = 500, 1000
TARGET = 0.1
"""Recall rate that the release is held to."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One true share: how often it ends in harm or cleared, and after how many exams (median)."""

    check: str
    truth: float
    limit: str
    harm: float
    exams_to_harm: float | None
    cleared: float
    exams_to_cleared: float | None
    usual_harm: float


def log_e(hits: Floats, exams: Floats, limit: float, *, above: bool) -> Floats:
    """Return the log e-values of `guard_bets` for many counts at once, in their shape."""
    a, b = hits + PRIOR, exams - hits + PRIOR
    tail = betaincc if above else betainc
    beyond = np.log(np.maximum(tail(a, b, limit) / tail(PRIOR, PRIOR, limit), 1e-300))
    at = hits * math.log(limit) + (exams - hits) * math.log1p(-limit)
    return np.asarray(betaln(a, b) - betaln(PRIOR, PRIOR) + beyond - at)


def simulate(
    check: str, truth: float, policy: RolloutPolicy, high: float, low: float | None = None
) -> Row:
    """Draw trials of one share and look after every exam."""
    dice = np.random.default_rng([round(truth * 1e6), len(check)])
    hits = np.cumsum(dice.random((TRIALS, EXAMS)) < truth, axis=1).astype(float)
    exams = np.arange(1, EXAMS + 1, dtype=float)
    harm = log_e(hits, exams, high, above=True)
    cleared = log_e(hits, exams, high, above=False)
    usual = binom.sf(hits - 1, exams, high) < policy.alpha_harm
    if low is not None:
        harm = np.maximum(harm, log_e(hits, exams, low, above=False))
        cleared = np.minimum(cleared, log_e(hits, exams, low, above=True))
        usual = binom.sf(hits - 1, exams, high) < policy.alpha_harm / 2
        usual |= binom.cdf(hits, exams, low) < policy.alpha_harm / 2
    sides = 1 if low is None else 2
    harmed, at_harm = _first(harm >= math.log(sides / policy.alpha_harm))
    clear, at_clear = _first(cleared >= math.log(1 / policy.alpha_clear))
    stopped = harmed & (at_harm <= np.where(clear, at_clear, EXAMS + 1))
    limit = f"at most {high:g}" if low is None else f"{low:g} to {high:g}"
    return Row(
        check,
        truth,
        limit,
        float(stopped.mean()),
        _median(at_harm[stopped]),
        float((clear & ~stopped).mean()),
        _median(at_clear[clear & ~stopped]),
        float(usual.any(axis=1).mean()),
    )


def _first(reached: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    return reached.any(axis=1), reached.argmax(axis=1) + 1


def _median(values: NDArray[np.int64]) -> float | None:
    return float(np.median(values)) if len(values) else None


def run_checks() -> list[Row]:
    """Simulate every check of the default policy on shares within and beyond its limit."""
    policy = rollout_policy_from(DEFAULT)
    rows = [
        simulate("errors", share, policy, policy.errors_share)
        for share in (0.0, 0.001, 0.01, 0.02, 0.05, 0.2, 1.0)
    ]
    rows += [
        simulate("latency", share, policy, policy.slow_share) for share in (0.02, 0.2, 0.5, 1.0)
    ]
    rows += [
        simulate("disagreement", share, policy, policy.disagree_share)
        for share in (0.08, 0.25, 0.5)
    ]
    rows += [
        simulate("rank", share, policy, policy.reorder_share) for share in (0.2, 0.3, 0.4, 0.5, 0.8)
    ]
    low, high = TARGET / policy.recall_times, TARGET * policy.recall_times
    rows += [
        simulate("recall", share, policy, high, low)
        for share in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
    ]
    return rows


def write_rows(rows: list[Row]) -> None:
    """Write the JSON and the table of docs/rollout.md."""
    run = describe_run("", 0)
    told = {name: run[name] for name in ("commit", "date", "machine")}
    RESULTS.write_text(json.dumps({"run": told, "rows": [asdict(r) for r in rows]}, indent=1))
    head = ["check", "allowed", "true share", "harm", "exams to it", "cleared", "exams to it",
            "usual way: harm"]  # fmt: skip
    cells = [
        [one.check, one.limit, f"{one.truth:g}", _share(one.harm), _count(one.exams_to_harm),
         _share(one.cleared), _count(one.exams_to_cleared), _share(one.usual_harm)]
        for one in rows
    ]  # fmt: skip
    where = (
        f"`python -m benchmarks.rollout_checks --write`; commit {told['commit']}, {told['date']}. "
        f"Simulated: {TRIALS:,} trials of {EXAMS:,} exams a row, looked at after each; medians of "
        f"those that ended so. Of rank the exams are pairs: twice as many are needed."
    )
    write_between(PAGE, "checks", f"{markdown_table(head, cells)}\n\n{where}")


def _share(value: float) -> str:
    return "0" if value == 0 else f"{100 * value:.2f} %" if value < 0.01 else f"{100 * value:.0f} %"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Operating characteristic of the guard's checks.")
    parser.add_argument("--write", action="store_true")
    found = run_checks()
    for row in found:
        print(row)
    if parser.parse_args().write:
        write_rows(found)
