"""Planted bad files: what ingest and service must refuse, each with its code.

Each is made from a real phantom where that makes sense, so that only the named
fault is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import imagecodecs
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
    BreastTomosynthesisImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
)

from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, render_view
from mammo.dicom.phantom_file import ViewIdentity, make_dataset, make_uid, write_bytes
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.errors import (
    DicomTruncated,
    EmptyFile,
    ForProcessing,
    NoBreastFound,
    NotDicom,
    NotMammography,
    PixelsUnreadable,
    ReadError,
    Tomosynthesis,
    UnsupportedSyntax,
    ViewUnknown,
)

FIRST_BAD_PATIENT = 90_000


def write_bad_files(directory: Path, *, seed: int) -> dict[str, str]:
    """Write one file per fault into ``directory``; return file name -> expected code."""
    directory.mkdir(parents=True, exist_ok=True)
    expected = {}
    for number, (name, (error, make)) in enumerate(BAD_FILES.items()):
        (directory / name).write_bytes(make(seed, number))
        expected[name] = error.code
    return expected


def _phantom(seed: int, number: int, scanner: str = "aurora") -> FileDataset:
    """Return a sound phantom of its own patient, to be spoilt."""
    profile, view = SCANNER_PROFILES[scanner], SCREENING_VIEWS[number % 4]
    exam = draw_exam(seed, FIRST_BAD_PATIENT + number, cancer=False)
    stored, _ = render_view(exam, view, profile, np.random.default_rng([seed, number]))
    identity = ViewIdentity(
        f"bad/{seed}", FIRST_BAD_PATIENT + number, (FIRST_BAD_PATIENT + number) * 10,
        exam.patient.age, view, date(2024, 1, 8), profile.software_version,
    )  # fmt: skip
    return make_dataset(stored, identity, profile)


def _retyped(dataset: FileDataset, sop_class: UID, modality: str = "MG") -> FileDataset:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.Modality = modality
    return dataset


def _unplaced(dataset: FileDataset) -> FileDataset:
    for keyword in ("ImageLaterality", "ViewPosition", "ViewCodeSequence", "PatientOrientation"):
        delattr(dataset, keyword)
    return dataset


def _truncated(seed: int, number: int) -> bytes:
    whole = write_bytes(_phantom(seed, number))
    return whole[: len(whole) * 3 // 5]


def _ct(seed: int, number: int) -> bytes:
    dataset = _retyped(_phantom(seed, number), CTImageStorage, "CT")
    dataset.BodyPartExamined = "CHEST"
    del dataset.PresentationIntentType
    return write_bytes(_unplaced(dataset))


def _for_processing(seed: int, number: int) -> bytes:
    dataset = _retyped(_phantom(seed, number), DigitalMammographyXRayImageStorageForProcessing)
    dataset.PresentationIntentType = "FOR PROCESSING"
    return write_bytes(dataset)


def _tomosynthesis(seed: int, number: int) -> bytes:
    dataset = _retyped(_phantom(seed, number), BreastTomosynthesisImageStorage)
    slices = dataset.pixel_array[None, ::4, ::4].repeat(6, axis=0)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = slices.shape
    dataset.PixelData = slices.tobytes()
    return write_bytes(dataset)


def _picture(seed: int, number: int) -> bytes:
    pixels = _phantom(seed, number).pixel_array[::4, ::4] >> 4
    return bytes(imagecodecs.png_encode(pixels.astype(np.uint8)))


def _video(seed: int, number: int) -> bytes:
    dataset = _phantom(seed, number)
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    dataset.PixelData = encapsulate([b"\x00\x00\x01\xb3" + bytes(508)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return write_bytes(dataset)


def _constant(seed: int, number: int) -> bytes:
    dataset = _phantom(seed, number)
    dataset.PixelData = np.full((dataset.Rows, dataset.Columns), 100, "<u2").tobytes()
    return write_bytes(dataset)


def _spoilt_stream(seed: int, number: int) -> bytes:
    dataset = _phantom(seed, number, "borealis")
    noise = np.random.default_rng(seed).bytes(20_000)
    dataset.PixelData = encapsulate([noise])
    return write_bytes(dataset)


def _without_pixels(seed: int, number: int) -> bytes:
    dataset = _phantom(seed, number)
    del dataset.PixelData
    return write_bytes(dataset)


def _without_view(seed: int, number: int) -> bytes:
    dataset = _phantom(seed, number)
    _unplaced(dataset)
    dataset.SOPInstanceUID = make_uid("bad", seed, number)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return write_bytes(dataset)


Maker = Callable[[int, int], bytes]
BAD_FILES: dict[str, tuple[type[ReadError], Maker]] = {
    "truncated.dcm": (DicomTruncated, _truncated),
    "ct.dcm": (NotMammography, _ct),
    "for_processing.dcm": (ForProcessing, _for_processing),
    "tomosynthesis.dcm": (Tomosynthesis, _tomosynthesis),
    "picture.dcm": (NotDicom, _picture),
    "text.dcm": (NotDicom, lambda _seed, _number: b"patient;view;result\n1;L CC;normal\n" * 40),
    "empty.dcm": (EmptyFile, lambda _seed, _number: b""),
    "mpeg2_video.dcm": (UnsupportedSyntax, _video),
    "constant.dcm": (NoBreastFound, _constant),
    "spoilt_stream.dcm": (PixelsUnreadable, _spoilt_stream),
    "no_pixels.dcm": (PixelsUnreadable, _without_pixels),
    "no_view.dcm": (ViewUnknown, _without_view),
}
