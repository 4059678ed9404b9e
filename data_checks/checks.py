"""One expectation in our words, and how Great Expectations is told of it.

A `Check` says of one column what must hold, in which words a reader is told
that it does not, and why anybody should care. Only `to_expectation` needs the
engine, which takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

CRITICAL, WARNING = "critical", "warning"
SELDOM = 0.95
_ANY_ROWS = ("any number of rows", "it grows from nothing; the count shows how much was looked at")


@dataclass(frozen=True)
class Check:
    """What must hold of every value of ``column``; null is allowed unless ``required``.

    Exactly one of ``required``, ``allowed``, ``form`` (a regular expression that the
    whole text matches) and the range ``least`` to ``most`` is meant. ``mostly`` is
    the share of rows, in (0, 1], that suffices. ``reason`` is one sentence without
    its full stop: what breaks downstream, or what went wrong elsewhere.
    ``severity`` is ``critical`` (a run stops) or ``warning``.
    """

    column: str
    words: str
    reason: str
    least: Any = None
    most: Any = None
    allowed: tuple[Any, ...] = ()
    form: str = ""
    required: bool = False
    mostly: float = 1.0
    severity: str = CRITICAL


def none_of(column: str, words: str, reason: str, severity: str = CRITICAL) -> Check:
    """Return the check that a count column is 0 in every row."""
    # membership is vectorised in the engine; a range calls Python for every value
    return Check(column, words, reason, allowed=(0,), severity=severity)


def seldom(column: str, words: str, reason: str) -> tuple[Check, Check]:
    """Return two checks of a count column: a row above 0 warns, more than 5 % of rows stop.

    For what happens to single exams of a sound archive, and to most rows of a table whose
    columns were swapped or joined wrongly.
    """
    most = f"{words}, in {SELDOM:.0%} of rows"
    return (
        none_of(column, words, reason, WARNING),
        Check(column, most, reason, allowed=(0,), mostly=SELDOM),
    )


def at_most(column: str, most: Any, words: str, reason: str, severity: str = CRITICAL) -> Check:
    """Return the check that a count column is no more than ``most`` in every row."""
    return Check(column, words, reason, least=0, most=most, severity=severity)


def required(column: str, words: str, reason: str) -> Check:
    """Return the check that no value is null."""
    return Check(column, words, reason, required=True)


def to_expectation(check: Check) -> Any:
    """Return the check as an expectation of Great Expectations.

    Data Docs print the description alone, so the reason stands in it; ``meta`` has
    words and reason apart.
    """
    gxe: Any = import_module("great_expectations.expectations")
    told = {
        "column": check.column,
        **_told(check.words, check.reason),
        "severity": check.severity,
    }
    if check.required:
        return gxe.ExpectColumnValuesToNotBeNull(**told)
    told["mostly"] = check.mostly
    if check.allowed:
        return gxe.ExpectColumnValuesToBeInSet(value_set=list(check.allowed), **told)
    if check.form:
        return gxe.ExpectColumnValuesToMatchRegex(regex=f"^(?:{check.form})$", **told)
    return gxe.ExpectColumnValuesToBeBetween(min_value=check.least, max_value=check.most, **told)


def table_expectations(columns: Sequence[str], what: str, *, least_rows: int) -> list[Any]:
    """Return what must hold of the table as a whole: its columns, and that it has rows."""
    gxe: Any = import_module("great_expectations.expectations")
    lost = "a column that was renamed or lost is read as unknown, and labels with it"
    empty = "an empty table passes every other check, and training on it fails late"
    rows, empty = ("at least one row", empty) if least_rows else _ANY_ROWS
    return [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=sorted(columns),
            exact_match=False,
            **_told(f"every column of {what} is there", lost),
        ),
        gxe.ExpectTableRowCountToBeBetween(
            min_value=least_rows, **_told(f"{what} has {rows}", empty)
        ),
    ]


def _told(words: str, reason: str) -> dict[str, Any]:
    return {
        "description": f"{words}. Why: {reason}.",
        "meta": {"words": words, "reason": reason},
    }
