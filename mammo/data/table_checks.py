"""What the rows of a label table must hold, and what happens to rows that do not.

All problems of a table are found at once. Two kinds are told apart:

- The table as a whole cannot be trusted: an image named twice, a patient in two
  published parts. That stops the set (`TableInvalid`).
- A row cannot be right: an age of 400, a side of ``l``, a breast that has cancer
  in one row and none in the other. The row is left out and reported by its line,
  as a file in quarantine is, and the rest goes on; unless they are more than one
  and more than `MOST_BAD` of all rows, when the table is wrong rather than a row.

Nothing is repaired: a cell that was mistyped says that somebody typed, and an
``l`` may have been L or 1. Cells that tell persons apart are never quoted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mammo.data.table_rules import CellRule, SameRule, TableRules
from mammo.data.tables import read_frame
from mammo.errors import RowInvalid, TableInvalid

if TYPE_CHECKING:
    import pandas as pd

MOST_BAD = 0.05
"""Share of rows that may be left out."""
TOLD = 20
"""Problems that a message names; of the others it gives the number."""
WAY_OUT = "correct these rows, or take the table anew from its source"
WAY_OUT_OF_ROW = "correct it and ingest again, or take the table anew from its source"
Row = Mapping[str, str]


@dataclass(frozen=True)
class CheckedTable:
    """The rows that can be right, by line, and those left out, each with why."""

    path: Path
    rows: pd.DataFrame
    left_out: pd.DataFrame
    bad: dict[int, str]

    @property
    def refused(self) -> tuple[tuple[Path, RowInvalid], ...]:
        """The rows left out, as a `mammo.data.listing.Listing` has them."""
        return tuple(
            (self.path, RowInvalid(f"line {line} was left out: {why}; {WAY_OUT_OF_ROW}"))
            for line, why in sorted(self.bad.items())
        )

    def records(self) -> list[Row]:
        """Return the rows that can be right, as dictionaries."""
        return _records(self.rows)

    def named(self, file: Callable[[Row], str]) -> frozenset[str]:
        """Return the file of every row, also of those left out, which are not unlisted."""
        return frozenset(file(row) for row in (*_records(self.rows), *_records(self.left_out)))


def read_checked(path: Path, required: Sequence[str], rules: TableRules) -> CheckedTable:
    """Read a table and check its rows.

    Raises
    ------
    SourceNotFound
        It is not there.
    TableInvalid
        It is no table, lacks columns, stops the set, or has too many bad rows.
    """
    return check_rows(read_frame(path, required), rules, path)


def check_rows(frame: pd.DataFrame, rules: TableRules, path: Path) -> CheckedTable:
    """Check the rows of a frame of text by line, as `mammo.data.tables.read_frame` gives it."""
    if not len(frame):
        raise TableInvalid(f"{path.name} has a header and no rows: take it anew from its source")
    bad: defaultdict[int, list[str]] = defaultdict(list)
    for rule in rules.cells:
        if rule.column in frame.columns:
            for line, text in _bad_cells(frame[rule.column], rule):
                bad[line].append(text)
    stops = list(_repeated(frame, rules.unique)) if rules.unique else []
    # a cell that cannot be right contradicts nobody
    stops += _contradictions(frame[~frame.index.isin(list(bad))], rules.same, bad)
    told = {line: ", ".join(texts) for line, texts in bad.items()}
    too_many = len(told) > max(1, MOST_BAD * len(frame))
    if stops or too_many:
        raise TableInvalid(_told_table(path.name, stops, told, len(frame), too_many=too_many))
    if not told:
        return CheckedTable(path, frame, frame.iloc[:0], told)
    is_bad = frame.index.isin(list(told))
    return CheckedTable(path, frame[~is_bad], frame[is_bad], told)


def _contradictions(
    frame: pd.DataFrame, rules: Iterable[SameRule], bad: defaultdict[int, list[str]]
) -> list[str]:
    """Return what stops the set; what does not is added to the bad rows."""
    stops = []
    for rule in rules:
        if not {*rule.keys, rule.column} <= set(frame.columns):
            continue
        for lines, what, members in disagreeing(frame, rule):
            if rule.stops:
                stops.append(f"{lines}: {what}")
                continue
            for line in members:
                bad[line].append(f"{what} ({lines})")
    return stops


def _records(frame: pd.DataFrame) -> list[Row]:
    return frame.to_dict("records")  # type: ignore[return-value]


def _bad_cells(cells: pd.Series, rule: CellRule) -> Iterable[tuple[int, str]]:
    """Yield the line of each cell that the rule does not allow, and what to say of it."""
    refused = {text for text in cells.unique() if not rule.holds(text)}
    if not refused:
        return
    for line, text in cells[cells.isin(refused)].items():
        yield int(str(line)), f"{rule.column} {_shown(text, rule)}, allowed is {rule.allowed}"


def _shown(text: str, rule: CellRule) -> str:
    """Return a cell for a message: quoted, or only what kind of text it is."""
    if not text:
        return "is empty"
    if rule.quoted:
        return f"is {text[:20]!r}"
    kinds = (("digits", text.isdigit()), ("a number with a point", _is_number(text)))
    kind = next((name for name, is_kind in kinds if is_kind), "a text")
    return f"is {kind} of {len(text)} characters"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _repeated(frame: pd.DataFrame, column: str) -> Iterable[str]:
    """Yield what to say of each image that several rows name."""
    cells = frame[column]
    twice = cells[cells.duplicated(keep=False) & (cells != "")]
    for _, group in twice.groupby(twice, sort=False):
        yield f"{_lines(group.index)}: the same {column}"


def disagreeing(frame: pd.DataFrame, rule: SameRule) -> Iterable[tuple[str, str, list[int]]]:
    """Yield of each group that does not agree its lines and what is wrong, and its members."""
    given = frame[(frame[[*rule.keys, rule.column]] != "").all(axis="columns")]
    codes = given.groupby(list(rule.keys), sort=False).ngroup()
    pairs = codes.to_frame("group").assign(value=given[rule.column]).drop_duplicates()
    several = pairs["group"][pairs["group"].duplicated()].unique()
    for group in several:
        members = given[codes == group]
        values = ", ".join(dict.fromkeys(text[:20] for text in members[rule.column]))
        what = f"{rule.column} of one {rule.whose} is {values}"
        yield _lines(members.index), what, [int(line) for line in members.index]


def _lines(lines: Iterable[int]) -> str:
    told = [str(line) for line in lines]
    more = f" and {len(told) - 6} more" if len(told) > 6 else ""
    return f"lines {', '.join(told[:6])}{more}"


def _counted(faults: int) -> str:
    return f"{faults} {'fault concerns' if faults == 1 else 'faults concern'} the whole"


def _told_table(
    name: str, stops: list[str], bad: dict[int, str], rows: int, *, too_many: bool
) -> str:
    """Return the message on a table that cannot be used."""
    problems = stops + [f"line {line}: {bad[line]}" for line in sorted(bad)]
    more = f"; and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
    why = f"{len(bad)} of {rows} rows cannot be right, at most {MOST_BAD:.0%} may be left out"
    head = [*([_counted(len(stops))] * bool(stops)), *([why] * too_many)]
    return (
        f"{name} cannot be used: {', '.join(head)}. {'; '.join(problems[:TOLD])}{more}. "
        f"Way out: {WAY_OUT}; nothing was ingested"
    )
