"""What is kept of one programme under one policy: plain numbers, ready for figures.

The share of the lost AUC that was regained is told twice: for the whole programme at its
end, against the release of the start (`never` serves it all along), and for each event
after a year, on the scanners concerned. What was lost on the others is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.continual.decisions.happenings import Happening
from benchmarks.continual.decisions.programme import Programme
from benchmarks.continual.decisions.service import Kept
from benchmarks.continual.decisions.skill import Judge
from benchmarks.continual.volumes import DAYS_IN_YEAR, measure_shares

TOLERANCE = 0.10
"""Of the recall rate, relative to its target."""
LEAST_LOST = 0.005
"""Events that took less are not asked what was regained of it."""
QUARTER_WEEKS = 13


@dataclass(frozen=True)
class Mended:
    """One event: the share of exams concerned; AUC on them before, just after, a year later; what
    the other scanners lost meanwhile (None where there are none). All in the world of the day
    on which the event had come in full."""

    kind: str
    share: float
    before: float
    after: float
    later: float
    lost_elsewhere: float | None


@dataclass(frozen=True)
class Result:
    """One programme under one policy."""

    programme: int
    policy: str
    years: float
    auc: float
    worst: float
    auc_start: float
    auc_end: float
    days_out: float
    scanners_out: float
    trained: int
    served: int
    stopped: int
    bad_trained: int
    bad_served: int
    faulty_trained: int
    faulty_served: int
    better_trained: int
    better_served: int
    alpha_spent: float
    asked: int
    failed: dict[str, int]
    mended: tuple[Mended, ...]
    auc_quarters: tuple[float, ...]
    worst_quarters: tuple[float, ...]
    recall_quarters: tuple[float, ...]
    concept: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, rounded."""
        plain: dict[str, Any] = _rounded(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Read what `to_dict` wrote."""
        mended = tuple(Mended(**one) for one in values["mended"])
        quarters = {name: tuple(values[name]) for name in values if name.endswith("_quarters")}
        return cls(**{**values, **quarters, "mended": mended})


BETTER = 0.01
"""A release that gains so much overall is better: a gate that refuses it costs something."""


def summarise(programme: Programme, policy: str, kept: Kept, judge: Judge) -> Result:
    """Return the figures of one run."""
    tried = kept.attempts
    served = [one for one in tried if one.outcome == "served"]
    years = programme.days / DAYS_IN_YEAR
    out = np.abs(np.array(kept.recall) - 1) > TOLERANCE
    failed: dict[str, int] = {}
    for one in tried:
        for name in one.verdict.failed:
            failed[name] = failed.get(name, 0) + 1
    return Result(
        programme=programme.number,
        policy=policy,
        years=years,
        auc=float(np.mean(kept.auc)),
        worst=float(np.mean(kept.worst)),
        auc_start=kept.auc[0],
        auc_end=kept.auc[-1],
        days_out=float(out.mean() * DAYS_IN_YEAR),
        scanners_out=float(np.mean(kept.scanners_out)),
        trained=len(tried),
        served=len(served),
        stopped=sum(one.outcome == "stopped" for one in tried),
        bad_trained=sum(one.bad for one in tried),
        bad_served=sum(one.bad for one in served),
        faulty_trained=sum(one.fault is not None for one in tried),
        faulty_served=sum(one.fault is not None for one in served),
        better_trained=sum(one.gain > BETTER and not one.bad for one in tried),
        better_served=sum(one.gain > BETTER and not one.bad for one in served),
        alpha_spent=sum(one.verdict.spent for one in tried),
        asked=sum(one.verdict.asked for one in tried),
        failed=failed,
        mended=tuple(_mended(programme, one, kept, judge) for one in _turning(programme)),
        auc_quarters=_quarters(kept.auc),
        worst_quarters=_quarters(kept.worst),
        recall_quarters=_quarters(kept.recall),
        concept=any(one.kind == "concept" for one in programme.happenings),
    )


def _turning(programme: Programme) -> list[Happening]:
    return [one for one in programme.happenings if one.turn and one.change is not None]


def _mended(programme: Programme, event: Happening, kept: Kept, judge: Judge) -> Mended:
    """Judge the releases before and a year after an event, in the world right after it."""
    assert event.change is not None
    began, full = event.change.day, event.change.day + event.change.ramp_days
    later = min(began + DAYS_IN_YEAR, programme.days - 1)
    concerned = programme.concerned(event)
    others = tuple(place for place in range(programme.fleet) if place not in concerned)
    old, new = kept.lines(began - 1), kept.lines(later)
    after, regained = judge.skill(old, full), judge.skill(new, full)
    elsewhere = after.of(others) - regained.of(others) if others else None
    return Mended(
        event.kind,
        float(measure_shares()[list(concerned)].sum()),
        judge.skill(old, began - 1).of(concerned),
        after.of(concerned),
        regained.of(concerned),
        elsewhere,
    )


def _quarters(weekly: list[float]) -> tuple[float, ...]:
    return tuple(
        float(np.mean(weekly[first : first + QUARTER_WEEKS]))
        for first in range(0, len(weekly) - QUARTER_WEEKS + 1, QUARTER_WEEKS)
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return value
