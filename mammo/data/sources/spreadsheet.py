"""Tables of public sets, as they come: CSV or Excel, columns spelt in two ways.

A cell is text without blanks around it. A row knows the line of the file on
which it begins (the header is line 1; a cell may hold line ends), so that a
refusal can name it. One bad cell refuses the table: the labels of a breast are
gathered from several rows, and without one of them it could turn out benign.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from mammo.data.tables import read_frame
from mammo.errors import SourceNotFound, TableInvalid

if TYPE_CHECKING:
    import pandas as pd

EXCEL = frozenset((".xlsx", ".xls"))
OLDEST = 90
"""Ages above are told as this one: so few live on that an age may name a person."""
REMOVED = frozenset(("", "removed", "na", "n/a", "nan"))
"""What stands in a cell that tells nothing."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Row:
    """One row of a table; ``line`` is where it begins in the file."""

    table: str
    line: int
    cells: Mapping[str, str] = field(repr=False)

    @property
    def place(self) -> str:
        """``line 7 of INbreast.csv``; of an Excel sheet it is a row."""
        what = "row" if Path(self.table).suffix.lower() in EXCEL else "line"
        return f"{what} {self.line} of {self.table}"

    def text(self, column: str) -> str:
        """Return a cell; empty where it tells nothing."""
        text = self.cells.get(fold(column), "")
        return "" if text.lower() in REMOVED else text

    def one_of(self, column: str, allowed: Mapping[str, Value]) -> Value:
        """Return what a cell stands for; raises TableInvalid for any text but the allowed."""
        try:
            return allowed[self.text(column)]
        except KeyError:
            told = ", ".join(text or "an empty cell" for text in allowed)
            self.refuse(column, f"allowed are {told}")

    def matched(self, column: str, pattern: str, allowed: str, *, names: bool = False) -> str:
        """Return a cell that has the pattern; raises TableInvalid for another.

        ``names`` says that the column names patients: no message quotes it.
        """
        text = self.text(column)
        if not re.fullmatch(pattern, text):
            self.refuse(column, f"allowed is {allowed}", quote=not names)
        return text

    def age_years(self, column: str) -> int | None:
        """Return an age of 1 to 120, told as 90 from there on; None for an empty cell."""
        text = self.text(column)
        if not text:
            return None
        age = re.fullmatch(r"0*(\d{1,3})(?:\.0*)?Y?", text)
        if age is None or not 1 <= int(age[1]) <= 120:
            self.refuse(column, "allowed is an age of 1 to 120 years, or an empty cell")
        return min(int(age[1]), OLDEST)

    def refuse(self, column: str, allowed: str, *, quote: bool = True) -> NoReturn:
        """Raise TableInvalid, naming row, column, what is in it and what is allowed."""
        found = repr(self.cells.get(fold(column), "")[:40]) if quote else "another text"
        raise TableInvalid(
            f"{self.place}, column {column!r}: it holds {found}; {allowed}. "
            "Correct the cell, or take the table anew from where the set is published"
        )


def fold(column: str) -> str:
    """Return the name under which a column is found: case, blanks, dashes do not count."""
    return re.sub(r"[\s_-]+", "", column).lower()


def find_table(directory: Path, *names: str) -> Path | None:
    """Return the first of these files in the folder, or one or two folders below it."""
    for name in names:
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            found = sorted(path for path in directory.glob(pattern) if path.is_file())
            if found:
                return found[0]
    return None


def require_table(directory: Path, *names: str) -> Path:
    """Return `find_table`'s; raises SourceNotFound where there is none."""
    if (path := find_table(directory, *names)) is None:
        raise SourceNotFound(
            f"{' or '.join(names)} is not in {directory} nor two folders below it: put the "
            "set's table there, or check the path and the source"
        )
    return path


def read_rows(path: Path, required: Sequence[str]) -> list[Row]:
    """Read a CSV, .xlsx or .xls table; rows without any text are left out.

    Raises
    ------
    TableInvalid
        It cannot be read, lacks required columns or has no rows; see
        `mammo.data.tables.read_frame` for CSV.
    """
    frame = _read_excel(path) if path.suffix.lower() in EXCEL else read_frame(path, ())
    header = [fold(str(column)) for column in frame.columns]
    if absent := [column for column in required if fold(column) not in header]:
        raise TableInvalid(
            f"{path.name} lacks the columns {', '.join(absent)}; it has "
            f"{', '.join(str(column) for column in frame.columns)}: rename them back, in line 1"
        )
    if twice := sorted({column for column in header if column and header.count(column) > 1}):
        raise TableInvalid(
            f"{path.name} has two columns that read as {', '.join(twice)}: nobody can tell which "
            "one counts, remove one"
        )
    rows = [
        Row(path.name, int(line), dict(zip(header, cells, strict=True)))
        for line, cells in zip(frame.index, frame.to_numpy().tolist(), strict=True)
        if any(cells)
    ]
    if not rows:
        raise TableInvalid(f"{path.name} has a header and no rows: take it anew from the set")
    return rows


def require_unique(keyed: Iterable[tuple[Hashable, Row]], what: str) -> None:
    """Raise TableInvalid if two rows have the same key, naming both."""
    seen: dict[Hashable, Row] = {}
    for key, row in keyed:
        first = seen.setdefault(key, row)
        if first is not row:
            raise TableInvalid(
                f"{row.place} names the same {what} as {first.place}: remove one of them, "
                "or take the table anew from where the set is published"
            )


def _read_excel(path: Path) -> pd.DataFrame:
    """Read the first sheet as stripped text; the index is the row in the sheet."""
    import pandas as pd  # only here: whoever reads the images needs no tables

    try:
        frame = pd.read_excel(path, dtype=str, na_filter=False)
    except ImportError as error:
        raise TableInvalid(
            f"{path.name} is an Excel table, and openpyxl (.xlsx) or xlrd (.xls) is not "
            "installed: run `pip install openpyxl xlrd`, or save the table as CSV in its place"
        ) from error
    except Exception as error:  # openpyxl and xlrd fail in their own many ways
        raise TableInvalid(
            f"{path.name} is not a readable Excel table ({type(error).__name__}): "
            "fetch it anew, or save it as CSV in its place"
        ) from error
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    return frame.apply(lambda column: column.str.strip())
