from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.listing import ReadOptions
from mammo.data.sources import cbis_ddsm, masks
from mammo.data.sources.registry import list_items
from mammo.dicom.deidentify import pseudonym
from mammo.errors import MaskInvalid, SourceNotFound, TableInvalid
from mammo.geometry import Geometry, PreprocessConfig
from mammo.preprocess import prepare
from mammo.settings import Settings

from .layouts_b import CBIS_TABLES, COLUMNS, MASS_HEADER, ROWS, Case, Roi, write_cbis, write_csv

KEY = b"k" * 32
OPTIONS = ReadOptions(KEY, "site-1")
MakeSet = Callable[..., Path]
CASES = (
    Case(rois=(Roi(box=(20, 40, 50, 80), pathology="BENIGN"),
               Roi(2, box=(5, 90, 9, 95), pathology="MALIGNANT", assessment="5"))),
    Case(view="MLO", style="described", rois=(Roi(swapped=True),)),
    Case(side="RIGHT", density="0", rois=(Roi(described=False, pathology="BENIGN_WITHOUT_CALLBACK",
                                              assessment="2"),)),
    Case("Calc-Training", side="RIGHT", view="MLO", rois=(Roi(assessment="0", described=False,
                                                              swapped=True),)),
    Case("Mass-Test", "P_00016", rois=(Roi(scale=2), Roi(2, extra=1))),
)  # fmt: skip


@pytest.fixture
def make_set(tmp_path: Path, make_dicom: Callable[..., Path]) -> MakeSet:
    """Return a maker of the set's layout: cases -> folder."""

    def make(*cases: Case, folder: str = "cbis") -> Path:
        return write_cbis(tmp_path / folder, cases, make_dicom)

    return make


def by_name(directory: Path) -> dict[str, Any]:
    """Read every image of a set; its case -> reading."""
    items = list_items("cbis-ddsm", directory).items
    return {dict(one.facts)["case"]: cbis_ddsm.read_cbis(one, OPTIONS) for one in items}


def boxes(reading: Any) -> list[tuple[float, float, float, float]]:
    return [(one.x_min, one.y_min, one.x_max, one.y_max) for one in reading.labels.findings]


def test_masks_become_boxes_wherever_they_lie(make_set: MakeSet) -> None:
    read = by_name(make_set(*CASES))
    assert {name: boxes(one) for name, one in read.items()} == {
        "Mass-Training_P_00001_LEFT_CC": [(20, 40, 50, 80), (5, 90, 9, 95)],
        "Mass-Training_P_00001_LEFT_MLO": [(20, 40, 50, 80)],
        "Mass-Training_P_00001_RIGHT_CC": [(20, 40, 50, 80)],
        "Calc-Training_P_00001_RIGHT_MLO": [(20, 40, 50, 80)],
        "Mass-Test_P_00016_LEFT_CC": [
            (20, 40, 50, 80),
            pytest.approx((20 * 120 / 121, 40 * 160 / 161, 50 * 120 / 121, 80 * 160 / 161)),
        ],
    }
    assert not any("FINDING_LEFT_OUT" in one.mammogram.quality for one in read.values())


def test_labels_are_of_the_breast_and_findings_of_the_region(make_set: MakeSet) -> None:
    read = by_name(make_set(*CASES))
    told = {
        name: (one.labels.cancer, one.labels.birads, one.labels.density, one.labels.published_split)
        for name, one in read.items()
    }
    assert told == {
        # the MLO shows only the benign mass, and the breast has cancer
        "Mass-Training_P_00001_LEFT_CC": (True, 5, "C", "training"),
        "Mass-Training_P_00001_LEFT_MLO": (True, 5, "C", "training"),
        # recalled (0) is of more concern than benign (2)
        "Mass-Training_P_00001_RIGHT_CC": (False, 0, None, "training"),
        "Calc-Training_P_00001_RIGHT_MLO": (False, 0, "C", "training"),
        "Mass-Test_P_00016_LEFT_CC": (False, 4, "C", "test"),
    }
    first = read["Mass-Training_P_00001_LEFT_CC"].labels.findings
    assert [(one.kind, one.malignant, one.birads) for one in first] == [
        ("mass", False, 4),
        ("mass", True, 5),
    ]
    assert read["Calc-Training_P_00001_RIGHT_MLO"].labels.findings[0].kind == "calcification"


@pytest.mark.parametrize(
    ("pathologies", "abnormal"),
    [
        (("BENIGN_WITHOUT_CALLBACK",), False),
        (("BENIGN_WITHOUT_CALLBACK", "BENIGN"), True),
        (("BENIGN_WITHOUT_CALLBACK", "MALIGNANT"), True),
    ],
)
def test_breast_that_was_not_called_back_is_not_abnormal(
    pathologies: tuple[str, ...], abnormal: bool, make_set: MakeSet
) -> None:
    rois = tuple(Roi(number, pathology=one) for number, one in enumerate(pathologies, 1))
    (item,) = list_items("cbis-ddsm", make_set(Case(rois=rois))).items
    assert (item.labels.abnormal, item.labels.cancer) == (abnormal, "MALIGNANT" in pathologies)


