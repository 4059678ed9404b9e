"""Label tables that come with data sets: from the bytes of a CSV to rows of text.

A table is read as it was published: UTF-8 (with or without a byte order mark) or
UTF-16 with one; separated by comma, semicolon or tab, whichever its header is;
any line ending. What is none of these is refused by name: nothing, a web page,
an archive, other binary, a file cut off within a line. What the cells may hold
is for :mod:`mammo.data.table_checks`. Lines are counted as an editor counts
them: the header is line 1.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from mammo.errors import SourceNotFound, TableInvalid

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t")
BINARY = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as CSV",
    b"%PDF": "a PDF: take the table itself",
    b"PAR1": "a Parquet file: save it as CSV",
}
"""How files begin that are taken for tables, and what to do with them."""
ANEW = "take the file anew from its source"


def read_table(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV as dictionaries of stripped text; an empty cell is ``""``.

    Raises
    ------
    SourceNotFound
        The table is not there.
    TableInvalid
        It is no CSV, or lacks required columns; the message names them.
    """
    rows: list[dict[str, str]] = read_frame(path, required).to_dict("records")  # type: ignore[assignment]
    return rows


def read_frame(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """Read a CSV as a frame of stripped text whose index is the line in the file.

    Raises as `read_table` does.
    """
    import pandas as pd  # only here: whoever reads the files needs no tables

    text = _read_text(path)
    lines = _split(text, path.name, required)
    header = next(lines, (1, []))[1]
    _require_columns(header, required, path.name)
    numbers, rows, ragged = [], [], []
    for number, cells in lines:
        if len(cells) != len(header):
            ragged.append((number, len(cells)))
        numbers.append(number)
        rows.append(cells)
    if ragged:
        raise TableInvalid(_told_ragged(ragged, numbers[-1], len(header), text, path.name))
    index = pd.Index(numbers, name="line")
    frame = pd.DataFrame(rows, columns=header, index=index, dtype=object)
    return frame.loc[:, [name != "" for name in header]]  # a spreadsheet adds empty ones


def to_bool(text: str) -> bool | None:
    """Return True for 1, False for 0, None for empty or anything else."""
    return {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}.get(
        text.lower()
    )


def to_float(text: str) -> float | None:
    """Return a finite number, or None when the cell holds none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_text(path: Path) -> str:
    """Return the file's text without its byte order mark, or say what else the file is."""
    if not path.is_file():
        raise SourceNotFound(f"{path.name} is not in {path.parent}: check the path or the source")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableInvalid(
            f"{path.name} cannot be read ({error.strerror}): see to its rights and its disk"
        ) from error
    no_table = f"{path.name} is not a CSV table but"
    if not content.strip():
        raise TableInvalid(f"{no_table} an empty file ({len(content)} bytes): {ANEW}")
    for start, what in BINARY.items():
        if content.startswith(start):
            raise TableInvalid(f"{no_table} {what}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decode(content, "utf-16", path.name)
    if b"\0" in content:
        raise TableInvalid(f"{no_table} a binary file: {ANEW}")
    text = _decode(content, "utf-8-sig", path.name)
    if text.lstrip().startswith(("{", "[")):
        raise TableInvalid(
            f"{no_table} JSON, as a server answers a request that it refuses: see what it says, "
            f"and {ANEW}"
        )
    if text.lstrip().startswith("<"):
        raise TableInvalid(
            f"{no_table} a web page, as a download gives that needs a login or accepted terms: "
            f"sign in at its source and {ANEW}"
        )
    return text


def _decode(content: bytes, encoding: str, name: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableInvalid(
            f"{name} is not a CSV table in UTF-8: line {line} has bytes that are no text in it; "
            f"save it as UTF-8, or {ANEW}"
        ) from error


def _split(text: str, name: str, required: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not blank, each with its number and its stripped cells."""
    separator = _find_separator(text, required)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 1
    try:
        for cells in reader:
            if any(cells):
                yield number, [cell.strip() for cell in cells]
            number = reader.line_num + 1
    except csv.Error as error:
        raise TableInvalid(
            f"{name} is not a CSV table from line {number} on ({error}): mend the quotes there, "
            f"or {ANEW}"
        ) from error


def _find_separator(text: str, required: Sequence[str]) -> str:
    """Return the separator under which the first line has the most of the required names."""
    header = text[:65_536].lstrip().splitlines()[0]

    def count(separator: str) -> tuple[int, int]:
        names = {cell.strip(' "') for cell in header.split(separator)}
        return len(names.intersection(required)), header.count(separator)

    return max(SEPARATORS, key=count)


def _require_columns(header: Sequence[str], required: Sequence[str], name: str) -> None:
    absent = [column for column in required if column not in header]
    if not absent:
        _require_once(header, name)
        return
    if len(absent) == len(required):  # the line may be data: it is not quoted
        raise TableInvalid(
            f"{name} lacks the columns {', '.join(absent)}: line 1 has {len(header)} cells and "
            f"none of these names, so it is not this table's header; put that back, or {ANEW}"
        )
    others = [column for column in header if column not in required]
    alike = [(like[0], column) for column in absent if (like := _similar(column, others))]
    told = "".join(f"; {other!r} looks like {column}: rename it" for other, column in alike)
    raise TableInvalid(
        f"{name} lacks the columns {', '.join(absent)}{told}; line 1 has {', '.join(header)}"
    )


def _require_once(header: Sequence[str], name: str) -> None:
    if repeated := sorted({column for column in header if column and header.count(column) > 1}):
        raise TableInvalid(
            f"{name} has the column {', '.join(repeated)} twice: nobody can tell which one counts, "
            "remove one"
        )


def _similar(column: str, others: Sequence[str]) -> list[str]:
    """Return the other name that is most like the column's, letters alone compared."""
    bare = {"".join(c for c in other.casefold() if c.isalnum()): other for other in others}
    wanted = "".join(c for c in column.casefold() if c.isalnum())
    inside = [key for key in bare if len(key) > 1 and (key in wanted or wanted in key)]
    found = get_close_matches(wanted, bare, n=1, cutoff=0.7) or inside[:1]
    return [bare[key] for key in found]


def _told_ragged(
    ragged: Sequence[tuple[int, int]], last: int, columns: int, text: str, name: str
) -> str:
    """Say which lines have another number of cells than the header."""
    if ragged[0][0] == last and ragged[0][1] < columns and not text.endswith(("\n", "\r")):
        return (
            f"{name} is cut off within line {last}, which has {ragged[0][1]} of {columns} cells: "
            f"rows after it may be lost, {ANEW}"
        )
    lines = ", ".join(f"line {number} ({cells})" for number, cells in ragged[:20])
    more = f" and {len(ragged) - 20} more" if len(ragged) > 20 else ""
    return (
        f"{name} has lines with another number of cells than its {columns} columns: {lines}{more}; "
        "mend them (a comma within a cell needs quotes), a row cannot be told from its neighbour"
    )
