"""A sound index, and every way in which its columns are broken in practice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from mammo.data.index import FEATURE_COLUMNS, INDEX_SCHEMA, index_from_rows

Break = Callable[[pd.DataFrame], None]
FEATURES = {
    "f_breast_fraction": 0.3, "f_mean_intensity": 0.4, "f_contrast": 0.2, "f_skewness": 0.1,
    "f_sharpness": 0.5, "f_noise": 0.01,
}  # fmt: skip


def screening(patients: int = 60) -> pd.DataFrame:
    """A sound index: four views a patient, one in six with cancer on the left."""
    blank: dict[str, Any] = {field.name: None for field in INDEX_SCHEMA}
    return index_from_rows(blank | _row(number) for number in range(4 * patients))


def _row(number: int) -> dict[str, Any]:
    patient, view = divmod(number, 4)
    side = "LLRR"[view]
    cancer = int(patient % 6 == 0 and side == "L")
    shift = number / 1e5
    left = {"x0": 0, "x1": 1000 + number % 400, "pad_x": 0}
    right = {"x0": 500 - number % 400, "x1": 1500, "pad_x": 40}
    geometry = (left if side == "L" else right) | {
        "y0": 100, "y1": 1900, "scale": 0.2, "pad_y": 0, "rows": 2000, "columns": 1500
    }  # fmt: skip
    box = {"x_min": 5, "y_min": 5, "x_max": 99, "y_max": 90, "kind": "mass", "malignant": True}
    return {
        "image_id": f"I-{number:016x}", "exam_id": f"E-{patient:016x}",
        "patient_id": f"P-{patient:016x}", "laterality": side, "view": ("CC", "MLO")[view % 2],
        "manufacturer": "Maker", "model": f"Model {patient % 3}",
        "scanner": f"Maker/Model {patient % 3}", "software_version": "1.0", "site": "site-1",
        "acquired_on": date(2024, 1, 1 + patient % 28), "age_years": 50 + patient % 20,
        "density": "ABCD"[patient % 4], "cancer": cancer, "abnormal": cancer,
        "birads": 4 if cancer else 1, "biopsied": cancer, "invasive": cancer, "difficult": 0,
        "outcome_known_at": datetime(2024, 6, 1 + patient % 28, tzinfo=UTC), "source": "rsna",
        "published_split": "training", "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "shard": "a", "shard_row": number, "rows": 2000, "columns": 1500, "implant": False,
        "spacing_mm": 0.07, "quality": "", "geometry": json.dumps(geometry),
        "findings": json.dumps([box] if cancer else []),
        "phash": hashlib.sha256(f"look {number}".encode()).hexdigest(),
        "thickness_mm": 50.0 + patient % 20, "compression_n": 90.0 + view, "kvp": 28.0,
        "exposure_mas": 70.0 + patient % 30,
    } | {name: value + shift for name, value in FEATURES.items()}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One fault: which column, in words how, and the function that makes it in place."""

    column: str
    how: str
    apply: Break


def put(column: str, value: Any, row: int = 21) -> Break:
    """Write a value into one row: by default a left MLO of a patient without cancer."""

    def apply(frame: pd.DataFrame) -> None:
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value

    return apply


def fill(column: str, value: Any) -> Break:
    """Write a value into the whole column."""

    def apply(frame: pd.DataFrame) -> None:
        frame[column] = [value] * len(frame)

    return apply


def copy(column: str, source: int, row: int = 21) -> Break:
    """Write another row's value."""

    def apply(frame: pd.DataFrame) -> None:
        frame.loc[row, column] = frame.loc[source, column]

    return apply


def swap(*columns: str) -> Break:
    """Exchange two columns, as a shifted header does."""

    def apply(frame: pd.DataFrame) -> None:
        frame[list(columns)] = frame[list(reversed(columns))].to_numpy()

    return apply


def moved(column: str) -> Break:
    """Move a column down by one row, as a wrong join does."""

    def apply(frame: pd.DataFrame) -> None:
        frame[column] = np.roll(frame[column].to_numpy(dtype=object), 1)

    return apply


def negated(column: str) -> Break:
    """Turn every 0 into 1 and every 1 into 0."""

    def apply(frame: pd.DataFrame) -> None:
        frame[column] = 1 - frame[column]

    return apply


