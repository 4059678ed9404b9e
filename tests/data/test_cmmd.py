from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.listing import ReadOptions
from mammo.data.sources import cmmd
from mammo.data.sources.registry import list_items
from mammo.dicom.deidentify import pseudonym
from mammo.errors import SourceNotFound, TableInvalid
from mammo.geometry import PreprocessConfig
from mammo.settings import Settings

from .layouts_b import CMMD_HEADER, CMMD_ROWS, write_cmmd, write_cmmd_table

KEY = b"k" * 32
OPTIONS = ReadOptions(KEY, "site-1")
XLSX, CSV = "CMMD_clinicaldata_revision.xlsx", "CMMD_clinicaldata_revision.csv"


@pytest.fixture
def make_set(tmp_path: Path, make_dicom: Callable[..., Path]) -> Callable[..., Path]:
    """Return `write_cmmd` into a new folder."""

    def make(rows: Any = CMMD_ROWS, table: str = CSV, *, flat: bool = False) -> Path:
        return write_cmmd(tmp_path / "cmmd", make_dicom, rows, table, flat=flat)

    return make


def read_all(directory: Path) -> list[Any]:
    return [cmmd.read_cmmd(one, OPTIONS) for one in list_items("cmmd", directory).items]


@pytest.mark.parametrize(("table", "flat"), [(XLSX, False), (CSV, False), (CSV, True)])
def test_classification_is_of_the_breast_and_the_other_is_unlabelled(
    table: str, flat: bool, make_set: Callable[..., Path]
) -> None:
    if table == XLSX:
        pytest.importorskip("openpyxl")
    directory = make_set(table=table, flat=flat)
    listing = list_items("cmmd", directory)
    assert (listing.missing, listing.remarks, listing.unentered) == ((), (), ())
    names = {pseudonym(KEY, "patient", one): one for one in ("D1-0001", "D1-0002", "D2-0247")}
    told = {
        (names[one.mammogram.patient_id], str(one.mammogram.view)): (
            one.labels.cancer, one.labels.biopsied, one.labels.abnormal, one.mammogram.age_years
        )
        for one in read_all(directory)
    }  # fmt: skip
    assert told == {
        ("D1-0001", "R CC"): (False, True, True, 44),
        ("D1-0001", "R MLO"): (False, True, True, 44),
        ("D1-0002", "L CC"): (True, True, True, 40),
        ("D1-0002", "L MLO"): (True, True, True, 40),
        ("D1-0002", "R CC"): (None, None, None, 40),
        ("D1-0002", "R MLO"): (None, None, None, 40),
        ("D2-0247", "L CC"): (True, True, True, 90),  # 95 stands as 90 and above
        ("D2-0247", "R CC"): (False, True, True, 90),
    }


def test_patient_without_row_and_row_without_images(make_set: Callable[..., Path]) -> None:
    absent = ("D1-0009", "L", "50", "2", "mass", "Benign", "")
    listing = list_items("cmmd", make_set((*CMMD_ROWS[1:], absent)))
    assert listing.missing == (f"the images of line 5 of {CSV}",)
    (remark,) = listing.remarks
    assert remark.startswith(f"2 images are of patients without a row in {CSV}")
    assert "D1-" not in remark
    assert len(listing.items) == 8


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (("D1-0001", "l", "44", "2", "mass", "Benign", ""), "'LeftRight': it holds 'l'; allowed"),
        (("D1-0001", "R", "400", "2", "mass", "Benign", ""), "'Age': it holds '400'; allowed is"),
        (("D1-0001", "R", "44", "2", "mass", "Normal", ""), "allowed are Benign, Malignant"),
        (("Doe", "R", "44", "2", "mass", "Benign", ""), "'ID1': it holds another text"),
    ],
)
def test_bad_cell_is_named(row: tuple[str, ...], told: str, make_set: Callable[..., Path]) -> None:
    with pytest.raises(TableInvalid) as caught:
        list_items("cmmd", make_set((CMMD_ROWS[1], row)))
    assert f"line 3 of {CSV}, column {told}" in caught.value.message or told in caught.value.message
    assert "line 3" in caught.value.message and "Doe" not in caught.value.message


def test_renamed_column_double_breast_and_broken_workbook(make_set: Callable[..., Path]) -> None:
    directory = make_set()
    renamed = [name.replace("classification", "status") for name in CMMD_HEADER]
    write_cmmd_table(directory / CSV, CMMD_ROWS, renamed)
    with pytest.raises(TableInvalid, match=r"lacks the columns classification; it has .* status"):
        list_items("cmmd", directory)
    write_cmmd_table(directory / CSV, (*CMMD_ROWS, CMMD_ROWS[0]))
    with pytest.raises(TableInvalid, match=r"line 6 .* same breast as line 2"):
        list_items("cmmd", directory)
    (directory / CSV).unlink()
    with pytest.raises(SourceNotFound, match=XLSX):
        list_items("cmmd", directory)
    (directory / XLSX).write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(TableInvalid, match=r"not a readable Excel table"):
        list_items("cmmd", directory)


def test_same_patient_by_the_dicom_source(make_set: Callable[..., Path]) -> None:
    from mammo.data.sources import dicom_folder

    directory = make_set()
    here = {one.mammogram.image_id: one.mammogram.patient_id for one in read_all(directory)}
    for item in list_items("cmmd", directory).items:
        other = dicom_folder.read_dicom(item, OPTIONS).mammogram
        assert here[other.image_id] == other.patient_id


def test_ingest_end_to_end(
    make_set: Callable[..., Path], settings: Settings, config: PreprocessConfig
) -> None:
    pytest.importorskip("openpyxl")
    report = ingest("cmmd", make_set(table=XLSX), settings, config)
    assert (report.added, report.missing, report.quarantined) == (8, [], [])
    index = read_index(settings.index_path)
    assert index["patient_id"].nunique() == 3 and index["exam_id"].nunique() == 3
    assert index["cancer"].value_counts(dropna=False).to_dict() == {0: 3, 1: 3, pd.NA: 2}
    assert index["published_split"].isna().all()
    assert set(index["findings"]) == {"[]"} and set(index["site"]) == {"cmmd"}
    assert not index.astype(str).apply(lambda row: row.str.contains("D1-|D2-")).any(axis=None)
