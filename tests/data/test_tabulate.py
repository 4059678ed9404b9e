"""Index rows from tables alone, and how pseudonyms of different sets meet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammo.data.index import INDEX_SCHEMA, index_from_rows, read_index
from mammo.data.ingest import ingest
from mammo.data.listing import ReadOptions
from mammo.data.sources import dicom_folder, mini_mias, rsna
from mammo.data.sources.registry import SOURCES, list_items
from mammo.data.sources.tabulate import index_from_columns, tabulate
from mammo.errors import MammoError, SourceInvalid, SourceNotFound
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

KEY = b"k" * 32
OPTIONS = ReadOptions(KEY, "site-1")
TABLED = sorted(name for name, source in SOURCES.items() if source.tabulate is not None)


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    from .conftest import SHARED

    if not SHARED.is_dir():
        pytest.skip(f"real data not found at {SHARED}; set MAMMO_TEST_DATA")
    return tabulate("rsna", SHARED / "rsna", KEY)


def test_sources_that_have_a_table() -> None:
    assert {"mini-mias", "rsna", "vindr"} <= set(TABLED)
    with pytest.raises(SourceInvalid, match=r"'dicom' has no table; those .* are .*rsna"):
        tabulate("dicom", Path(), KEY)


@pytest.mark.parametrize("name", TABLED)
def test_every_table_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(MammoError) as caught:
        tabulate(name, tmp_path, KEY)
    assert caught.value.code == SourceNotFound.code


# --- the real table of the RSNA challenge


@pytest.mark.slow
def test_real_rsna_table_counts(real: pd.DataFrame) -> None:
    assert list(real.columns) == INDEX_SCHEMA.names
    counts = {
        "images": len(real), "patients": real["patient_id"].nunique(),
        "exams": real["exam_id"].nunique(), "cancer": int(real["cancer"].sum()),
        "biopsied": int(real["biopsied"].sum()), "invasive": int(real["invasive"].sum()),
        "difficult": int(real["difficult"].sum()), "implant": int(real["implant"].sum()),
        "no age": int(real["age_years"].isna().sum()), "youngest": int(real["age_years"].min()),
        "oldest": int(real["age_years"].max()), "no density": int(real["density"].isna().sum()),
        "no birads": int(real["birads"].isna().sum()),
        "other views": int((real["quality"] == "NON_STANDARD_VIEW").sum()),
    }  # fmt: skip
    assert counts == {
        "images": 54_706, "patients": 11_913, "exams": 11_913, "cancer": 1_158, "biopsied": 2_969,
        "invasive": 818, "difficult": 7_705, "implant": 1_477, "no age": 37, "youngest": 26,
        "oldest": 89, "no density": 25_236, "no birads": 28_420, "other views": 38,
    }  # fmt: skip
    assert real["scanner"].value_counts().to_dict()["RSNA/machine-49"] == 23_529
    assert real["site"].value_counts().to_dict() == {"site-1": 29_519, "site-2": 25_187}
    assert real["birads"].value_counts().to_dict() == {1: 15_772, 0: 8_249, 2: 2_265}
    positive = real[real["cancer"] == 1]
    assert positive["patient_id"].nunique() == 486
    assert len(positive.drop_duplicates(["exam_id", "laterality"])) == 492


@pytest.mark.slow
def test_real_table_has_the_types_of_an_index(real: pd.DataFrame) -> None:
    some = real.sample(200, random_state=1)
    plain = some.astype(object).where(some.notna(), None)
    again = index_from_rows(plain.to_dict("records"))
    assert again.dtypes.equals(real.dtypes)
    assert again.equals(some.reset_index(drop=True))


@pytest.mark.slow
def test_real_table_is_made_quickly(shared: Path) -> None:
    tabulate("mini-mias", shared / "mini-mias", KEY)  # imports
    start = time.process_time()
    tabulate("rsna", shared / "rsna/train.csv", KEY)
    assert time.process_time() - start < 10  # 1.2 s on a machine that does nothing else


@pytest.mark.slow
def test_no_original_identifier_is_in_the_frame(real: pd.DataFrame, shared: Path) -> None:
    table = pd.read_csv(shared / "rsna/train.csv", dtype=str)
    texts = real.select_dtypes(object).drop(columns=["sha256"])
    values = {value for column in texts for value in texts[column].dropna().unique()}
    assert not values & (set(table["patient_id"]) | set(table["image_id"]))
    assert real["patient_id"].str.fullmatch(r"P-[0-9a-f]{16}").all()


@pytest.mark.slow
def test_ids_of_the_table_are_those_of_the_real_file(
    real: pd.DataFrame, challenge_file: Path
) -> None:
    reading = rsna.read_rsna(list_items("rsna", challenge_file).items[0], OPTIONS)
    found = reading.mammogram
    told = real[real["image_id"] == found.image_id].iloc[0]
    assert (told["exam_id"], told["patient_id"]) == (found.exam_id, found.patient_id)
    assert (told["laterality"], told["view"], told["scanner"], told["site"]) == (
        found.view.laterality, found.view.position, found.scanner.key, found.site,
    )  # fmt: skip
    assert (told["age_years"], told["implant"]) == (found.age_years, found.implant)
    # 2022-11-18 in its header is when the challenge's makers wrote the file
    assert (found.acquired_on, reading.labels.known_at) == (None, None)


# --- labels of a set of files


def test_rsna_labels_are_the_table_s(rsna_set: Path) -> None:
    table = pd.read_csv(rsna_set / "train.csv", dtype=str, keep_default_na=False)
    table.loc[0, ["cancer", "biopsy", "invasive", "BIRADS"]] = ["1", "1", "1", "0.0"]
    table.loc[1, ["BIRADS", "difficult_negative_case"]] = ["2", "True"]
    table.to_csv(rsna_set / "train.csv", index=False)
    first, second, third = (item.labels for item in list_items("rsna", rsna_set).items[:3])
    assert (first.birads, first.biopsied, first.invasive, first.difficult) == (0, True, True, False)
    assert (second.birads, second.difficult) == (2, True)
    assert third.birads is None
    frame = tabulate("rsna", rsna_set, KEY)
    assert frame["birads"].tolist()[:2] == [0, 2]
    assert (frame["biopsied"][0], frame["difficult"][1]) == (1, 1)


def test_rsna_test_table_has_no_labels(rsna_set: Path) -> None:
    (rsna_set / "train_images").rename(rsna_set / "test_images")
    table = pd.read_csv(rsna_set / "train.csv", dtype=str)
    known = ["site_id", "patient_id", "image_id", "laterality", "view", "age", "implant"]
    table = table[[*known, "machine_id"]].assign(prediction_id="1_L")
    table.to_csv(rsna_set / "test.csv", index=False)
    (rsna_set / "train.csv").unlink()
    listing = list_items("rsna", rsna_set)
    assert len(listing.items) == 12
    assert {(i.labels.cancer, i.labels.birads, i.labels.difficult) for i in listing.items} == {
        (None, None, None)
    }
    frame = tabulate("rsna", rsna_set / "test.csv", KEY)
    assert (len(frame), frame["cancer"].isna().all(), frame["density"].isna().all()) == (
        12, True, True,
    )  # fmt: skip


@pytest.mark.parametrize(("age", "years"), [("89.0", 89), ("89.4", 89), ("90", 90), ("104", 90)])
def test_great_ages_are_told_as_ninety(age: str, years: int, rsna_set: Path) -> None:
    table = pd.read_csv(rsna_set / "train.csv", dtype=str, keep_default_na=False)
    table["age"] = age
    table.to_csv(rsna_set / "train.csv", index=False)
    assert set(tabulate("rsna", rsna_set, KEY)["age_years"]) == {years}
    item = list_items("rsna", rsna_set).items[0]
    assert rsna.read_rsna(item, OPTIONS).mammogram.age_years == years


def test_mini_mias_table_gives_the_rows_that_reading_gives(
    mias_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    ingest("mini-mias", mias_set, settings, config, processes=0)
    read = read_index(settings.index_path).set_index("image_id")
    told = tabulate("mini-mias", mias_set, settings.pseudonym_key()).set_index("image_id")
    own = ["sha256", "shard", "shard_row", "geometry", "phash", "quality"]
    own += [name for name in read if name.startswith("f_")]
    pd.testing.assert_frame_equal(told.loc[read.index].drop(columns=own), read.drop(columns=own))


def test_real_mini_mias_table_counts(shared: Path) -> None:
    frame = tabulate("mini-mias", shared / "mini-mias", KEY)
    assert (len(frame), frame["patient_id"].nunique()) == (224, 112)
    assert (int(frame["cancer"].sum()), int(frame["abnormal"].sum())) == (36, 79)
    assert frame["density"].value_counts().to_dict() == {"D": 78, "F": 74, "G": 72}
    assert frame["findings"].str.count("x_min").sum() == 83


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("mdb009,X,NORM,,,,,,5,3,R", "tissue is 'X', allowed is F, G, D or nothing"),
        ("mdb009,G,LUMP,B,9,9,9,,5,3,R", "abnorm is 'LUMP', allowed is NORM, CALC, CIRC"),
        ("mdb009,G,CALC,X,9,9,9,,5,3,R", "severity is 'X', allowed is B, M or nothing"),
        ("mdb009,G,CALC,B,1025,9,9,,5,3,R", "x is '1025', allowed is 0 to 1024 or nothing"),
        ("mdb009,G,NORM,,,,,,5,3,r", "laterality is 'r', allowed is L, R or nothing"),
        ("../mdb009,G,NORM,,,,,,5,3,R", "image is a text of 9 characters, allowed is letters"),
        ("mdb001,G,CALC,X,9,9,9,,1,1,R", "severity is 'X'"),
    ],
)
def test_mini_mias_row_that_cannot_be_right(row: str, told: str, mias_set: Path) -> None:
    table = mias_set / "labels.csv"
    table.write_text(table.read_text() + row + "\n")
    listing = list_items("mini-mias", mias_set)
    ((_, error),) = listing.refused
    assert error.message.startswith("line 7 was left out: ") and told in error.message
    # an image of which one row is unreadable is not known by its other rows
    assert len(listing.items) == (3 if row.startswith("mdb001") else 4)
    assert listing.unlisted == ()


# --- pseudonyms of several sets under one key


def test_patient_of_two_sources_is_one_when_the_patient_id_is(
    tmp_path: Path, make_rsna: Callable[..., Path]
) -> None:
    directory = make_rsna(tmp_path / "set", 3)
    as_rsna = [rsna.read_rsna(item, OPTIONS) for item in list_items("rsna", directory).items]
    as_dicom = [
        dicom_folder.read_dicom(item, OPTIONS)
        for item in list_items("dicom", directory / "train_images").items
    ]
    ids = [
        {(one.mammogram.image_id, one.mammogram.exam_id, one.mammogram.patient_id) for one in found}
        for found in (as_rsna, as_dicom)
    ]
    assert ids[0] == ids[1]
    assert len({patient for _, _, patient in ids[0]}) == 3


def test_same_archive_by_two_sources_is_in_the_index_once(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    first = ingest("rsna", rsna_set, settings, config, processes=0)
    again = ingest("dicom", rsna_set / "train_images", settings, config, processes=0)
    assert (first.added, again.added, again.known, again.index_rows) == (12, 0, 12, 12)


def test_number_of_mini_mias_is_no_patient_of_another_set(
    rsna_set: Path, mias_set: Path, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    """Patients 1 and 2 are in both; those of mini-MIAS bear its name before they are hashed."""
    ours = set(tabulate("rsna", rsna_set, KEY)["patient_id"])
    theirs = set(tabulate("mini-mias", mias_set, KEY)["patient_id"])
    assert (len(ours), len(theirs), ours & theirs) == (6, 2, set())
    own = make_dicom(tmp_path / "own/a.dcm", 1, PatientID="1")
    item = list_items("dicom", own.parent).items[0]
    found = dicom_folder.read_dicom(item, OPTIONS).mammogram.patient_id
    assert (found in ours, found in theirs) == (True, False)
    reading = mini_mias.read_mini_mias(list_items("mini-mias", mias_set).items[0], OPTIONS)
    assert reading.mammogram.patient_id in theirs


def test_columns_that_the_index_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="birad are no columns of the index"):
        index_from_columns({"birad": [1]}, 1)
