from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammo.data.index import write_index
from mammo.data.leak_search import (
    ALIKE,
    EXAM,
    FILE,
    PATIENT,
    PIXELS,
    SHARED_PATIENTS,
    SHARED_PIXELS,
)
from mammo.data.leaks import count_table, find_leaks, leak_table, require_no_leak
from mammo.data.query import open_index
from mammo.data.sources.tabulate import tabulate
from mammo.data.split import split_patients
from mammo.errors import PatientLeak

MakeIndex = Callable[..., pd.DataFrame]


def hash_of(number: int) -> str:
    """256 bits that differ from each other number's in about half."""
    import hashlib

    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture
def index(make_index: MakeIndex) -> pd.DataFrame:
    """Twelve patients of two images each, all different."""
    return make_index(
        [
            {
                "patient_id": f"P-{n // 2:016x}",
                "exam_id": f"E-{n // 2:016x}",
                "phash": hash_of(n),
                "source": "rsna" if n < 16 else "vindr",
            }
            for n in range(24)
        ]
    )


@pytest.fixture
def parts(index: pd.DataFrame) -> pd.Series:
    """Patients 0 to 5 train, 6 to 11 test."""
    return pd.Series(["train"] * 12 + ["test"] * 12, index=index.index)


def near(text: str, bits: int) -> str:
    return f"{int(text, 16) ^ (2**bits - 1):064x}"


def plant(kind: str, index: pd.DataFrame, parts: pd.Series) -> None:
    """Row 2 (patient 1, train) and row 20 (patient 10, test, another set) come to share."""
    if kind == PATIENT:
        parts.iloc[3] = "test"
    elif kind == EXAM:
        index.loc[20, "exam_id"] = index.loc[2, "exam_id"]
    elif kind == FILE:
        index.loc[20, "sha256"] = index.loc[2, "sha256"]
    elif kind == PIXELS:
        index.loc[20, "phash"] = index.loc[2, "phash"]
    elif kind == ALIKE:
        index.loc[20, "phash"] = near(index.loc[2, "phash"], 9)


def test_clean_split_passes_and_says_what_was_compared(
    index: pd.DataFrame, parts: pd.Series
) -> None:
    report = require_no_leak(index, parts)
    assert report.passed
    assert report.rows == ()
    assert report.sentences() == (
        "Nothing stands in two parts: 12 patients with 24 images in 2 parts were compared by "
        "patient, exam, file, pixels and likeness.",
    )


def test_images_that_could_not_be_compared_are_counted(
    index: pd.DataFrame, parts: pd.Series
) -> None:
    index.loc[[0, 3, 5], "phash"] = None
    index.loc[7, "phash"] = "0" * 64  # without structure
    index.loc[[1, 2], "sha256"] = ""
    parts.iloc[:2] = None  # in no part: not counted
    report = find_leaks(index, parts)
    assert report.passed and report.lacking == {FILE: 1, PIXELS: 3}
    assert report.sentences()[1:] == (
        "1 of these images have no digest of their file: they were not compared by file.",
        "3 of these images have no perceptual hash: they were not compared by pixels and likeness.",
    )


@pytest.mark.parametrize(
    ("kind", "also", "rows", "sentence"),
    [
        (PATIENT, {EXAM}, (3, 4), "1 patient stands in more than one part (first: parts test and "
         "train, index rows 3 and 4): assign patients, not images."),
        (EXAM, set(), (3, 21, 4), "1 exam stands in more than one part"),
        (FILE, {SHARED_PIXELS}, (3, 21), "1 file stands in more than one part"),
        (PIXELS, {SHARED_PIXELS}, (3, 21), "1 image stands in more than one part under different"),
        (ALIKE, set(), (3, 21), "1 pair of near-identical images stands in two parts"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)  # fmt: skip
def test_each_planted_leak_is_found_and_named(
    kind: str,
    also: set[str],
    rows: tuple[int, ...],
    sentence: str,
    index: pd.DataFrame,
    parts: pd.Series,
) -> None:
    plant(kind, index, parts)
    if kind == FILE:  # the same file has the same pixels, unless nobody hashed them
        index["phash"] = None
    report = find_leaks(index, parts)
    assert {name for name, count in report.counts.items() if count} - also == {kind}
    leak = next(row for row in report.rows if row.kind == kind)
    assert leak.across
    assert leak.parts == ("test", "train")
    assert set(leak.index_rows) == set(rows)
    assert leak.bits == (9 if kind == ALIKE else None)
    assert any(told.startswith(sentence) for told in report.sentences())
    with pytest.raises(PatientLeak, match=f"^{sentence[:30]}"):
        require_no_leak(index, parts)


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"patient_id": "P-0000000000000001"}, SHARED_PATIENTS, "1 patient stands in two sets"),
        ({"phash": hash_of(2)}, SHARED_PIXELS, "1 image stands in two sets under different"),
    ],
    ids=["one pseudonym in two sets", "one image under two pseudonyms"],
)
def test_sets_that_share_patients_are_told_though_nothing_leaks(
    change: dict[str, Any], kind: str, sentence: str, index: pd.DataFrame, parts: pd.Series
) -> None:
    for name, value in change.items():
        index.loc[[20, 21] if name == "patient_id" else 20, name] = value
    parts[:] = "train"
    report = find_leaks(index, parts)
    assert report.passed
    assert report.told[kind] == 1
    assert [row.sources for row in report.rows] == [("rsna", "vindr")]
    assert any(told.startswith(sentence) for told in report.sentences())


