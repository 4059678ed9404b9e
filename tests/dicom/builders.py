"""Small mammograms in memory, one per transfer syntax."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SHARED = Path(
    os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
NAME, BIRTH, STUDY, IMAGE = "Secret^Name", "19510203", "1.2.3.45678.1", "1.2.3.45678.2"
"""What must never leave the reader."""

Encoder = Callable[[np.ndarray, int], bytes]
ENCODERS: dict[str, Encoder] = {
    "1.2.840.10008.1.2.4.57": lambda a, bits: imagecodecs.ljpeg_encode(a, bitspersample=bits),
    "1.2.840.10008.1.2.4.70": lambda a, bits: imagecodecs.jpeg8_encode(
        a, lossless=True, bitspersample=bits
    ),
    "1.2.840.10008.1.2.4.80": lambda a, bits: imagecodecs.jpegls_encode(a),
    "1.2.840.10008.1.2.4.90": lambda a, bits: imagecodecs.jpeg2k_encode(
        a, level=0, codecformat="j2k", reversible=True, bitspersample=bits
    ),
    "1.2.840.10008.1.2.4.201": lambda a, bits: imagecodecs.htj2k_encode(a),
    "1.2.840.10008.1.2.5": lambda a, bits: RLELosslessEncoder.encode(
        a.tobytes(),
        rows=a.shape[0],
        columns=a.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=8 * a.itemsize,
        bits_stored=bits,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    ),
}


def make_dataset(pixels: np.ndarray, syntax: str, bits: int, **changes: Any) -> FileDataset:
    """Return a mammogram; ``changes`` set elements, None removes one."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = IMAGE
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, IMAGE
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.PatientName, dataset.PatientBirthDate, dataset.PatientID = NAME, BIRTH, "secret-id"
    dataset.StudyInstanceUID, dataset.StudyDate = STUDY, "20240102"
    dataset.ImageLaterality, dataset.ViewPosition = "L", "CC"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = 8 * pixels.itemsize, bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    if syntax in ENCODERS:
        dataset.PixelData = encapsulate(
            [ENCODERS[syntax](pixels.view(f"u{pixels.itemsize}"), bits)]
        )
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    else:
        swapped = syntax == ExplicitVRBigEndian and pixels.itemsize == 2
        dataset.PixelData = (pixels.byteswap() if swapped else pixels).tobytes()
        dataset["PixelData"].VR = "OW" if pixels.itemsize == 2 else "OB"
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def to_bytes(dataset: FileDataset) -> bytes:
    """Return the data set as a file."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def make_file(
    pixels: np.ndarray | None = None,
    syntax: str = ExplicitVRLittleEndian,
    bits: int = 12,
    media_class: str | None = None,
    **changes: Any,
) -> bytes:
    """Return a mammogram as a file."""
    pixels = draw_pixels(bits) if pixels is None else pixels
    dataset = make_dataset(pixels, syntax, bits, **changes)
    if media_class:
        dataset.file_meta.MediaStorageSOPClassUID = media_class
    return to_bytes(dataset)


def draw_pixels(bits: int, signed: bool = False, rows: int = 37, columns: int = 24) -> np.ndarray:
    """Return full-range noise with the extremes in it: rows and columns differ, rows are odd."""
    rng = np.random.default_rng(bits)
    low = -(2 ** (bits - 1)) if signed else 0
    dtype = (np.int16 if signed else np.uint16) if bits > 8 else np.uint8
    pixels = rng.integers(low, low + 2**bits, (rows, columns)).astype(dtype)
    pixels[0, :2] = low, low + 2**bits - 1
    return pixels


def code_item(value: str, scheme: str, **more: Any) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "meaning"
    for keyword, content in more.items():
        setattr(item, keyword, content)
    return item


def find_shared(*parts: str) -> Path:
    """Return a path in the shared data, skipping the test where it is not."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared data is not at {path}")
    return path
