"""One row per patient: the unit of every split, balance and interval.

A patient's attributes are those that a split must spread evenly. Where her
images differ, the level of most images counts (ties: the first in the
alphabet), a known level goes before an unknown one, the age is that of her
first exam, and one positive breast makes her a positive patient.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammo.data.index import target_values
from mammo.errors import PatientLeak

Codes = npt.NDArray[np.int64]

ATTRIBUTES = ("outcome", "site", "machine", "age", "density", "implant")
"""What a split balances, most important first."""
SPLIT_COLUMNS = (
    "patient_id", "exam_id", "laterality", "view", "cancer", "abnormal", "site", "scanner",
    "age_years", "density", "implant", "acquired_on", "source",
)  # fmt: skip
"""The columns of the index that splits and balance read; a large index is read no further."""
AGE_BANDS = (0, 40, 50, 60, 70)
"""Lower ends in years; the last band has no upper end."""
UNKNOWN = "unknown"
POSITIVE, NEGATIVE = "positive", "negative"


def patient_table(index: pd.DataFrame, *, target: str = "cancer") -> pd.DataFrame:
    """Return one row per patient, ordered by pseudonym whatever the order of the index.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``patient_id``: `ATTRIBUTES` as categoricals (``unknown``
        where no image tells), ``images`` and ``breasts`` (exam and side) as
        counts. ``outcome`` is of ``target``, ``unknown`` without a label.
    """
    patient, names = pd.factorize(index["patient_id"], sort=True)
    owner = patient.astype(np.int64)
    count = len(names)
    columns: dict[str, Any] = {
        "outcome": _outcome(owner, target_values(index, target), count),
        "site": _most_frequent(owner, index["site"]),
        "machine": _most_frequent(owner, index["scanner"]),
        "age": _age_band(owner, index["age_years"], count),
        "density": _most_frequent(owner, index["density"]),
        "implant": _implant(owner, index["implant"], count),
        "images": np.bincount(owner, minlength=count),
        "breasts": _breasts(owner, index, count),
    }
    ids = pd.Index(np.asarray(names, dtype=object), name="patient_id")
    return pd.DataFrame(columns, index=ids)


def part_of_rows(index: pd.DataFrame, assignment: pd.Series[Any]) -> pd.Series[Any]:
    """Return the part of each row; null where a row stands in none.

    ``assignment`` is aligned with ``index``, or indexed by ``patient_id``. A
    negative number (`UNLABELLED_FOLD`) and null are no part.
    """
    if len(assignment) == len(index) and assignment.index.equals(index.index):
        part = assignment
    else:
        # by position, not by key: the same patient twice in the assignment is a leak
        if not assignment.index.is_unique:
            twice = int(assignment.index.duplicated().sum())
            raise PatientLeak(
                f"{twice} rows of the assignment name a patient for a second time: "
                "give one part a patient, or one part a row of the index"
            )
        part = index["patient_id"].map(assignment)
    if pd.api.types.is_numeric_dtype(part.dtype) and not pd.api.types.is_bool_dtype(part.dtype):
        part = part.where(part >= 0).astype("Int64")
    return part.set_axis(index.index)


def part_of_patients(index: pd.DataFrame, assignment: pd.Series[Any]) -> pd.Series[Any]:
    """Return the part of each patient that stands in one, indexed by ``patient_id``.

    Raises
    ------
    PatientLeak
        A patient stands in more than one part; the message has the count.
    """
    part = part_of_rows(index, assignment)
    pairs = pd.DataFrame({"patient_id": index["patient_id"], "part": part})
    pairs = pairs[part.notna()].drop_duplicates()
    twice = int((pairs["patient_id"].value_counts() > 1).sum())
    if twice:
        raise PatientLeak(
            f"{twice} {'patient stands' if twice == 1 else 'patients stand'} in more than one "
            "part of the split: assign patients, not images (`mammo data split` does); "
            "`mammo.data.leaks.find_leaks` lists them"
        )
    return pairs.set_index("patient_id")["part"].sort_index()


def _outcome(owner: Codes, labels: pd.Series[Any], count: int) -> pd.Categorical[Any]:
    values = labels.to_numpy(dtype="float64", na_value=np.nan)
    known, positive = ~np.isnan(values), values == 1
    codes = np.full(count, 2)
    codes[owner[known]] = 1
    codes[owner[positive]] = 0
    return _levels(codes, [POSITIVE, NEGATIVE, UNKNOWN])


def _most_frequent(owner: Codes, values: pd.Series[Any]) -> pd.Categorical[Any]:
    """Return the level of most of each patient's images; every owner has a row."""
    codes, found = pd.factorize(values, sort=True)  # -1 where null
    levels = [str(level) for level in found] + [UNKNOWN]
    codes = np.where(codes < 0, len(levels) - 1, codes).astype(np.int64)
    pairs, counts = np.unique(owner * len(levels) + codes, return_counts=True)
    whose, level = np.divmod(pairs, len(levels))
    weight = np.where(level == len(levels) - 1, 0, counts)
    order = np.lexsort((level, -weight, whose))
    first = order[np.unique(whose[order], return_index=True)[1]]
    # a set may write "unknown" itself: one level, not two of one name
    kept, codes = np.unique(np.asarray(levels, dtype=object)[level[first]], return_inverse=True)
    return _levels(codes, [str(one) for one in kept])


def _levels(codes: Any, names: list[str]) -> pd.Categorical[Any]:
    return pd.Categorical(pd.Index(names).take(cast("Sequence[int]", codes)), categories=names)


def _age_band(owner: Codes, ages: pd.Series[Any], count: int) -> pd.Categorical[Any]:
    years = np.full(count, np.inf)
    values = ages.to_numpy(dtype="float64", na_value=np.inf)
    np.minimum.at(years, owner, np.where(np.isnan(values), np.inf, values))
    ends = itertools.pairwise(AGE_BANDS[1:])
    names = [f"under {AGE_BANDS[1]}", *(f"{low}-{high - 1}" for low, high in ends)]
    names += [f"{AGE_BANDS[-1]} and over", UNKNOWN]
    codes = np.digitize(years, AGE_BANDS[1:])
    return _levels(np.where(np.isinf(years), len(names) - 1, codes), names)


def _implant(owner: Codes, implants: pd.Series[Any], count: int) -> pd.Categorical[Any]:
    values = implants.to_numpy(dtype="float64", na_value=np.nan)
    codes = np.full(count, 2)
    codes[owner[~np.isnan(values)]] = 1
    codes[owner[values == 1]] = 0
    return _levels(codes, ["yes", "no", UNKNOWN])


def _breasts(owner: Codes, index: pd.DataFrame, count: int) -> Codes:
    exam = pd.factorize(index["exam_id"])[0].astype(np.int64)
    side = pd.factorize(index["laterality"])[0].astype(np.int64) + 1
    key = (owner * (exam.max(initial=0) + 1) + exam) * (side.max(initial=0) + 1) + side
    _, first = np.unique(key, return_index=True)
    return np.bincount(owner[first], minlength=count)
