from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.listing import ReadOptions
from mammo.data.sources import inbreast
from mammo.data.sources.inbreast_rois import read_outlines
from mammo.data.sources.registry import list_items
from mammo.dicom.deidentify import pseudonym
from mammo.errors import MaskInvalid, SourceNotFound, TableInvalid
from mammo.geometry import PreprocessConfig
from mammo.preprocess import prepare
from mammo.settings import Settings

from .layouts_b import INBREAST_HEADER, INBREAST_ROWS, write_inbreast, write_outlines

KEY = b"k" * 32
OPTIONS = ReadOptions(KEY, "site-1")
RIGHT_CC = "20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm"


@pytest.fixture
def release(tmp_path: Path, make_dicom: Callable[..., Path]) -> Path:
    return write_inbreast(tmp_path / "INbreast Release 1.0", make_dicom)


def by_number(directory: Path) -> dict[str, Any]:
    """Read every image; its number -> reading."""
    items = list_items("inbreast", directory).items
    return {one.path.name[:8]: inbreast.read_inbreast(one, OPTIONS) for one in items}


def rewrite(directory: Path, *rows: str, header: str = INBREAST_HEADER) -> None:
    (directory / "INbreast.csv").write_text("\n".join((header, *rows)) + "\n")


@pytest.mark.parametrize("images", ["AllDICOMs", "ALL-IMGS"])
def test_outlines_become_boxes_clipped_to_the_image(
    images: str, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    read = by_number(write_inbreast(tmp_path / "set", make_dicom, images=images))
    told = {
        number: [(one.kind, one.x_min, one.y_min, one.x_max, one.y_max)
                 for one in reading.labels.findings]
        for number, reading in read.items()
    }  # fmt: skip
    assert told == {
        "20586908": [("mass", 20, 40, 50, 80), ("calcification", 33, 60, 34, 61)],
        "20586934": [("spiculated-region", 0, 100, 13, 131)],
        "20586960": [],
        "50993616": [("unnamed", 70, 70, 71, 71)],  # the cluster lies outside
    }
    left_out = {n for n, one in read.items() if "FINDING_LEFT_OUT" in one.mammogram.quality}
    assert left_out == {"50993616"}


def test_labels_follow_the_category_and_cancer_is_unknown(release: Path) -> None:
    read = by_number(release)
    told = {n: (one.labels.birads, one.labels.abnormal, one.labels.density)
            for n, one in read.items()}  # fmt: skip
    assert told == {
        "20586908": (5, True, "B"),
        "20586934": (5, True, "B"),  # 4a itself: the other view of the breast is 5
        "20586960": (1, False, None),
        "50993616": (2, False, "D"),
    }
    assert {one.labels.cancer for one in read.values()} == {None}


def test_patient_is_of_the_name_and_exam_of_the_semester(release: Path) -> None:
    read = {number: one.mammogram for number, one in by_number(release).items()}
    patient = pseudonym(KEY, "patient", "inbreast-6c613a14b80a8591")
    assert [one.patient_id == patient for one in read.values()] == [True, True, True, False]
    assert len({one.exam_id for one in read.values()}) == 2
    views = {number: str(one.view) for number, one in read.items()}
    assert views == {
        "20586908": "R CC", "20586934": "R MLO", "20586960": "L CC", "50993616": "L MLO"
    }  # fmt: skip
    assert {one.scanner.key for one in read.values()} == {"Siemens/MammoNovation"}


@pytest.mark.parametrize(
    ("category", "birads", "abnormal"),
    [("1", 1, False), ("2", 2, False), ("3", 3, None), ("4b", 4, True), ("4c", 4, True),
     ("6", 6, True), ("0", 0, None), ("", None, None)],
)  # fmt: skip
def test_categories(
    category: str, birads: int | None, abnormal: bool | None, release: Path
) -> None:
    rewrite(release, f"removed;removed;R;CC;201001;20586908;2;{category}")
    item = next(one for one in list_items("inbreast", release).items if one.path.name == RIGHT_CC)
    assert (item.labels.birads, item.labels.abnormal) == (birads, abnormal)


def test_image_without_row_and_row_without_image(release: Path) -> None:
    rewrite(release, *INBREAST_ROWS[:3], "removed;removed;L;CC;201001;99999999;1;1")
    listing = list_items("inbreast", release)
    assert listing.remarks == ("image 50993616 has no row in INbreast.csv: it is unlabelled",)
    assert listing.missing == ("99999999_*.dcm (line 5 of INbreast.csv)",)
    assert len(listing.items) == 4
    last = by_number(release)["50993616"]
    assert (str(last.mammogram.view), last.labels.birads) == ("L MLO", None)


def test_side_of_table_and_file_name_that_differ_is_told(release: Path) -> None:
    rewrite(release, "removed;removed;L;CC;201001;20586908;2;5", *INBREAST_ROWS[1:])
    found = by_number(release)["20586908"].mammogram
    assert str(found.view) == "L CC" and "LATERALITY_CONFLICT" in found.quality
    assert "LATERALITY_CONFLICT" not in by_number(release)["20586934"].mammogram.quality


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("removed;removed;l;CC;201001;1;2;5", "line 2 of INbreast.csv, column 'Laterality'"),
        ("removed;removed;R;XX;201001;20586908;2;5", "column 'View': it holds 'XX'; allowed are"),
        ("removed;removed;R;CC;201001;20586908;5;5", "column 'ACR': it holds '5'"),
        ("removed;removed;R;CC;201001;20586908;2;9", "column 'Bi-Rads': it holds '9'"),
        ("removed;400;R;CC;201001;20586908;2;5", "column 'Patient age': it holds '400'"),
        ("removed;removed;R;CC;201001;abc;2;5", "column 'File Name': it holds 'abc'"),
    ],
)
def test_bad_cell_is_named(row: str, told: str, release: Path) -> None:
    rewrite(release, row)
    with pytest.raises(TableInvalid) as caught:
        list_items("inbreast", release)
    assert told in caught.value.message and "Correct the cell" in caught.value.message


