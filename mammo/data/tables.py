"""Label tables that come with data sets (CSV)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mammo.errors import SourceInvalid, SourceNotFound


def read_table(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV as dictionaries of stripped text; an empty cell is ``""``.

    Raises
    ------
    SourceNotFound
        The table is not there.
    SourceInvalid
        It is no CSV, or lacks required columns; the message names them.
    """
    import pandas as pd  # only here: whoever reads the files needs no tables

    if not path.is_file():
        raise SourceNotFound(f"{path.name} is not in {path.parent}: check the path or the source")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise SourceInvalid(f"{path.name} is not a CSV table: {type(error).__name__}") from error
    frame.columns = frame.columns.str.strip()
    if absent := [name for name in required if name not in frame.columns]:
        raise SourceInvalid(
            f"{path.name} lacks the columns {', '.join(absent)}; "
            f"it has {', '.join(map(str, frame.columns))}"
        )
    rows: list[dict[str, str]] = frame.apply(lambda column: column.str.strip()).to_dict("records")
    return rows


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