def sides_swapped(frame: pd.DataFrame) -> None:
    """Take every left for a right."""
    frame["laterality"] = frame["laterality"].map({"L": "R", "R": "L"})


def ages_turned(frame: pd.DataFrame) -> None:
    """Give one patient a second exam, ten years older on the next day."""
    second = [24, 25, 26, 27]
    frame.loc[second, "patient_id"] = frame.loc[20, "patient_id"]
    frame.loc[second, "age_years"] = frame.loc[20, "age_years"] + 10


_JSON = '{"x0": 0, "x1": 1000, "pad_x": 0, "y0": 100, "y1": 1900, "scale": 0.2, "pad_y": 0, '
LATE = datetime(2190, 1, 1, tzinfo=UTC)
MUTATIONS: tuple[Mutation, ...] = tuple(
    Mutation(*one)
    for one in (
        ("image_id", "the original UID", put("image_id", "1.2.840.113619.2.5")),
        ("image_id", "the id of another row", copy("image_id", 40)),
        ("exam_id", "the original accession number", put("exam_id", "ACC-20240102")),
        ("exam_id", "the exam of another patient", copy("exam_id", 40)),
        ("exam_id", "one exam for all", fill("exam_id", "E-0000000000000001")),
        ("patient_id", "the patient's name", put("patient_id", "DOE^JANE")),
        ("patient_id", "another patient for one view", copy("patient_id", 40)),
        ("patient_id", "one patient for all", fill("patient_id", "P-0000000000000001")),
        ("laterality", "null", put("laterality", None)),
        ("laterality", "lower case 'l'", put("laterality", "l")),
        ("laterality", "the other side in one row", put("laterality", "R")),
        ("laterality", "left and right exchanged everywhere", sides_swapped),
        ("laterality", "left everywhere", fill("laterality", "L")),
        ("view", "null", put("view", None)),
        ("view", "lower case 'mlo'", put("view", "mlo")),
        ("view", "CC instead of MLO in one row", put("view", "CC")),
        ("view", "ML in every row", fill("view", "ML")),
        ("manufacturer", "null", put("manufacturer", None)),
        ("manufacturer", "with a blank at its end", put("manufacturer", "Maker ")),
        ("model", "another device's", put("model", "Model 7")),
        ("model", "null", put("model", None)),
        ("software_version", "with a control character", put("software_version", "1.0\x00")),
        ("software_version", "spelled two ways", put("software_version", " 1.0")),
        ("scanner", "null", put("scanner", None)),
        ("scanner", "in capitals", put("scanner", "MAKER/MODEL 2")),
        ("site", "null", put("site", None)),
        ("site", "spelled two ways", put("site", "Site-1")),
        ("site", "another site for one view", put("site", "site-2")),
        ("acquired_on", "in the future", put("acquired_on", date(2190, 1, 1))),
        ("acquired_on", "1900, a default", put("acquired_on", date(1900, 1, 1))),
        ("acquired_on", "another date in one view", put("acquired_on", date(2024, 2, 20))),
        ("acquired_on", "null in one view", put("acquired_on", None)),
        ("acquired_on", "null in the whole exam", fill("acquired_on", None)),
        ("age_years", "400", put("age_years", 400)),
        ("age_years", "-1, somebody's unknown", put("age_years", -1)),
        ("age_years", "another age in one view", put("age_years", 77)),
        ("age_years", "the same for all", fill("age_years", 50)),
        ("age_years", "ten years older on the next visit", ages_turned),
        ("age_years", "null in one view", put("age_years", None)),
        ("density", "a number", put("density", "2")),
        ("density", "lower case 'b'", put("density", "b")),
        ("density", "another in one view", put("density", "A")),
        *((name, "2", put(name, 2)) for name in
          ("cancer", "abnormal", "biopsied", "invasive", "difficult")),
        *((name, "the opposite in one view", put(name, 1)) for name in
          ("cancer", "abnormal", "biopsied", "invasive", "difficult")),
        *((name, "null in one view", put(name, None)) for name in
          ("cancer", "abnormal", "birads", "biopsied", "invasive", "difficult", "implant",
           "density")),
        *((name, "moved down by one row", moved(name)) for name in
          ("cancer", "abnormal", "birads", "biopsied", "invasive", "outcome_known_at",
           "acquired_on", "age_years", "geometry", "findings", "sha256", "phash", "shard_row")),
        *((name, "0 and 1 exchanged everywhere", negated(name)) for name in
          ("cancer", "abnormal", "biopsied", "invasive")),
        ("birads", "9", put("birads", 9)),
        ("birads", "another in one view", put("birads", 5)),
        ("difficult", "1 on a cancer", put("difficult", 1, 1)),
        ("outcome_known_at", "in the future", put("outcome_known_at", LATE)),
        ("outcome_known_at", "before the image",
         put("outcome_known_at", datetime(2019, 1, 1, tzinfo=UTC))),
        ("source", "null", put("source", None)),
        ("source", "a reader that does not exist", put("source", "Rsna")),
        ("source", "another set for one view", put("source", "mini-mias")),
        ("published_split", "an unknown part", put("published_split", "TRAIN")),
        ("published_split", "two parts for one patient", put("published_split", "test")),
        ("sha256", "the digest of another row", copy("sha256", 40)),
        ("sha256", "cut to 32 digits", put("sha256", "ab" * 16)),
        ("sha256", "empty", put("sha256", "")),
        ("shard", "empty", put("shard", "")),
        ("shard", "a path", put("shard", "../shards/a")),
        ("shard_row", "the place of another row", copy("shard_row", 40)),
        ("shard_row", "-1", put("shard_row", -1)),
        ("rows", "null", put("rows", None)),
        ("rows", "16", put("rows", 16)),
        ("rows", "exchanged with columns", swap("rows", "columns")),
        ("columns", "null", put("columns", None)),
        ("columns", "30000", put("columns", 30000)),
        ("columns", "of another image", put("columns", 1400)),
        ("implant", "another in one view", put("implant", True)),
        ("spacing_mm", "70, in micrometres", put("spacing_mm", 70.0)),
        ("spacing_mm", "0.007, in centimetres", put("spacing_mm", 0.007)),
        ("spacing_mm", "0.7, of another image", put("spacing_mm", 0.7)),
        ("spacing_mm", "null", put("spacing_mm", None)),
        ("thickness_mm", "5.3, in centimetres", put("thickness_mm", 5.3)),
        ("compression_n", "0.9, in hundreds", put("compression_n", 0.9)),
        ("kvp", "28000, in volt", put("kvp", 28000.0)),
        ("exposure_mas", "80000, in uAs", put("exposure_mas", 80000.0)),
        ("quality", "null", put("quality", None)),
        ("quality", "an unknown code", put("quality", "SYNTHETIC|FOO")),
        ("quality", "IMPLANT where implant is false", put("quality", "IMPLANT")),
        ("geometry", "null", put("geometry", None)),
        ("geometry", "no JSON", put("geometry", "{")),
        ("geometry", "of an image of another size",
         put("geometry", _JSON + '"rows": 900, "columns": 1500}')),
        ("geometry", "the same for all",
         fill("geometry", _JSON + '"rows": 2000, "columns": 1500}')),
        ("findings", "null", put("findings", None)),
        ("findings", "no JSON", put("findings", "[{")),
        ("findings", "a box outside the image",
         put("findings", '[{"x_min": 5, "y_min": 5, "x_max": 9, "y_max": 9000}]')),
        ("findings", "a malignant box without cancer", copy("findings", 0)),
        ("phash", "null", put("phash", None)),
        ("phash", "of another form", put("phash", "abc")),
        ("phash", "that of another patient's image", copy("phash", 40)),
        ("phash", "the same for all", fill("phash", "0" * 64)),
        *((name, "null", put(name, None)) for name in FEATURE_COLUMNS),
        *((name, "the same for all", fill(name, FEATURES[name])) for name in FEATURE_COLUMNS),
        *((name, "out of range", put(name, -999.0)) for name in FEATURE_COLUMNS),
    )
)  # fmt: skip
UNCAUGHT = {
    ("acquired_on", "null in the whole exam"): "unknown is allowed: RSNA gives no dates",
    ("spacing_mm", "null"): "unknown is allowed: many files state no spacing",
    (
        "sha256",
        "moved down by one row",
    ): "the file is not kept; only reading it again tells",
    ("phash", "moved down by one row"): "not by this suite; `pixels` computes it again",
    ("shard_row", "moved down by one row"): "not by this suite; `pixels` compares the phash",
}
"""What no expectation can tell from the truth, and why."""
