"""From judged years to the figures that are published: one record, JSON-able.

``figures`` has the aims of the project beside what was reached, ``scenarios`` what ours does
in each, ``peers`` and ``ablations`` the same streams under other rules, ``sweep`` the peers
at other thresholds, ``limits`` what theory allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.continual.intervals import (
    Measure,
    mean,
    median_delay,
    rate,
    share,
    spread_beyond_chance,
)
from benchmarks.continual.judge import JudgedEvent, JudgedYear
from benchmarks.continual.limit import best_delay, known_changes
from benchmarks.continual.ours import Ours
from benchmarks.continual.recalibration import Recalibrated
from benchmarks.continual.scenarios import NAMED
from benchmarks.continual.scores import RECALL_RATE
from benchmarks.continual.simulate import Judged

OURS = Ours.name
CONFIRMED_BUDGET, ALERT_BUDGET = 0.5, 12.0
DAYS = 365.0
SHIFTS = ("shift_all", "shift_half", "shift_random_half", "shift_fifth")
NOTHING = "nothing confirmed"
UNNAMED = "no cause"
TOLERANCE = 0.1
ENOUGH_EXAMS = 2000
"""Exams after recalibration that tell its recall rate to 7 % of itself."""
AIMS = {
    "confirmed_false_alarms_a_year": ("≤ 0.5", 0.0, 0.5),
    "median_delay_all_days": ("≤ 5", 0.0, 5.0),
    "median_delay_half_days": ("≤ 10", 0.0, 10.0),
    "software_version_days": ("≤ 1", 0.0, 1.0),
    "named_rightly": ("≥ 0.9", 0.9, 1.0),
    "recall_after_recalibration": ("1 ± 0.1", 1 - TOLERANCE, 1 + TOLERANCE),
    "alerts_a_year": ("≤ 12", 0.0, 12.0),
}
"""What each figure should lie between, in words and bounds; the last is the control's own."""


def list_figures(judged: Judged) -> dict[str, dict[str, Any]]:
    """Return the headline figures of ours, each with its aim and whether it is reached."""
    events = [one for name in NAMED for one in _events(judged, OURS, name)]
    confirmed = [one for one in events if one.confirmed_days is not None]
    right = sum(one.right for one in confirmed)
    recalled = _recalled(judged, OURS)
    told = [one.after for one in recalled if one.exams_after >= ENOUGH_EXAMS]
    within = sum(abs(ratio - 1) <= TOLERANCE for ratio in told)
    version = _events(judged, OURS, "version_only")
    measures = {
        "confirmed_false_alarms_a_year": false_alarms(judged, OURS),
        "median_delay_all_days": _delay(judged, OURS, "shift_all"),
        "median_delay_half_days": _delay(judged, OURS, "shift_half"),
        "software_version_days": median_delay([one.alerted_days for one in version]),
        "named_rightly": share(right, len(confirmed)),
        "recall_after_recalibration": mean([one.after for one in recalled]),
        "alerts_a_year": alerts(judged, OURS),
        "median_alert_all_days": _delay(judged, OURS, "shift_all", alerted=True),
        "median_alert_half_days": _delay(judged, OURS, "shift_half", alerted=True),
        "median_delay_random_half_days": _delay(judged, OURS, "shift_random_half"),
        "median_delay_fifth_days": _delay(judged, OURS, "shift_fifth"),
        "named_rightly_of_all_events": share(right, len(events)),
        "recalibration_error": spread_beyond_chance(
            [one.after - 1 for one in recalled], [_chance(one) for one in recalled]
        ),
        "recalibrated_within_tenth": share(within, len(told)),
        "late_labels_called_concept_a_year": _false_concept(judged),
    }
    return {name: _with_aim(name, one) for name, one in measures.items() if one.units}


def describe_rule(judged: Judged, rule: str, title: str) -> dict[str, Any]:
    """Return a rule's false alarms a year and its median delay in each scenario it ran in."""
    delays = {name: _delay(judged, rule, name) for name in _scenarios(judged, rule)}
    return {
        "title": title,
        "false_alarms_a_year": false_alarms(judged, rule).to_dict(),
        "alerts_a_year": alerts(judged, rule).to_dict(),
        "delay_days": {name: one.to_dict() for name, one in delays.items() if one.units},
    }


