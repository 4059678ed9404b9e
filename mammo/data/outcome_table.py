"""Outcomes as a table: the columns of ``POST /v1/outcomes``, as CSV or Parquet.

    exam,laterality,cancer,known_at,source
    E-0123456789abcdef,L,1,2026-03-01,pathology

They come as a table where no service is: beside de-identified exams that another
installation trains on. That one has a key of its own, by which an exam has another
name; the folders of `mammo deidentify` (PATIENT/EXAM/IMAGE.dcm) say which is which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from mammo.contract_outcome import OutcomeIn
from mammo.data.durable import write_file
from mammo.data.tables import read_frame, to_bool
from mammo.dicom.read import read_mammogram_header
from mammo.errors import ReadError, SourceInvalid, SourceNotFound, TableInvalid
from mammo.exam import Outcome
from mammo.settings import Settings

COLUMNS = ("exam", "cancer", "known_at", "source")
SIDE = "laterality"
EXAM = re.compile(r"E-[0-9a-f]{16}")
SOURCE = "outcome log"
"""What a written table says of every source: the word of a caller might name somebody."""
LINES_SHOWN = 10
Word = tuple[str, str, bool, datetime]
"""What is said, without who says it: exam, side ("" is the whole exam), cancer, known_at."""


@dataclass(frozen=True)
class Matched:
    """Outcomes by this installation's exam ids, and how many are of an exam unknown here."""

    outcomes: list[Outcome]
    unknown: int


def read_outcomes(path: Path) -> list[Outcome]:
    """Read a table of outcomes: ``.parquet``, else CSV. ``laterality`` may be missing or empty.

    Raises
    ------
    SourceNotFound
        The table is not there.
    TableInvalid
        It is no such table, has a column of another name, or a row cannot be right by
        itself or beside another: none is taken. The message names columns and lines, never
        what they hold.
    """
    frame = _read_parquet(path) if path.suffix == ".parquet" else read_frame(path, COLUMNS)
    _require_known_columns(frame, path.name)
    if not len(frame):
        raise TableInvalid(f"{path.name} has no rows")
    found, wrong = [], {}
    for line, row in zip(frame.index, frame.to_dict("records"), strict=True):
        try:
            found.append(_outcome(row))
        except ValidationError as error:
            wrong[int(line)] = _column(error)
    if wrong:
        told = ", ".join(f"line {n} ({column})" for n, column in [*wrong.items()][:LINES_SHOWN])
        raise TableInvalid(
            f"{path.name}: {len(wrong)} of {len(frame)} rows cannot be right: {told}. cancer is 1 "
            "or 0, laterality L, R or nothing, known_at a day or an instant by ISO 8601"
        )
    if denied := [int(frame.index[place]) for place in _denied([_word(one) for one in found])]:
        told = ", ".join(f"line {line}" for line in denied[:LINES_SHOWN])
        raise TableInvalid(
            f"{path.name}: {len(denied)} of {len(frame)} rows say no cancer where another row says "
            f"cancer, of the same exam and side at the same instant: {told}. Ask the source"
        )
    return found


def without_repeats(outcomes: Iterable[Outcome], known: pd.DataFrame) -> list[Outcome]:
    """Leave out what comes from another log and is known here, from whatever source.

    ``known`` is of `PredictionLog.outcomes`. A written table has lost who said so: taken in
    again where it was written, its rows would be new words.
    """
    sides = known["laterality"].fillna("").astype(str)
    told = set(zip(known["exam_id"], sides, known["cancer"], known["known_at"], strict=True))
    return [one for one in outcomes if one.source != SOURCE or _word(one) not in told]


def find_exams(outcomes: list[Outcome], known: Set[str], name: str) -> Matched:
    """Count the outcomes of exams that are not ``known``: kept, as a result may come first.

    Raises
    ------
    SourceInvalid
        None of the exams is known.
    TableInvalid
        An exam is not known and no pseudonym either: a number or a name of another system
        would stand in the log and in the audit log for good. ``name`` is the table's.
    """
    unknown = [one.exam_id for one in outcomes if one.exam_id not in known]
    if len(unknown) == len(outcomes):
        raise SourceInvalid(
            f"none of the {len(outcomes)} outcomes is of an exam that is scored or taken in here: "
            "with --exams the table names exams as the folders of `mammo deidentify`"
        )
    named = sum(EXAM.fullmatch(one) is None for one in unknown)
    if named:
        raise TableInvalid(
            f"{name}: {named} of {len(outcomes)} rows name an exam that is neither known here nor "
            "a pseudonym (E- and 16 of 0-9a-f); none was taken"
        )
    return Matched(outcomes, len(unknown))