def test_two_columns_that_read_alike_are_refused(make_set: MakeSet) -> None:
    folder = make_set(Case())
    path = folder / CBIS_TABLES["Mass-Training"][0]
    path.write_text(path.read_text().replace("subtlety", "Breast Density", 1))
    with pytest.raises(TableInvalid, match="two columns that read as breastdensity"):
        list_items("cbis-ddsm", folder)


def test_patient_is_one_over_mass_calc_and_the_dicom_source(make_set: MakeSet) -> None:
    read = by_name(make_set(*CASES))
    patients = {one.mammogram.patient_id for one in read.values()}
    assert patients == {pseudonym(KEY, "patient", name) for name in ("P_00001", "P_00016")}
    exams = {one.mammogram.exam_id for one in read.values()}
    assert len(exams) == 2
    mlo = read["Calc-Training_P_00001_RIGHT_MLO"].mammogram
    assert (str(mlo.view), mlo.site, mlo.scanner.key) == (
        "R MLO",
        "cbis-ddsm",
        "DDSM/film-digitiser",
    )
    assert mlo.quality == ()


def test_patient_in_both_parts_is_told_and_in_neither(make_set: MakeSet) -> None:
    directory = make_set(
        Case("Mass-Training", "P_00005"), Case("Calc-Test", "P_00005", view="MLO"), CASES[-1]
    )
    listing = list_items("cbis-ddsm", directory)
    (remark,) = listing.remarks
    assert remark.startswith(
        "line 2 of mass_case_description_train_set.csv and line 2 of "
        "calc_case_description_test_set.csv are of one patient"
    )
    assert [one.labels.published_split for one in listing.items] == [None, "test", None]


def test_image_without_row_and_row_without_image(make_set: MakeSet) -> None:
    directory = make_set(
        CASES[0], replace(CASES[1], on_disk=False), replace(CASES[2], in_table=False)
    )
    listing = list_items("cbis-ddsm", directory)
    # the first image has two rows of two lines each: its table goes on at line 8
    assert listing.missing == (
        "Mass-Training_P_00001_LEFT_MLO/1-1.dcm (line 8 of mass_case_description_train_set.csv)",
    )
    (remark,) = listing.remarks
    assert remark == (
        "the image in Mass-Training_P_00001_RIGHT_CC has no row in the set's tables: "
        "it is unlabelled"
    )
    assert [one.labels.cancer for one in listing.items] == [True, None]


@pytest.mark.parametrize(
    ("roi", "told"),
    [
        (Roi(mask=False), "its files have 20 x 30 pixels"),
        (Roi(extra=60), "fits its image of 160 x 120 pixels, its files have 220 x 180, 20 x 30"),
        (Roi(values="empty"), None),
        (Roi(values="tissue"), None),
        (Roi(box=(0, 0, 120, 120)), None),
    ],
)
def test_mask_that_is_none_leaves_the_image_without_the_finding(
    roi: Roi, told: str | None, make_set: MakeSet
) -> None:
    directory = make_set(Case(rois=(roi, Roi(2, box=(1, 2, 3, 4)))))
    listing = list_items("cbis-ddsm", directory)
    refused = [(path.name, error.code, error.message) for path, error in listing.unentered]
    if told is None:  # only decoding shows it
        assert refused == []
    else:
        ((name, code, message),) = refused
        assert (name, code) == ("Mass-Training_P_00001_LEFT_CC_1", "MASK_INVALID")
        assert message.startswith("line 2 of mass_case_description_train_set.csv: no mask")
        assert told in message and "kept without this finding" in message
    (reading,) = by_name(directory).values()
    assert boxes(reading) == [(1, 2, 3, 4)]
    assert "FINDING_LEFT_OUT" in reading.mammogram.quality


@pytest.mark.parametrize(
    ("column", "cell", "told"),
    [
        ("left or right breast", "l", "it holds 'l'; allowed are LEFT, RIGHT"),
        ("image view", "ML", "it holds 'ML'; allowed are CC, MLO"),
        ("pathology", "CANCER", "allowed are MALIGNANT, BENIGN, BENIGN_WITHOUT_CALLBACK"),
        ("assessment", "7", "allowed are an empty cell, 0, 1"),
        ("patient_id", "Doe, Jane", "it holds another text; allowed is P_ and five digits"),
        ("abnormality id", "", "it holds ''; allowed is a number"),
    ],
)
def test_bad_cell_is_named_by_row_and_column(
    column: str, cell: str, told: str, make_set: MakeSet
) -> None:
    directory = make_set(CASES[1], CASES[2])
    path = directory / "mass_case_description_train_set.csv"
    frame = pd.read_csv(path, dtype=str)
    frame.loc[1, column] = cell
    frame.to_csv(path, index=False)
    with pytest.raises(TableInvalid) as caught:
        list_items("cbis-ddsm", directory)
    assert f"line 5 of {path.name}, column {column!r}" in caught.value.message
    assert told in caught.value.message


