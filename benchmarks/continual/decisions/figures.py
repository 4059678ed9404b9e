"""Figures of the policies, with 95 % intervals over programmes; differences are paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.continual.decisions.policies import NEVER, OURS, POLICIES
from benchmarks.continual.decisions.result import LEAST_LOST, Mended, Result
from benchmarks.continual.intervals import RESAMPLES, SEED, Measure, mean

RECOVERED_AIM, LOST_AIM = 0.80, 0.01
Results = Mapping[str, Sequence[Result]]
"""By policy, each in order of programme."""


def by_policy(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return results by policy in the order of `POLICIES`, sorted by programme."""
    return {
        policy.name: sorted(
            (one for one in results if one.policy == policy.name), key=lambda one: one.programme
        )
        for policy in POLICIES
        if any(one.policy == policy.name for one in results)
    }


COLUMNS: dict[str, Callable[[Result], float]] = {
    "auc": lambda one: one.auc,
    "auc_end": lambda one: one.auc_end,
    "worst": lambda one: one.worst,
    "days_out": lambda one: one.days_out,
    "scanners_out": lambda one: one.scanners_out,
    "trained": lambda one: one.trained / one.years,
    "served": lambda one: one.served / one.years,
    "bad_served": lambda one: one.bad_served / one.years,
    "alpha_spent": lambda one: one.alpha_spent / one.years,
}
"""Figures that are one number a programme; counts are a year."""


def describe(results: Results, concept: bool | None = None) -> dict[str, dict[str, Any]]:
    """Return every policy's figures; of the programmes with a concept change, or without."""
    chosen = {
        name: [one for one in ones if concept is None or one.concept == concept]
        for name, ones in results.items()
    }
    return {name: _of_policy(ones, chosen) for name, ones in chosen.items() if ones}


def _of_policy(ones: Sequence[Result], results: Results) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: mean([of(one) for one in ones]).to_dict() for name, of in COLUMNS.items()
    }
    beside = results.get(OURS, [])
    if len(beside) == len(ones):
        pairs = zip(ones, beside, strict=True)
        found["auc_against_ours"] = mean([one.auc - other.auc for one, other in pairs]).to_dict()
    found["regained_at_end"] = regained_at_end(ones, results.get(NEVER, [])).to_dict()
    found["regained_after_year"] = regained(_mended(ones)).to_dict()
    elsewhere = [one.lost_elsewhere for one in _mended(ones) if one.lost_elsewhere is not None]
    found["lost_elsewhere"] = mean(elsewhere).to_dict()
    totals = ("trained", "served", "stopped", "bad_trained", "bad_served", "faulty_trained",
              "faulty_served", "better_trained", "better_served", "asked")  # fmt: skip
    found["totals"] = {name: sum(getattr(one, name) for one in ones) for name in totals}
    found["failed"] = _failed(ones)
    found["programmes"] = len(ones)
    return found


def _failed(ones: Sequence[Result]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in ones:
        for name, count in one.failed.items():
            counts[name] = counts.get(name, 0) + count
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _mended(ones: Sequence[Result]) -> list[Mended]:
    return [event for one in ones for event in one.mended]


def regained_at_end(ones: Sequence[Result], never: Sequence[Result]) -> Measure:
    """Return what part of the AUC that the first release had lost at the end was regained.

    A ratio of sums over programmes: one that lost little says little.
    """
    if not never or len(never) != len(ones):
        return Measure(None, None, None, 0)
    lost = [one.auc_start - one.auc_end for one in never]
    back = [one.auc_end - other.auc_end for one, other in zip(ones, never, strict=True)]
    return ratio(back, lost)


def regained(events: Sequence[Mended]) -> Measure:
    """Return what part of the AUC lost on the scanners concerned was back after a year.

    An event weighs by what it took: AUC times the share of exams.
    """
    told = [one for one in events if one.before - one.after > LEAST_LOST]
    return ratio(
        [one.share * (one.later - one.after) for one in told],
        [one.share * (one.before - one.after) for one in told],
    )


def by_kind(ones: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Return what was lost and regained, kind by kind of event."""
    kinds = sorted({event.kind for event in _mended(ones)})
    return {kind: _of_kind([e for e in _mended(ones) if e.kind == kind]) for kind in kinds}


def _of_kind(events: Sequence[Mended]) -> dict[str, Any]:
    elsewhere = [one.lost_elsewhere for one in events if one.lost_elsewhere is not None]
    return {
        "lost": mean([one.before - one.after for one in events]).to_dict(),
        "regained": regained(events).to_dict(),
        "lost_elsewhere": mean(elsewhere).to_dict(),
        "events": len(events),
    }


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> Measure:
    """Return the ratio of sums with its bootstrap interval over the pairs."""
    if not tops or sum(bottoms) <= 0:
        return Measure(None, None, None, 0)
    top, bottom = np.array(tops), np.array(bottoms)
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(top), (RESAMPLES, len(top)))
    sums = bottom[drawn].sum(axis=1)
    usable = sums > 0
    values = top[drawn].sum(axis=1)[usable] / sums[usable]
    low, high = np.quantile(values, [0.025, 0.975])
    return Measure(float(top.sum() / bottom.sum()), float(low), float(high), len(top))


def aims(described: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the stated aims and whether ours meets them."""
    if OURS not in described:
        return {}
    ours = described[OURS]
    wanted: dict[str, tuple[str, Callable[[float], bool]]] = {
        "regained_at_end": (f">= {RECOVERED_AIM}", lambda value: value >= RECOVERED_AIM),
        "regained_after_year": (f">= {RECOVERED_AIM}", lambda value: value >= RECOVERED_AIM),
        "lost_elsewhere": (f"<= {LOST_AIM}", lambda value: value <= LOST_AIM),
        "bad_served": ("0", lambda value: value == 0),
    }
    return {
        name: {**ours[name], "aim": aim, "met": bool(ours[name]["value"] is not None
               and met(ours[name]["value"]))}
        for name, (aim, met) in wanted.items()
    }  # fmt: skip


def quarters(ones: Sequence[Result]) -> dict[str, list[dict[str, Any]]]:
    """Return mean AUC, worst scanner and recall rate quarter by quarter."""
    names = ("auc_quarters", "worst_quarters", "recall_quarters")
    return {
        name: [
            mean(list(column)).to_dict()
            for column in zip(*(getattr(one, name) for one in ones), strict=True)
        ]
        for name in names
    }
