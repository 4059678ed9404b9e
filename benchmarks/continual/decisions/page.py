"""The tables of docs/continual_decisions.md, from the record; the words stand there by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.written import markdown_table, write_between

if TYPE_CHECKING:
    from rich.console import Console

PAGE = Path(__file__).parents[3] / "docs" / "continual_decisions.md"
AIMS = {
    "regained_at_end": "share of the lost AUC regained at the end",
    "regained_after_year": "share regained a year after an event, on the scanners concerned",
    "lost_elsewhere": "AUC lost on the other scanners meanwhile",
    "bad_served": "bad releases put into service, a year",
}
SKILL = {
    "auc": "AUC, mean of the years",
    "auc_against_ours": "against ours",
    "auc_end": "AUC at the end",
    "worst": "worst scanner, mean",
    "regained_at_end": "lost AUC regained",
}
CARE = {
    "days_out": "days a year out of recall tolerance",
    "scanners_out": "exams on scanners out of it",
    "trained": "trained a year",
    "served": "put into service a year",
    "bad_served": "bad ones a year",
    "alpha_spent": "alpha lost a year",
}
ENOUGH_PROGRAMMES = 20
KIND_HEAD = ["event", "events", "AUC lost", "regained after a year", "lost on other scanners"]


def told(measure: Mapping[str, Any] | None) -> str:
    """Return a value with its interval, an em dash where there is none."""
    if measure is None or measure["value"] is None:
        return "—"
    return f"{measure['value']:.3g} ({measure['low']:.3g} to {measure['high']:.3g})"


def aim_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return the aims of ours."""
    return [
        [AIMS[name], told(row), row["aim"], "reached" if row["met"] else "**MISSED**"]
        for name, row in record["aims"].items()
    ]


def policy_rows(record: Mapping[str, Any], columns: Mapping[str, str]) -> list[list[str]]:
    """Return a row a policy."""
    return [
        [record["titles"][name], *(told(row.get(column)) for column in columns)]
        for name, row in record["policies"].items()
    ]


def total_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return what was trained and what became of it, counted over all programmes."""
    rows = []
    for name, row in record["policies"].items():
        of = row["totals"]
        if not of["trained"]:
            continue
        most = ", ".join(f"`{clause}` {n}" for clause, n in list(row["failed"].items())[:3])
        rows.append(
            [
                record["titles"][name],
                str(of["trained"]),
                f"{of['bad_served']} of {of['bad_trained']}",
                f"{of['faulty_served']} of {of['faulty_trained']}",
                f"{of['better_served']} of {of['better_trained']}",
                str(of["stopped"]),
                most or "—",
            ]
        )
    return rows


def concept_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return AUC and what was regained, of programmes with a concept change and without."""
    parts = [record[part] for part in ("with_concept", "without_concept")]
    return [
        [title, *(told(part.get(name, {}).get(one)) for part in parts for one in CONCEPT)]
        for name, title in record["titles"].items()
    ]


CONCEPT = ("auc", "regained_at_end")
CONCEPT_HEAD = [
    "policy", "AUC with such a change", "lost AUC regained", "AUC without", "regained",
]  # fmt: skip
TOTAL_HEAD = [
    "policy", "trained", "bad ones served", "of faulty trainings served", "better ones served",
    "stopped by the guard", "clauses that refused most",
]  # fmt: skip


def kind_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return what each kind of event took, and what came back, for ours and the resealed."""
    return [
        [
            f"`{kind}`, {record['titles'][policy]}",
            str(one["events"]),
            *(told(one[name]) for name in ("lost", "regained", "lost_elsewhere")),
        ]
        for policy, kinds in record["kinds"].items()
        for kind, one in kinds.items()
    ]


def describe_run(record: Mapping[str, Any]) -> str:
    """Return how the figures were made."""
    seconds = record["cpu_seconds"]
    spent = "" if seconds is None else f", {seconds / 60:.0f} minutes of CPU"
    return (
        f"`{record['command']}`; commit {record['commit']}, {record['date']}, "
        f"{record['machine']}{spent}. {record['programmes']} programmes of {record['years']} years."
    )


def write_page(record: Mapping[str, Any], page: Path = PAGE) -> None:
    """Write all tables between their marks. Raises ValueError where a mark is missing."""
    aims = markdown_table(
        ["figure of ours", "reached (95 % interval)", "aim", ""], aim_rows(record)
    )
    parts = {
        "aims": f"{aims}\n\n{describe_run(record)}{_warn(record)}",
        "skill": _policies(record, SKILL),
        "care": _policies(record, CARE),
        "totals": markdown_table(TOTAL_HEAD, total_rows(record)),
        "concept": markdown_table(CONCEPT_HEAD, concept_rows(record)),
        "kinds": markdown_table(KIND_HEAD, kind_rows(record)),
    }
    for name, text in parts.items():
        write_between(page, name, text)


def _warn(record: Mapping[str, Any]) -> str:
    """Return a warning where there are too few programmes for the intervals to be believed."""
    if record["programmes"] >= ENOUGH_PROGRAMMES:
        return ""
    return (
        f"\n\n**A first look only:** {record['programmes']} programmes are too few for the "
        "intervals, and for the aims; the command above gives the whole."
    )


def _policies(record: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    return markdown_table(["policy", *columns.values()], policy_rows(record, columns))


def print_table(record: Mapping[str, Any], console: Console) -> None:
    """Print the policies and the aims."""
    from rich.table import Table

    for columns in (SKILL, CARE):
        table = Table("policy", *columns.values())
        for row in policy_rows(record, columns):
            table.add_row(*row)
        console.print(table)
    for row in aim_rows(record):
        console.print(": ".join(row[:2]), f"aim {row[2]}", row[3].strip("*"))