def test_renamed_column_and_double_row_are_named(make_set: MakeSet) -> None:
    directory = make_set(CASES[1])
    path = directory / "mass_case_description_train_set.csv"
    frame = pd.read_csv(path, dtype=str)
    pd.concat([frame, frame]).to_csv(path, index=False)
    with pytest.raises(TableInvalid, match=r"line 5 of .* same abnormality as line 2 of"):
        list_items("cbis-ddsm", directory)
    frame.rename(columns={"pathology": "truth"}).to_csv(path, index=False)
    with pytest.raises(TableInvalid, match=r"lacks the columns pathology; it has .* truth"):
        list_items("cbis-ddsm", directory)
    write_csv(path, MASS_HEADER, [])
    with pytest.raises(TableInvalid, match="has a header and no rows"):
        list_items("cbis-ddsm", directory)


def test_set_without_tables_says_which(make_set: MakeSet) -> None:
    directory = make_set(CASES[1])
    for name, _ in CBIS_TABLES.values():
        (directory / name).unlink(missing_ok=True)
    with pytest.raises(SourceNotFound, match=r"calc_case_description_test_set.csv is not in"):
        list_items("cbis-ddsm", directory)


def test_ingest_end_to_end(make_set: MakeSet, settings: Settings, config: PreprocessConfig) -> None:
    directory = make_set(*CASES, Case("Calc-Test", "P_00077", rois=(Roi(mask=False),)))
    report = ingest("cbis-ddsm", directory, settings, config)
    assert (report.added, report.missing) == (6, [])
    ((code, file),) = [(one.code, one.file) for one in report.quarantined]
    assert (code, file) == ("MASK_INVALID", "Calc-Test_P_00077_LEFT_CC_1")
    index = read_index(settings.index_path)
    assert index["patient_id"].nunique() == 3
    assert index.groupby("published_split").size().to_dict() == {"test": 2, "training": 4}
    assert sorted(len(json.loads(one)) for one in index["findings"]) == [0, 1, 1, 1, 2, 2]
    assert index.loc[index["findings"] == "[]", "quality"].tolist() == ["FINDING_LEFT_OUT"]
    assert not index.astype(str).apply(lambda row: row.str.contains("P_000")).any(axis=None)
    again = ingest("cbis-ddsm", directory, settings, config)
    assert (again.added, again.known, again.data_version) == (0, 6, report.data_version)


def test_box_goes_through_crop_and_resize_and_back(make_set: MakeSet) -> None:
    (reading,) = by_name(make_set(Case(rois=(Roi(box=(20, 40, 50, 80)),)))).values()
    geometry = prepare(reading.image, PreprocessConfig(height=64, width=32)).geometry
    assert Geometry.from_dict(geometry.to_dict()) == geometry
    one = reading.labels.findings[0]
    for corner in ((one.x_min, one.y_min), (one.x_max, one.y_max)):
        x, y = geometry.to_prepared(*corner)
        assert 0 <= x <= 32 and 0 <= y <= 64
        assert geometry.to_original(x, y) == pytest.approx(corner)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.zeros((ROWS, COLUMNS)), "have one value"),
        (np.eye(ROWS)[:, :80], "its image 160 x 120"),
        (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS), "more than two values"),
        (np.ones((ROWS, COLUMNS)) - np.eye(ROWS, COLUMNS), "covers 99% of the image"),
    ],
)
def test_what_is_no_mask_is_refused(mask: np.ndarray[Any, Any], told: str) -> None:
    with pytest.raises(MaskInvalid, match=told):
        masks.mask_box(mask, ROWS, COLUMNS)


def test_mask_is_looked_for_by_size_then_description() -> None:
    image = masks.FileHead(Path("full"), 1000, 800, "full mammogram images")
    heads = [
        masks.FileHead(Path("half"), 500, 400, "ROI mask images"),
        masks.FileHead(Path("cut-out"), 300, 800, "ROI mask images"),
        masks.FileHead(Path("same-undescribed"), 1000, 800, ""),
        masks.FileHead(Path("tiny"), 100, 80, "ROI mask images"),
        masks.FileHead(Path("near"), 1003, 799, "cropped images"),
        masks.FileHead(Path("same"), 1000, 800, "ROI mask images"),
        masks.FileHead(Path("empty"), 0, 0, "ROI mask images"),
    ]
    ranked = [head.path.name for head in masks.rank_masks(image, heads)]
    assert ranked == ["same", "same-undescribed", "half", "near"]
