"""A table of scores: what it must hold, its parts, and how to read one from a file.

One row a mammogram that was not trained on, as a release keeps in ``scores.parquet``:

    patient_id, exam_id, laterality   whose; ids are pseudonyms
    label                             0, 1 or null (unknown): the breast's outcome
    logit                             raw output for the view
    image_id, view, pooled            pooled False: a preferred view stands for it
    scanner, site, source, part       part: golden, holdout, out_of_fold or new
    age_years, density, implant, birads, findings, acquired_on, software_version
    breast_logit                      raw logit of the breast; see below

The first five columns are needed, the rest is used where it is there. ``probability`` may
stand in for ``logit``. **Breast-level logits:** a release whose breasts are scored by a
multi-view head writes what `Screener` gave for the breast into ``breast_logit``, the same on
every row of the breast; where the column is absent or null, the logit of a breast is the
mean over its pooled views, as in `mammo.screening.score_breasts`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

from mammo.errors import PartUnknown, ScoresInvalid, SourceNotFound

NEEDED = ("patient_id", "exam_id", "laterality", "label", "logit")
IDS = ("patient_id", "exam_id", "image_id", "laterality")
TEXTS = ("view", "scanner", "site", "density", "findings", "source", "part")
OUT_OF_FOLD, UNTOUCHED = "out_of_fold", "untouched"
PARTS = ("golden", "holdout", OUT_OF_FOLD, "new", UNTOUCHED)
"""Parts that may be asked for; untouched is all but out_of_fold."""


def read_scores(path: Path) -> pd.DataFrame:
    """Read a table of scores, Parquet or CSV by its name's end, and check it.

    Raises
    ------
    SourceNotFound, ScoresInvalid
        There is no such file; it cannot be read or is no table of scores.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not there"
        raise SourceNotFound(
            f"{path.name or path} is {what}: name a file of scores, Parquet or CSV, such as the "
            "scores.parquet of a release"
        )
    try:
        frame = _read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        kind = type(error).__name__
        raise ScoresInvalid(f"{path.name} is neither Parquet nor CSV ({kind})") from error
    return check_scores(frame, path.name)


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV; ids stay text (``007`` is not ``7``), numbers keep every digit."""
    return pd.read_csv(path, dtype=dict.fromkeys(IDS, str), float_precision="round_trip")


def check_scores(frame: pd.DataFrame, name: str = "the table of scores") -> pd.DataFrame:
    """Return the frame with every column of the module's list in its type.

    Raises
    ------
    ScoresInvalid
        A needed column is not there or empty, a score is not a number, a label
        is neither 0 nor 1 nor null; the message names the column and the count.
    """
    checked = _with_logit(frame)
    lacking = [column for column in NEEDED if column not in checked]
    if lacking:
        raise ScoresInvalid(
            f"{name} lacks the columns {', '.join(lacking)}; found {', '.join(frame.columns)}; "
            f"needed are {', '.join(NEEDED)} (a column probability may stand in for logit)"
        )
    if checked.empty:
        raise ScoresInvalid(f"{name} has no rows")
    for column in ("patient_id", "exam_id", "laterality"):
        _refuse(checked[column].isna(), f"{name}: {column} is empty")
    checked["logit"] = pd.to_numeric(checked["logit"], errors="coerce").astype(float)
    _refuse(~np.isfinite(checked["logit"]), f"{name}: logit is NaN, infinite or no number")
    _require_own_exams(checked, name)
    label = pd.to_numeric(checked["label"], errors="coerce").astype(float)
    wrong = ~(label.isin((0.0, 1.0)) | checked["label"].isna())
    _refuse(wrong, f"{name}: label is neither 0, 1 nor empty")
    checked["label"] = label
    return _with_defaults(checked)


def _require_own_exams(frame: pd.DataFrame, name: str) -> None:
    """Refuse an exam of two patients: its views would be pooled, and one of them forgotten."""
    owners = frame.groupby("exam_id", sort=False)["patient_id"].nunique()
    shared = int((owners > 1).sum())
    if shared:
        raise ScoresInvalid(
            f"{name}: {shared:,} of {len(owners):,} exam_id are of several patients: give each "
            "exam an id of its own, such as patient_id and exam_id joined"
        )


def _with_logit(frame: pd.DataFrame) -> pd.DataFrame:
    copy = frame.reset_index(drop=True).copy()
    if "logit" not in copy and "probability" in copy:
        probability = pd.to_numeric(copy["probability"], errors="coerce")
        outside = ~probability.between(0, 1)
        _refuse(outside, "probability is not in [0, 1]")
        copy["logit"] = special.logit(probability.clip(1e-12, 1 - 1e-12))
    return copy


def _refuse(rows: pd.Series, what: str) -> None:
    if rows.any():
        first = int(np.flatnonzero(rows.to_numpy(bool))[0])
        raise ScoresInvalid(f"{what} in {int(rows.sum())} of {len(rows)} rows (first: row {first})")


def _with_defaults(frame: pd.DataFrame) -> pd.DataFrame:
    for column in ("patient_id", "exam_id", "laterality"):
        frame[column] = frame[column].astype(str)
    if "image_id" not in frame:
        frame["image_id"] = [f"row-{row}" for row in range(len(frame))]
    for column in TEXTS:
        if column not in frame:
            frame[column] = None
    for column in ("age_years", "breast_logit"):
        given = frame[column] if column in frame else pd.Series(np.nan, frame.index)
        frame[column] = pd.to_numeric(given, errors="coerce").astype(float)
    frame["implant"] = _flags(frame["implant"]) if "implant" in frame else None
    pooled = _flags(frame["pooled"]) if "pooled" in frame else pd.Series(True, frame.index)
    frame["pooled"] = pooled.fillna(True).astype(bool)
    return frame


def _flags(column: pd.Series) -> pd.Series:
    """Return True, False or null, also of a CSV's words."""
    words = (
        column.astype(object)
        .where(column.notna(), None)
        .map(
            lambda value: (
                None if value is None else str(value).lower() in ("true", "1", "1.0", "yes")
            )
        )
    )
    return words.astype("boolean")


def pick_part(scores: pd.DataFrame, part: str | None) -> pd.DataFrame:
    """Return the rows of a part; None or a table without parts: all rows.

    Raises
    ------
    PartUnknown
        No such part, or nobody in it; the message names those there are.
    """
    if part is None:
        return scores
    if part not in PARTS:
        raise PartUnknown(f"part {part!r} is unknown; allowed are {', '.join(PARTS)}")
    named = scores["part"].fillna("not stated").astype(str)
    rows = scores[named != OUT_OF_FOLD if part == UNTOUCHED else named == part]
    if rows.empty:
        counts = ", ".join(f"{name} ({rows:,})" for name, rows in named.value_counts().items())
        raise PartUnknown(f"part {part!r} has no mammogram; found {counts}")
    return rows.reset_index(drop=True)