@pytest.mark.parametrize(
    "change",
    [
        {"phash": "0" * 64},
        {"sha256": ""},
        {"phash": None},
    ],
    ids=["image without structure", "no digest", "no hash"],
)
def test_what_says_nothing_is_no_leak(
    change: dict[str, Any], index: pd.DataFrame, parts: pd.Series
) -> None:
    for name, value in change.items():
        index.loc[[2, 20], name] = value
    assert find_leaks(index, parts).passed


def test_images_of_one_patient_and_of_one_part_may_be_alike(
    index: pd.DataFrame, parts: pd.Series
) -> None:
    index.loc[3, "phash"] = near(index.loc[2, "phash"], 3)  # the same patient
    index.loc[6, "phash"] = near(index.loc[4, "phash"], 3)  # the same part
    index.loc[20, "phash"] = near(index.loc[8, "phash"], 40)  # not near enough
    assert find_leaks(index, parts).passed


def test_patients_in_no_part_leak_nothing(index: pd.DataFrame, parts: pd.Series) -> None:
    index.loc[20, "phash"] = index.loc[2, "phash"]
    parts[index["patient_id"] == index.loc[20, "patient_id"]] = None
    assert find_leaks(index, parts).passed
    folds = parts.map({"train": 0, "test": 1}).fillna(-1).astype(int)
    report = find_leaks(index, folds)
    assert (report.passed, report.parts, report.images) == (True, ("0", "1"), 22)


def test_a_table_alone_says_what_was_not_compared(index: pd.DataFrame, parts: pd.Series) -> None:
    report = find_leaks(index.assign(phash=None, sha256=""), parts)
    assert report.passed
    assert set(report.unchecked) == {FILE, PIXELS, ALIKE}
    assert report.sentences()[0].endswith("were compared by patient and exam.")
    counts = count_table(report).set_index("kind")
    assert counts.loc[FILE, "leaks"] is pd.NA
    assert counts["checked"].tolist() == [True, True, False, False, False]


def test_tables_have_a_row_per_leak_and_per_kind(index: pd.DataFrame, parts: pd.Series) -> None:
    plant(PIXELS, index, parts)
    report = find_leaks(index, parts)
    assert leak_table(report)["kind"].tolist() == [PIXELS, SHARED_PIXELS]
    assert count_table(report)["leaks"].sum() == 1
    assert report.to_dict()["passed"] is False


@pytest.mark.parametrize("kind", [EXAM, FILE, PIXELS, ALIKE])
def test_open_index_gives_the_same_report(
    kind: str, index: pd.DataFrame, parts: pd.Series, tmp_path: Path
) -> None:
    plant(kind, index, parts)
    write_index(index, tmp_path / "index.parquet")
    by_patient = parts.groupby(index["patient_id"]).first()
    with open_index(tmp_path / "index.parquet") as query:
        found = find_leaks(query, by_patient)
    ordered = index.sort_values(["source", "image_id", "sha256"], ignore_index=True)
    assert found.to_dict() == find_leaks(ordered, by_patient).to_dict()
    assert found.counts[kind] == 1


def test_assignment_that_names_a_patient_twice_is_refused(
    index: pd.DataFrame, parts: pd.Series
) -> None:
    twice = pd.Series(["train", "test"], index=[index["patient_id"].iloc[0]] * 2)
    with pytest.raises(PatientLeak, match="1 rows of the assignment name a patient for a second"):
        find_leaks(index, twice)


@pytest.mark.slow
def test_real_table_has_no_leak_and_a_planted_one_is_found(shared: Path) -> None:
    index = tabulate("rsna", shared / "rsna/train.csv", b"k" * 32)
    fold = split_patients(index, folds=5, seed=7, candidates=1)
    report = find_leaks(index, fold)
    assert report.passed
    assert (report.patients, report.images) == (11_913, 54_706)
    fold.iloc[1234] = (fold.iloc[1234] + 1) % 5
    broken = find_leaks(index, fold)
    assert (broken.counts[PATIENT], broken.counts[EXAM]) == (1, 1)
    assert 1235 in broken.rows[0].index_rows
