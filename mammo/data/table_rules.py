"""The rules of label tables: what cells may hold, and what rows must agree in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mammo.data.tables import to_bool

SIDES = ("L", "R")
DENSITIES = ("A", "B", "C", "D")


@dataclass(frozen=True)
class CellRule:
    """What the cells of one column may hold; ``holds`` tells which distinct texts are allowed.

    ``quoted`` is False for cells that tell persons or images apart; an absent
    column is not looked at, which ones must be there being the reader's matter.
    """

    column: str
    allowed: str
    holds: Callable[[str], bool]
    quoted: bool = True


@dataclass(frozen=True)
class SameRule:
    """Rows that share ``keys`` must agree in ``column``; ``stops`` where the set cannot go on."""

    keys: tuple[str, ...]
    column: str
    whose: str
    stops: bool = False


@dataclass(frozen=True)
class TableRules:
    """The rules of a table: of its cells, which column is unique, what rows must agree in."""

    cells: tuple[CellRule, ...]
    unique: str | None = None
    same: tuple[SameRule, ...] = ()


def one_of(column: str, values: Sequence[str], *, empty: bool = True) -> CellRule:
    """Allow these texts, and nothing if ``empty``."""
    known = {*values, ""} if empty else set(values)
    return CellRule(column, _told(", ".join(values), empty), known.__contains__)


def flag(column: str) -> CellRule:
    """Allow 0 and 1, also as 0.0 or True in any case, and nothing."""
    allowed = "0 or 1 (False or True) or nothing"
    return CellRule(column, allowed, lambda text: not text or to_bool(text) is not None)


def number_within(
    column: str, low: float, high: float, *, whole: bool = False, empty: bool = True
) -> CellRule:
    """Allow numbers from ``low`` to ``high``, and nothing if ``empty``; whole ones if ``whole``."""

    def holds(text: str) -> bool:
        if not text:
            return empty
        try:
            value = float(text)
        except ValueError:
            return False
        return low <= value <= high and (not whole or value == int(value))

    kind = "whole numbers from " if whole else ""
    return CellRule(column, _told(f"{kind}{low:g} to {high:g}", empty), holds)


def identifier(column: str, allowed: str, holds: Callable[[str], bool]) -> CellRule:
    """Allow the identifiers that ``holds`` knows; they are not quoted, and never empty."""
    return CellRule(column, allowed, lambda text: bool(text) and holds(text), quoted=False)


def digits(column: str) -> CellRule:
    """Allow digits alone, as a spreadsheet leaves them that has not rounded them."""
    return identifier(column, "digits alone", lambda text: text.isascii() and text.isdigit())


def name_part(column: str) -> CellRule:
    """Allow what can be the name of one file or folder, so that no path leads elsewhere."""

    def holds(text: str) -> bool:
        plain = text.replace("-", "").replace("_", "").replace(".", "")
        return text[0] != "." and plain.isascii() and plain.isalnum()

    return identifier(column, "letters, digits, -, _ and dots within", holds)


def _told(allowed: str, empty: bool) -> str:
    return f"{allowed} or nothing" if empty else allowed
