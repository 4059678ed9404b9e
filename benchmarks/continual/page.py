"""The tables of docs/continual_benchmark.md, from the record; the words stand there by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.continual.tables import (
    FIGURE_HEAD,
    RULE_HEAD,
    SCENARIO_HEAD,
    confusion_rows,
    describe_run,
    figure_rows,
    rule_rows,
    scenario_rows,
)
from benchmarks.written import markdown_table, write_between

PAGE = Path(__file__).parents[2] / "docs" / "continual_benchmark.md"
LIMITED = {"median_delay_all_days": "shift_all", "median_delay_half_days": "shift_half"}
"""Figures for which theory gives a limit, and the scenario that it is known of."""


def write_page(results: Mapping[str, Any], page: Path = PAGE) -> None:
    """Write all tables between their marks. Raises ValueError where a mark is missing."""
    figures = markdown_table(FIGURE_HEAD, _bold(figure_rows(results)))
    parts = {
        "figures": f"{figures}\n\n{_tell_missed(results)}\n\n{describe_run(results)}",
        "peers": markdown_table(RULE_HEAD, rule_rows(results, "peers")),
        "limits": _tell_limits(results),
        "ablations": markdown_table(RULE_HEAD, rule_rows(results, "ablations")),
        "scenarios": markdown_table(SCENARIO_HEAD, scenario_rows(results)),
        "names": markdown_table(*confusion_rows(results)),
    }
    for name, text in parts.items():
        write_between(page, name, text)


def _bold(rows: list[list[str]]) -> list[list[str]]:
    return [[*row[:-1], f"**{row[-1]}**" if row[-1] == "MISSED" else row[-1]] for row in rows]


def _tell_missed(results: Mapping[str, Any]) -> str:
    """Return a line per aim that is missed, with the limit that theory gives where it does."""
    missed = [name for name, row in results["figures"].items() if not row.get("met", True)]
    if not missed:
        return "Every aim is reached."
    return "\n".join(f"- {_tell(name, results)}" for name in missed)


def _tell(name: str, results: Mapping[str, Any]) -> str:
    row, limit = results["figures"][name], results["limits"].get(LIMITED.get(name, ""))
    value = "never in the median year" if row["value"] is None else f"{row['value']:.3g}"
    text = f"Missed: `{name}` is {value}, the aim {row['aim']}."
    if limit is None:
        return text
    return (
        f"{text} The limit for a rule that knows the change and watches nothing else, at half a "
        f"false alarm a year, is {limit['confirmed_days']:g} days "
        f"({limit['confirmed_exams']:.0f} exams)."
    )


def _tell_limits(results: Mapping[str, Any]) -> str:
    head = ["change", "at 0.5 false alarms a year, days", "exams", "at 12 a year, days"]
    rows = [
        [
            f"`{name}`",
            f"{one['confirmed_days']:g}",
            f"{one['confirmed_exams']:.0f}",
            f"{one['alert_days']:g}",
        ]
        for name, one in results["limits"].items()
    ]
    return markdown_table(head, rows)
