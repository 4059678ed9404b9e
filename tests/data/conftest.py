"""Tiny data sets in each source's layout, made anew for each test session."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from mammo.data.index import INDEX_SCHEMA, index_from_rows
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

SHARED = Path(os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[2].parent / "shared/data"))
FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"


@pytest.fixture
def shared() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"real data not found at {SHARED}; set MAMMO_TEST_DATA")
    return SHARED


@pytest.fixture
def challenge_file(shared: Path, tmp_path: Path) -> Path:
    """The real file of the RSNA challenge, in a folder of the set's layout with its row."""
    lines = (shared / "rsna/train.csv").read_text().splitlines()
    row = next(line for line in lines if ",200779059," in line)
    target = tmp_path / "train_images/36/200779059.dcm"
    target.parent.mkdir(parents=True)
    target.write_bytes((shared / "dicom/rsna_200779059_jpeg2000.dcm").read_bytes())
    (tmp_path / "train.csv").write_text(f"{lines[0]}\n{row}\n")
    return tmp_path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", _env_file=None)


@pytest.fixture
def config() -> PreprocessConfig:
    return PreprocessConfig(height=64, width=32)


def breast(seed: int, rows: int = 160, columns: int = 120) -> np.ndarray[Any, Any]:
    """Return a 12-bit picture of a half disc with noise, dark around it."""
    y, x = np.mgrid[0:rows, 0:columns]
    inside = (y - rows / 2) ** 2 + x**2 < (0.42 * rows) ** 2
    noise = np.random.default_rng(seed).normal(2000, 250, (rows, columns))
    return np.where(inside, noise, 20).clip(0, 4095).astype(np.uint16)


def write_dicom(path: Path, seed: int, **tags: Any) -> Path:
    """Write a small mammogram; a tag given as None is left out."""
    uid = f"1.2.826.0.1.{seed + 1}"
    values: dict[str, Any] = {
        "SOPClassUID": FOR_PRESENTATION, "SOPInstanceUID": uid, "Modality": "MG",
        "PatientID": "patient-1", "PatientName": "Doe^Jane", "StudyInstanceUID": "1.2.3.4",
        "ImageLaterality": "L", "ViewPosition": "CC", "Manufacturer": "Maker",
        "ManufacturerModelName": "Model", "SoftwareVersions": "1.0",
        "AcquisitionDate": "20240102", "PatientAge": "061Y",
        "PresentationIntentType": "FOR PRESENTATION", "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 160, "Columns": 120, "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12,
        "HighBit": 11, "PixelRepresentation": 0, "PixelData": breast(seed).tobytes(),
    } | tags  # fmt: skip
    dataset = Dataset()
    for name, value in values.items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"]
    dataset.file_meta.MediaStorageSOPInstanceUID = values["SOPInstanceUID"] or generate_uid()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_rsna(directory: Path, patients: int = 6, *, bare: bool = False) -> Path:
    """Write the challenge's layout: two images a patient; odd patients have cancer."""
    lacking = dict.fromkeys(
        ("Modality", "ImageLaterality", "ViewPosition", "Manufacturer", "ManufacturerModelName",
         "SoftwareVersions", "AcquisitionDate", "PatientAge", "PresentationIntentType")
    ) if bare else {}  # fmt: skip
    rows = []
    for patient in range(1, patients + 1):
        for side, view in (("L", "CC"), ("R", "MLO")):
            image = 1000 + 10 * patient + len(rows) % 2
            tags = {"PatientID": str(patient), "StudyInstanceUID": f"1.2.3.{patient}"}
            tags |= {"ImageLaterality": side, "ViewPosition": view} | lacking
            write_dicom(directory / f"train_images/{patient}/{image}.dcm", image, **tags)
            rows.append(
                {"site_id": 1, "patient_id": patient, "image_id": image, "laterality": side,
                 "view": view, "age": 50.0 + patient, "cancer": patient % 2, "biopsy": 0,
                 "invasive": 0, "BIRADS": "", "implant": 0, "density": "B", "machine_id": 29,
                 "difficult_negative_case": False}
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(directory / "train.csv", index=False)
    return directory


MIAS_HEADER = "image,tissue,abnorm,severity,x,y_from_bottom,radius,note,num,patient,laterality"
MIAS_ROWS = (
    "mdb001,G,CIRC,B,535,425,197,,1,1,R",
    "mdb002,G,NORM,,,,,,2,1,L",
    "mdb003,D,MISC,B,233,994,40,,3,2,R",
    "mdb003,D,CALC,M,313,540,27,,3,2,R",
    "mdb004,F,CIRC,B,,,,,4,2,L",
)


def write_mini_mias(directory: Path, rows: Sequence[str] = MIAS_ROWS) -> Path:
    """Write the layout of mini-MIAS with 1024 x 1024 PNGs."""
    (directory / "images").mkdir(parents=True)
    (directory / "labels.csv").write_text("\n".join((MIAS_HEADER, *rows)) + "\n")
    for number, name in enumerate(sorted({row.split(",")[0] for row in rows})):
        pixels = (breast(number, 1024, 1024) >> 4).astype(np.uint8)
        Image.fromarray(pixels).save(directory / "images" / f"{name}.png", compress_level=1)
    return directory


@pytest.fixture
def make_dicom() -> Callable[..., Path]:
    """Return `write_dicom`: path, seed of the pixels, and tags to change or leave out."""
    return write_dicom


@pytest.fixture
def make_rsna() -> Callable[..., Path]:
    """Return `write_rsna`: folder, patients, bare headers or full ones."""
    return write_rsna


@pytest.fixture
def store_files() -> Callable[[Settings], dict[str, bytes]]:
    """Return a function: every file of an installation's store by its path in it."""

    def read(settings: Settings) -> dict[str, bytes]:
        root = settings.index_path.parent
        files = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    return read


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[[str], Settings]:
    """Return a maker of installations, all with one key of pseudonyms."""

    def make(name: str) -> Settings:
        (tmp_path / name).mkdir()
        (tmp_path / name / "pseudonym.key").write_bytes(b"k" * 32)
        return Settings(home=tmp_path / name, _env_file=None)

    return make


@pytest.fixture
def rsna_set(tmp_path: Path) -> Path:
    return write_rsna(tmp_path / "rsna")


@pytest.fixture
def mias_set(tmp_path: Path) -> Path:
    return write_mini_mias(tmp_path / "mias")


@pytest.fixture
def make_index() -> Callable[..., pd.DataFrame]:
    """Return a maker of index frames: one row per given dictionary."""

    def make(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
        return index_from_rows(_row(number) | row for number, row in enumerate(rows))

    return make


def _row(number: int) -> dict[str, Any]:
    blank: dict[str, Any] = {field.name: None for field in INDEX_SCHEMA}
    features = {name: float(number) for name in blank if name.startswith("f_")}
    return blank | features | {
        "image_id": f"I-{number:016x}", "exam_id": f"E-{number:016x}",
        "patient_id": f"P-{number:016x}", "laterality": "L", "view": "CC",
        "scanner": "Maker/Model", "site": "site-1", "source": "rsna", "sha256": f"{number:064x}",
        "shard": "s", "shard_row": number, "rows": 1000, "columns": 800, "geometry": "{}",
        "findings": "[]", "quality": "", "software_version": "1.0",
    }  # fmt: skip