def match_exams(outcomes: Iterable[Outcome], exams: Path, settings: Settings) -> Matched:
    """Give outcomes this installation's exam ids, by the folders of de-identified exams.

    ``exams`` holds PATIENT/EXAM/IMAGE.dcm as `mammo deidentify` writes it, and the
    outcomes name EXAM. Its header is read as an ingest reads it.

    Raises
    ------
    SourceNotFound
        There is no such folder.
    SourceInvalid
        None of the exams is in it.
    """
    if not exams.is_dir():
        raise SourceNotFound("there is no folder of exams at that path")
    outcomes = list(outcomes)
    ids = dict(_ids({one.exam_id for one in outcomes}, exams, settings))
    known = [replace(one, exam_id=ids[one.exam_id]) for one in outcomes if one.exam_id in ids]
    if not known:
        raise SourceInvalid(
            f"none of the {len(outcomes)} outcomes is of an exam in that folder: the table names "
            "exams as `mammo deidentify` names their folders (PATIENT/EXAM/IMAGE.dcm)"
        )
    return Matched(known, len(outcomes) - len(known))


def write_outcomes(path: Path, outcomes: pd.DataFrame) -> int:
    """Write the log's outcomes (`PredictionLog.outcomes`) as such a table; return the rows.

    Without what callers wrote themselves: the source, and an exam that is no pseudonym. Where
    two words of one instant contradict each other, the cancer is written, which labels go by.
    """
    own = outcomes[outcomes["exam_id"].astype(str).str.fullmatch(EXAM)]
    sides = own["laterality"].fillna("").astype(str)
    words = zip(own["exam_id"], sides, own["cancer"], own["known_at"], strict=True)
    own = own.drop(index=own.index[_denied(list(words))])
    table = pd.DataFrame(
        {
            "exam": own["exam_id"],
            SIDE: own["laterality"].fillna(""),
            "cancer": own["cancer"].astype(int),
            "known_at": [one.isoformat() for one in own["known_at"]],
            "source": SOURCE,
        }
    )
    text = table.to_csv(index=False).encode()
    write_file(path, lambda file: file.write(text), drafts=path.parent)
    return len(table)


def _word(outcome: Outcome) -> Word:
    side = "" if outcome.laterality is None else str(outcome.laterality)
    return outcome.exam_id, side, outcome.cancer, outcome.known_at


def _denied(words: Sequence[Word]) -> list[int]:
    """Return where a word says no cancer and another of the same instant that there is one.

    Of the same side; a whole exam without cancer denies that of either breast.
    """
    ill: dict[tuple[str, datetime], set[str]] = {}
    for exam, side, cancer, at in words:
        if cancer:
            ill.setdefault((exam, at), set()).add(side)
    return [
        place
        for place, (exam, side, cancer, at) in enumerate(words)
        if not cancer and (sides := ill.get((exam, at))) and (side in sides or not side)
    ]


def _ids(wanted: set[str], exams: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    key = settings.pseudonym_key()
    for folder in sorted(one for one in exams.rglob("*") if one.name in wanted and one.is_dir()):
        for file in sorted(folder.glob("*.dcm")):
            try:
                yield folder.name, read_mammogram_header(file, key=key, site="").exam_id
                break
            except ReadError:  # the ingest puts it into quarantine; the next one may do
                continue


def _read_parquet(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise SourceNotFound(f"{path.name} is not in {path.parent}: check the path")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are these
        raise TableInvalid(f"{path.name} is no Parquet file ({type(error).__name__})") from error
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise TableInvalid(f"{path.name} has no column {', '.join(missing)}")
    several = [str(name) for name in frame if not frame[name].map(pd.api.types.is_scalar).all()]
    if several:
        raise TableInvalid(f"{path.name}: {', '.join(several)} holds lists, not one value a cell")
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame


def _require_known_columns(frame: pd.DataFrame, name: str) -> None:
    """Refuse ``side`` for ``laterality``: unread, it would clear both breasts of an exam."""
    others = [str(one) for one in frame if one not in (*COLUMNS, SIDE)]
    if others:
        raise TableInvalid(
            f"{name} has the column {', '.join(others)}, which would not be read: a table of "
            f"outcomes has {', '.join((COLUMNS[0], SIDE, *COLUMNS[1:]))}"
        )


def _outcome(row: Mapping[Any, Any]) -> Outcome:
    known_at = row["known_at"]
    is_instant = isinstance(known_at, datetime) and not pd.isna(known_at)  # NaT is one, too
    given = {
        "exam": _text(row["exam"]),
        "cancer": to_bool(_text(row["cancer"])),
        "known_at": known_at if is_instant else _text(known_at),
        "source": _text(row["source"]),
        SIDE: _text(row.get(SIDE)) or None,
    }
    return OutcomeIn.model_validate(given).to_outcome()


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _column(error: ValidationError) -> str:
    return str(error.errors()[0]["loc"][0])
