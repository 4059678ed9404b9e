"""What fuzzing starts from: a small mammogram for every transfer syntax, and odd headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.sequence import Sequence

from tests.dicom.builders import code_item, make_dataset, make_file, to_bytes
from tests.dicom.hostile import HOSTILE

ROWS, COLUMNS = 40, 24
JPEG = "1.2.840.10008.1.2.4."
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99",
          "1.2.840.10008.1.2.2")  # fmt: skip
LARGEST_HOSTILE, REFUSED_AT_ONCE = 6000, ("EXECUTABLE_PREAMBLE", "TOO_LARGE")
"""Hostile files that owe their harm to their size would only slow the fuzzing."""


def _rle(pixels: np.ndarray) -> bytes:
    return bytes(
        RLELosslessEncoder.encode(
            pixels.tobytes(),
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=8 * pixels.itemsize,
            bits_stored=8 * pixels.itemsize,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
    )


def _jpeg2000(pixels: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **options))


Encoder = Callable[[np.ndarray], bytes]
STREAMS: dict[str, tuple[Encoder, int]] = {
    JPEG + "50": (lambda a: imagecodecs.jpeg8_encode(a, level=90), 8),
    JPEG + "51": (lambda a: imagecodecs.jpeg8_encode(a, level=90, bitspersample=12), 12),
    JPEG + "57": (lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12), 12),
    JPEG + "70": (lambda a: imagecodecs.jpeg8_encode(a, lossless=True, bitspersample=12), 12),
    JPEG + "80": (imagecodecs.jpegls_encode, 12),
    JPEG + "81": (lambda a: imagecodecs.jpegls_encode(a, level=2), 12),
    JPEG + "90": (lambda a: _jpeg2000(a, level=0, reversible=True, bitspersample=12), 12),
    JPEG + "91": (lambda a: _jpeg2000(a, level=40, reversible=False, bitspersample=12), 12),
    JPEG + "201": (imagecodecs.htj2k_encode, 12),
    JPEG + "202": (imagecodecs.htj2k_encode, 12),
    JPEG + "203": (lambda a: imagecodecs.htj2k_encode(a, reversible=False), 12),
    "1.2.840.10008.1.2.5": (_rle, 12),
}
"""Encapsulated transfer syntax -> its encoder and the bits stored."""


def draw_breast(bits: int) -> np.ndarray:
    """Return a breast on the left on black, with texture; (ROWS, COLUMNS)."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    inside = ((rows - ROWS / 2) / 17) ** 2 + (columns / 18) ** 2 < 1
    texture = np.random.default_rng(bits).uniform(0.3, 0.9, (ROWS, COLUMNS))
    dtype = np.uint8 if bits <= 8 else np.uint16
    return np.where(inside, texture * (2**bits - 1), 0).astype(dtype)


def make_encapsulated(syntax: str) -> bytes:
    """Return a mammogram in an encapsulated syntax."""
    encode, bits = STREAMS[syntax]
    pixels = draw_breast(bits)
    dataset = make_dataset(pixels, NATIVE[1], bits)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([encode(pixels)])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return to_bytes(dataset)


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _rich(syntax: str) -> bytes:
    """Return a mammogram with everything that the reader looks at."""
    table = np.linspace(0, 65535, 4096).astype("<u2").tobytes()
    view = code_item("R-10226", "SNM3")
    view.ViewModifierCodeSequence = Sequence([code_item("R-102D6", "SNM3")])
    return make_file(
        draw_breast(12),
        syntax,
        ViewCodeSequence=Sequence([view]),
        VOILUTSequence=Sequence(
            [_item(LUTDescriptor=[4096, 0, 16], LUTExplanation="normal", LUTData=table[:400])]
        ),
        WindowCenter=["2000", "1000"],
        WindowWidth=["4000", "500"],
        VOILUTFunction="SIGMOID",
        RescaleSlope="1.5",
        RescaleIntercept="-10",
        PixelPaddingValue=0,
        PresentationLUTShape="INVERSE",
        PhotometricInterpretation="MONOCHROME1",
        PatientOrientation=["P", "F"],
        Manufacturer="Maker",
        SoftwareVersions=["1", "2"],
        SpecificCharacterSet="ISO_IR 192",
        ImagerPixelSpacing=["0.07", "0.07"],
        PatientAge="050Y",
    )


@cache
def sound_seeds() -> tuple[tuple[str, bytes], ...]:
    """Return name and bytes of the seeds that can be read."""
    seeds = [(f"encapsulated {syntax}", make_encapsulated(syntax)) for syntax in STREAMS]
    seeds += [(f"native {syntax}", make_file(draw_breast(12), syntax)) for syntax in NATIVE]
    seeds += [(f"8 bits {syntax}", make_file(draw_breast(8), syntax, 8)) for syntax in NATIVE]
    seeds += [(f"rich {syntax}", _rich(syntax)) for syntax in NATIVE]
    return tuple(seeds)


@cache
def hostile_seeds() -> tuple[tuple[str, bytes], ...]:
    """Return name and bytes of the seeds that are broken already, a refusal away from sound."""
    made = ((name, make()) for name, code, make in HOSTILE if code not in REFUSED_AT_ONCE)
    return tuple((name, data) for name, data in made if 0 < len(data) <= LARGEST_HOSTILE)


def read_seeds() -> tuple[tuple[str, bytes], ...]:
    """Return every seed."""
    return sound_seeds() + hostile_seeds()