def test_renamed_column_double_image_and_no_table(release: Path) -> None:
    rewrite(release, *INBREAST_ROWS, header=INBREAST_HEADER.replace("Bi-Rads", "Assessment"))
    with pytest.raises(TableInvalid, match=r"lacks the columns Bi-Rads; it has .* Assessment"):
        list_items("inbreast", release)
    rewrite(release, *INBREAST_ROWS, INBREAST_ROWS[0])
    with pytest.raises(TableInvalid, match=r"line 6 .* same image as line 2"):
        list_items("inbreast", release)
    (release / "INbreast.csv").unlink()
    with pytest.raises(SourceNotFound, match=r"INbreast.csv or INbreast.xls or"):
        list_items("inbreast", release)


def test_excel_twin_with_its_rows_of_sums(release: Path) -> None:
    pytest.importorskip("openpyxl")
    header = [*INBREAST_HEADER.split(";"), "Mass ", "Findings Notes (in Portuguese)"]
    rows = [[*row.split(";"), "X", "nota"] for row in INBREAST_ROWS]
    numbers = [[int(cell) if cell.isdigit() else cell for cell in row] for row in rows]
    sums = [[None] * 8 + [4, None], [None] * 8 + ["total", None]]
    pd.DataFrame(numbers + sums, columns=header).to_excel(release / "INbreast.xlsx", index=False)
    (release / "INbreast.csv").rename(release / "old.csv.txt")
    listing = list_items("inbreast", release)
    assert (len(listing.items), listing.missing, listing.remarks) == (4, (), ())
    assert listing.items[0].labels.birads == 5


@pytest.mark.parametrize(
    "content",
    [b"", b"<plist>not really", b"\x00\x01", b"<?xml version='1.0'?><plist><dict/></plist>",
     b"<!DOCTYPE plist [<!ENTITY a 'b'>]><plist><string>&a;</string></plist>"],
)  # fmt: skip
def test_unreadable_outlines_leave_the_image_without_findings(
    content: bytes, release: Path
) -> None:
    (release / "AllXML/20586908.xml").write_bytes(content)
    listing = list_items("inbreast", release)
    ((path, error),) = listing.unentered
    assert (path.name, error.code) == ("20586908.xml", "MASK_INVALID")
    reading = by_number(release)["20586908"]
    assert reading.labels.findings == () and "FINDING_LEFT_OUT" in reading.mammogram.quality


@pytest.mark.parametrize("point", ["(1.0)", "(a, b)", "(nan, 1)", "1e999, 2", "(1e999, 2)", ""])
def test_point_that_is_none_is_named_by_region(point: str, tmp_path: Path) -> None:
    path = write_outlines(tmp_path / "1.xml", [("Mass", ((1, 2), (3, 4))), ("Cluster", ((5, 6),))])
    path.write_text(path.read_text().replace("(5.000000, 6.000000)", point))
    with pytest.raises(MaskInvalid, match=r"region 2 of 1\.xml has a point that is none"):
        read_outlines(path)


def test_misnamed_file_is_told(release: Path) -> None:
    (release / "AllDICOMs" / RIGHT_CC).rename(release / "AllDICOMs/right.dcm")
    listing = list_items("inbreast", release)
    ((path, error),) = listing.unentered
    assert path.name == "right.dcm" and "give it its name back" in error.message
    assert listing.missing == ("20586908_*.dcm (line 2 of INbreast.csv)",)


def test_ingest_end_to_end(release: Path, settings: Settings, config: PreprocessConfig) -> None:
    report = ingest("inbreast", release, settings, config)
    assert (report.added, report.missing, report.quarantined) == (4, [], [])
    index = read_index(settings.index_path)
    assert index["patient_id"].nunique() == 2 and index["exam_id"].nunique() == 2
    assert index["cancer"].isna().all() and index["published_split"].isna().all()
    assert sorted(index["birads"]) == [1, 2, 5, 5]
    kinds = [one["kind"] for cell in index["findings"] for one in json.loads(cell)]
    assert sorted(kinds) == ["calcification", "mass", "spiculated-region", "unnamed"]
    assert not index.astype(str).apply(lambda row: row.str.contains("6c613a14")).any(axis=None)


def test_box_goes_through_crop_and_resize_and_back(release: Path) -> None:
    reading = by_number(release)["20586908"]
    geometry = prepare(reading.image, PreprocessConfig(height=64, width=32)).geometry
    for one in reading.labels.findings:
        for corner in ((one.x_min, one.y_min), (one.x_max, one.y_max)):
            assert geometry.to_original(*geometry.to_prepared(*corner)) == pytest.approx(corner)
