"""What must hold of the exam index: the expectations, each said in words.

Great Expectations checks columns. What spans rows (views of an exam, patients
of an exam, sides of a patient) is first written beside each row by
`with_derived_columns`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import import_module
from typing import Any

import pandas as pd

from mammo.data.index import FEATURE_COLUMNS, INDEX_SCHEMA
from mammo.data.split import golden_patients

SUITE_NAME = "exam_index"
NEVER_NULL = (
    "image_id", "exam_id", "patient_id", "laterality", "view", "scanner", "site", "source",
    "sha256", "shard", "shard_row", "geometry",
)  # fmt: skip
PSEUDONYMS = {
    "image_id": "I-[0-9a-f]{16}",
    "exam_id": "E-[0-9a-f]{16}",
    "patient_id": "P-[0-9a-f]{16}",
}
FIRST_DAY = date(1980, 1, 1)


@dataclass(frozen=True)
class CheckLimits:
    """What is still plausible; wide on purpose, so that only faults stop a run.

    ``prevalence`` is of images with an outcome, in [0, 1]: 2 % in RSNA,
    16 % in mini-MIAS, up to half in enriched sets. ``golden_fraction`` and
    ``golden_seed`` are those of `mammo.data.split.golden_patients`.
    """

    max_views_per_exam: int = 12
    prevalence: tuple[float, float] = (0.0, 0.6)
    standard_views: float = 0.95
    golden_fraction: float = 0.2
    golden_seed: int = 0


def with_derived_columns(index: pd.DataFrame, limits: CheckLimits) -> pd.DataFrame:
    """Return the index with what its rows have in common written beside each row.

    ``views_of_exam`` and ``patients_of_exam`` count within the exam;
    ``patients_of_pixels`` counts the patients under whose id the same pixels
    stand (by size and all image features); ``sides_of_exam`` and
    ``sides_of_patient`` count sides of the golden split; ``boxes_outside``
    counts findings that leave their image, ``original_ids`` ids of the row that
    are no pseudonyms.
    """
    frame = index.reset_index(drop=True)
    golden = golden_patients(frame, limits.golden_fraction, limits.golden_seed)
    side = frame["patient_id"].isin(golden)
    pixels = frame.groupby(["rows", "columns", *FEATURE_COLUMNS], dropna=False).ngroup()
    counts = {
        "views_of_exam": frame["image_id"].groupby(frame["exam_id"]).transform("size"),
        "patients_of_exam": frame["patient_id"].groupby(frame["exam_id"]).transform("nunique"),
        "patients_of_pixels": frame["patient_id"].groupby(pixels).transform("nunique"),
        "sides_of_exam": side.groupby(frame["exam_id"]).transform("nunique"),
        "sides_of_patient": side.groupby(frame["patient_id"]).transform("nunique"),
        "original_ids": _count_original_ids(frame),
        "boxes_outside": frame.apply(_boxes_outside, axis="columns", result_type="reduce"),
    }
    frame = frame.assign(**{name: values.astype("int64") for name, values in counts.items()})
    # the engine takes pd.NA for a value; NaN it takes for null
    small = {n: "float64" for n in frame.columns if isinstance(frame[n].dtype, _SMALL)}
    return frame.astype(small)


def build_expectations(
    limits: CheckLimits, *, labelled: bool = True, today: date | None = None
) -> list[Any]:
    """Return the expectations of the exam index, most basic first.

    Prevalence is expected of a ``labelled`` index alone: without an outcome
    there is none.
    """
    return [
        *_schema_expectations(),
        *_identity_expectations(),
        *_set_expectations(),
        *_range_expectations(today or date.today()),
        *_leakage_expectations(limits),
        *_mix_expectations(limits, labelled=labelled),
    ]


_SMALL = (pd.Int8Dtype, pd.Int16Dtype)


def _schema_expectations() -> list[Any]:
    gxe = _engine()
    columns = {field.name for field in INDEX_SCHEMA}
    return [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=sorted(columns),
            exact_match=False,
            description="every column of the index's schema is there",
        ),
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1, description="the index holds at least one mammogram"
        ),
    ]


def _identity_expectations() -> list[Any]:
    gxe = _engine()
    required = [
        gxe.ExpectColumnValuesToNotBeNull(
            column=name, description=f"every mammogram has its {name}"
        )
        for name in NEVER_NULL
    ]
    unique = [
        gxe.ExpectColumnValuesToBeUnique(column=name, description=f"no {name} stands twice")
        for name in ("image_id", "sha256")
    ]
    # a count rather than the ids: Data Docs quote values, and these might be original ones
    pseudonyms = gxe.ExpectColumnValuesToBeBetween(
        column="original_ids",
        min_value=0,
        max_value=0,
        description="image, exam and patient are pseudonyms, never original identifiers",
    )
    return [*required, *unique, pseudonyms]


def _set_expectations() -> list[Any]:
    gxe = _engine()
    sets: dict[str, list[Any]] = {
        "laterality": ["L", "R"],
        "view": ["CC", "MLO", "ML", "LM", "LMO", "AT", "XCCL", "XCCM", "U"],
        "density": ["A", "B", "C", "D", "F", "G"],
        "cancer": [0, 1],
        "abnormal": [0, 1],
    }
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column=name,
            value_set=values,
            description=f"{name} is one of {', '.join(map(str, values))}",
        )
        for name, values in sets.items()
    ]


def _range_expectations(today: date) -> list[Any]:
    gxe = _engine()
    ranges: dict[str, tuple[Any, Any, str]] = {
        "age_years": (0, 120, "ages are 0 to 120 years, or unknown"),
        "acquired_on": (
            FIRST_DAY, today + timedelta(days=1),
            f"dates of acquisition are after {FIRST_DAY.year} and not in the future",
        ),
        "spacing_mm": (0.01, 1.0, "pixel spacing is 0.01 to 1 mm, or unknown"),
        "rows": (64, 20000, "images have 64 to 20000 rows"),
        "columns": (64, 20000, "images have 64 to 20000 columns"),
        "boxes_outside": (0, 0, "every marked finding lies inside its image"),
    }  # fmt: skip
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=least, max_value=most, description=words
        )
        for name, (least, most, words) in ranges.items()
    ]


def _mix_expectations(limits: CheckLimits, *, labelled: bool) -> list[Any]:
    gxe = _engine()
    low, high = limits.prevalence
    standard = gxe.ExpectColumnValuesToBeInSet(
        column="view",
        value_set=["CC", "MLO"],
        mostly=limits.standard_views,
        severity="warning",
        description=f"at least {limits.standard_views:.0%} of images are standard views",
    )
    if not labelled:
        return [standard]
    prevalence = gxe.ExpectColumnMeanToBeBetween(
        column="cancer",
        min_value=low,
        max_value=high,
        description=f"between {low:.0%} and {high:.0%} of images with an outcome show cancer",
    )
    return [standard, prevalence]


def _engine() -> Any:
    """Import Great Expectations when it is needed: it takes seconds."""
    return import_module("great_expectations.expectations")


def _leakage_expectations(limits: CheckLimits) -> list[Any]:
    gxe = _engine()
    most = limits.max_views_per_exam
    ranges = {
        "views_of_exam": (most, f"an exam has 1 to {most} views"),
        "patients_of_exam": (1, "no exam belongs to two patients"),
        "sides_of_patient": (1, "no patient is both in the golden set and in training"),
        "sides_of_exam": (1, "no exam is both in the golden set and in training"),
        "patients_of_pixels": (1, "no image stands under two patients"),
    }
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=1, max_value=high, description=words
        )
        for name, (high, words) in ranges.items()
    ]


def _count_original_ids(frame: pd.DataFrame) -> pd.Series[int]:
    forms = PSEUDONYMS.items()
    found = {name: ~frame[name].str.fullmatch(form).astype(bool) for name, form in forms}
    return pd.DataFrame(found, index=frame.index).sum(axis="columns")


def _boxes_outside(row: pd.Series[Any]) -> int:
    boxes = json.loads(row["findings"] or "[]")
    return sum(
        not (0 <= box["x_min"] < box["x_max"] <= row["columns"])
        or not (0 <= box["y_min"] < box["y_max"] <= row["rows"])
        for box in boxes
    )
