"""The tables of a run, for the terminal and for the docs: rows of cells, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Row = list[str]
WORDS = {
    "confirmed_false_alarms_a_year": "confirmed false alarms a year, whole programme",
    "median_delay_all_days": "0.25 SD on all exams: median days to confirmation",
    "median_delay_half_days": "0.25 SD on half (site 2): median days to confirmation",
    "software_version_days": "new software version: median days",
    "named_rightly": "kind of change named rightly, of those confirmed",
    "recall_after_recalibration": "recall rate after recalibration / target, mean",
    "alerts_a_year": "false alerts a year (ask for a look only)",
    "median_alert_all_days": "0.25 SD on all exams: median days to the alert",
    "median_alert_half_days": "0.25 SD on half (site 2): median days to the alert",
    "median_delay_random_half_days": "0.25 SD on a random half: median days to confirmation",
    "median_delay_fifth_days": "1 SD on a random fifth: median days to confirmation",
    "named_rightly_of_all_events": "named rightly, of all events, unseen ones among them",
    "recalibration_error": "recall rate after recalibration: typical error beyond chance",
    "recalibrated_within_tenth": "measured within 10 % of the target, where 2000 exams follow",
    "late_labels_called_concept_a_year": "outcomes 3 months late called concept, a year",
}
SHOWN = ("shift_all", "shift_half", "shift_random_half", "shift_fifth")
NEVER = "never"
BUDGET = 0.5
WIDTH = 150
"""Columns of a terminal below which tables break; a narrower one wraps the lines."""
FIGURE_HEAD = ["figure", "reached (95 % interval)", "aim", ""]
RULE_HEAD = ["rule", "false alarms a year", *(f"`{name}`" for name in SHOWN)]
SCENARIO_HEAD = [
    "scenario", "found in the year", "days to alert", "days to confirmation", "limit",
    "named rightly", "recall / target before", "after", "false alarms a year before it",
]  # fmt: skip


def figure_rows(results: Mapping[str, Any]) -> list[Row]:
    """Return a row per headline figure."""
    return [
        [WORDS[name], spell(row), row["aim"] or "", _verdict(row)]
        for name, row in results["figures"].items()
    ]


def rule_rows(results: Mapping[str, Any], which: str) -> list[Row]:
    """Return ours and then the rules of ``which`` (peers, ablations): alarms and delays.

    Peers come a second time at the threshold that would have kept the budget.
    """
    rules = [results["ours"], *results[which].values()]
    if which == "peers":
        rules += tuned_peers(results)
    rows = [_rule_row(one) for one in rules]
    limits = results["limits"]
    theory = [_days(limits[name]["confirmed_days"]) if name in limits else "—" for name in SHOWN]
    return [*rows, ["limit: CUSUM that knows the change", "0.5", *theory]]


def tuned_peers(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return daily PSI and daily KS at the least strict threshold within the budget."""
    tuned = []
    for prefix in ("psi", "ks"):
        swept = [one for name, one in results["sweep"].items() if name.startswith(f"{prefix}@")]
        rates = [one["false_alarms_a_year"]["value"] for one in swept]
        kept = [i for i, rate in enumerate(rates) if rate is not None and rate <= BUDGET]
        if kept:
            one = swept[kept[0]]
            tuned.append({**one, "title": f"{one['title']}, the budget kept in hindsight"})
    return tuned


def scenario_rows(results: Mapping[str, Any]) -> list[Row]:
    """Return a row per scenario, and one per cause where a scenario has several."""
    rows = []
    for name, one in results["scenarios"].items():
        limit = results["limits"].get(name, {}).get("confirmed_days")
        rows.append(_scenario_row(f"`{name}`", one, _days(limit) if limit else ""))
        for cause, part in one.get("by_cause", {}).items():
            rows.append(_scenario_row(f"`{name}`: {cause}", part, ""))
    return rows


def confusion_rows(results: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """Return head and rows: true causes down, named ones across, counts of events."""
    table = results["confusion"]
    across = sorted({name for row in table.values() for name in row})
    rows = [[cause, *(str(row.get(name, 0)) for name in across)] for cause, row in table.items()]
    return ["true cause", *across], rows


def spell(measure: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Return ``value (low to high)``; "never" where most years did not show it."""
    if not measure or not measure["units"]:
        return "—"
    value, low, high = (_days(measure[key], digits) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def describe_run(results: Mapping[str, Any]) -> str:
    """Return where and how the figures were made."""
    return (
        f"`{results['command']}`; commit {results['commit']}, {results['date']}, "
        f"{results['machine']}, {results['seconds'] / 60:.0f} minutes."
    )


def print_tables(results: Mapping[str, Any], console: Console) -> None:
    """Print everything that the run has figures for."""
    _print(console, "Figures of mammo", FIGURE_HEAD, figure_rows(results))
    _print(console, "Beside the rules in use", RULE_HEAD, rule_rows(results, "peers"))
    if results["ablations"]:
        _print(console, "With one part taken away", RULE_HEAD, rule_rows(results, "ablations"))
    _print(console, "Scenario by scenario", SCENARIO_HEAD, scenario_rows(results))
    if results["confusion"]:
        _print(console, "True cause and named cause", *confusion_rows(results))
    console.print(describe_run(results), highlight=False)


def _print(console: Console, title: str, head: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.table import Table

    console.width = max(console.width, WIDTH)
    table = Table(*(cell.replace("`", "") for cell in head), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(cell.replace("`", "") for cell in row))
    console.print(table)


def _rule_row(rule: Mapping[str, Any]) -> Row:
    delays = [spell(rule["delay_days"].get(name)) for name in SHOWN]
    return [rule["title"], spell(rule["false_alarms_a_year"]), *delays]


def _scenario_row(name: str, one: Mapping[str, Any], limit: str) -> Row:
    alarms = spell(one.get("false_alarms_a_year"))
    if "found" not in one:
        return [name, "", "", "", "", "", "", "", alarms]
    keys = ("alert_days", "confirmed_days")
    recalls = [spell(one.get(key)) for key in ("recall_before", "recall_after")]
    named = spell(one.get("named_rightly"))
    days = [spell(one[key]) for key in keys]
    return [name, spell(one["found"]), *days, limit, named, *recalls, alarms]


def _verdict(row: Mapping[str, Any]) -> str:
    if row["aim"] is None:
        return ""
    return "reached" if row["met"] else "MISSED"


def _days(value: float | None, digits: int = 3) -> str:
    return NEVER if value is None else f"{value:.{digits}g}"