def describe_scenario(judged: Judged, scenario: str) -> dict[str, Any]:
    """Return what ours does in one scenario, all events together and by true cause."""
    years, events = judged[OURS, scenario], _events(judged, OURS, scenario)
    quiet = sum(year.quiet_days for year in years) / DAYS
    false = Counter(cause for year in years for cause in year.false_causes)
    found = {
        "years": len(years),
        "false_alarms_a_year": rate(sum(year.false_confirmed for year in years), quiet).to_dict(),
        "false_causes": dict(sorted(false.items())),
    }
    if not events:
        return found
    causes = sorted({one.cause for one in events})
    by_cause = {
        cause: _describe(_of(events, cause)) | _describe_names(_of(events, cause))
        for cause in causes
    }
    named = _describe_names(events) if scenario in NAMED else {}
    recalled = [one for year in years for one in year.recalibrated]
    return found | {
        **_describe(events),
        **named,
        "by_cause": by_cause if len(causes) > 1 else {},
        "delays": [one.confirmed_days for one in events],
        "recall_before": mean([one.before for one in recalled]).to_dict(),
        "recall_after": mean([one.after for one in recalled]).to_dict(),
        "recalls": [[round(one.before, 3), round(one.after, 3)] for one in recalled],
    }


def list_limits(scenarios: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return the best that theory allows at both budgets, for the scenarios it is known of."""
    return {
        name: {
            "confirmed_days": best_delay(change, CONFIRMED_BUDGET).median_days,
            "alert_days": best_delay(change, ALERT_BUDGET).median_days,
            "confirmed_exams": best_delay(change, CONFIRMED_BUDGET).median_exams,
        }
        for name, change in known_changes().items()
        if name in scenarios
    }


def confusion(judged: Judged) -> dict[str, dict[str, int]]:
    """Return how often each true cause was named as what, over the scenarios to be named."""
    table: dict[str, Counter[str]] = {}
    for scenario in NAMED:
        for one in _events(judged, OURS, scenario):
            table.setdefault(one.cause, Counter())[_name(one)] += 1
    return {cause: dict(sorted(row.items())) for cause, row in sorted(table.items())}


def false_alarms(judged: Judged, rule: str) -> Measure:
    """Return confirmed alarms a year in years in which nothing happens."""
    years = judged.get((rule, "none"), [])
    return rate(sum(year.false_confirmed for year in years), len(years))


def alerts(judged: Judged, rule: str) -> Measure:
    """Return alarms that only ask for a look, a year, in years in which nothing happens."""
    years = judged.get((rule, "none"), [])
    return rate(sum(year.false_alerts for year in years), len(years))


def _false_concept(judged: Judged) -> Measure:
    """Return how often outcomes that are merely late are taken for a concept change, a year."""
    years = judged.get((OURS, "label_delay"), [])
    return rate(sum(year.false_causes.count("concept") for year in years), len(years))


def _describe(events: Sequence[JudgedEvent]) -> dict[str, Any]:
    confirmed = [one for one in events if one.confirmed_days is not None]
    alerted = [one.alerted_days for one in events]
    return {
        "confirmed_days": median_delay([one.confirmed_days for one in events]).to_dict(),
        "confirmed_open_days": median_delay([one.confirmed_open_days for one in events]).to_dict(),
        "alert_days": median_delay(alerted).to_dict(),
        "found": share(len(confirmed), len(events)).to_dict(),
    }


def _describe_names(events: Sequence[JudgedEvent]) -> dict[str, Any]:
    confirmed = [one for one in events if one.confirmed_days is not None]
    right = sum(one.right for one in confirmed)
    return {
        "named_rightly": share(right, len(confirmed)).to_dict(),
        "named": dict(Counter(map(_name, events)).most_common()),
    }


def _name(event: JudgedEvent) -> str:
    if event.confirmed_days is None:
        return NOTHING
    return event.named or UNNAMED


def _of(events: Sequence[JudgedEvent], cause: str) -> list[JudgedEvent]:
    return [one for one in events if one.cause == cause]


def _events(judged: Judged, rule: str, scenario: str) -> list[JudgedEvent]:
    years: list[JudgedYear] = judged.get((rule, scenario), [])
    return [event for year in years for event in year.events]


def _delay(judged: Judged, rule: str, scenario: str, alerted: bool = False) -> Measure:
    events = _events(judged, rule, scenario)
    return median_delay([one.alerted_days if alerted else one.confirmed_days for one in events])


def _recalled(judged: Judged, rule: str) -> list[Recalibrated]:
    named = [judged.get((rule, scenario), []) for scenario in NAMED]
    return [one for years in named for year in years for one in year.recalibrated]


def _chance(one: Recalibrated) -> float:
    """Return the variance that counting so many exams gives a relative recall rate."""
    return (1 - RECALL_RATE) / (RECALL_RATE * one.exams_after)


def _scenarios(judged: Judged, rule: str) -> list[str]:
    return [scenario for name, scenario in judged if name == rule]


def _with_aim(name: str, measure: Measure) -> dict[str, Any]:
    row: dict[str, Any] = measure.to_dict()
    if name not in AIMS:
        return row | {"aim": None}
    aim, low, high = AIMS[name]
    met = measure.value is not None and low <= measure.value <= high
    return row | {"aim": aim, "met": met}
