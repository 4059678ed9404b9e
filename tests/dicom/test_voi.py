"""Window, VOI LUT and padding as written -> as used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import apply_modality_lut

from mammo.dicom.image import StoredImage, VoiLut, Window
from mammo.dicom.read import read_mammogram

from .builders import draw_pixels, make_file

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def read(**changes: Any) -> tuple[StoredImage, tuple[str, ...]]:
    mammogram, image = read_mammogram(make_file(**changes), key=b"key", site="site")
    return image, mammogram.quality


def lut(values: list[int], first: int = 0, bits: int = 12, vr: str = "US") -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(values), first, bits])
    content: Any = values if vr == "US" else np.array(values, "<u2").tobytes()
    item.add_new("LUTData", "US" if vr == "US" else "OW", content)
    item.add_new("ModalityLUTType", "LO", "US")
    return [item]


@pytest.mark.parametrize(
    ("changes", "window", "quality"),
    [
        ({}, None, ()),
        ({"WindowCenter": "2048", "WindowWidth": "4096"}, Window(2048, 4096), ()),
        (
            {
                "WindowCenter": ["2653", "2713"],
                "WindowWidth": ["900", "750"],
                "VOILUTFunction": "SIGMOID",
            },
            Window(2653, 900, "SIGMOID"),
            (),
        ),
        (
            {"WindowCenter": "1", "WindowWidth": "0.5", "VOILUTFunction": "LINEAR_EXACT"},
            Window(1, 0.5, "LINEAR_EXACT"),
            (),
        ),
        ({"WindowCenter": "1", "WindowWidth": "0.5"}, None, ("WINDOW_INVALID",)),
        (
            {"WindowCenter": ["1", "7"], "WindowWidth": ["-3", "9"]},
            Window(7, 9),
            ("WINDOW_INVALID",),
        ),
        ({"WindowCenter": "1"}, None, ("WINDOW_INVALID",)),
        (
            {"WindowCenter": "1", "WindowWidth": "9", "VOILUTFunction": "CUBIC"},
            None,
            ("WINDOW_INVALID",),
        ),
    ],
)
def test_window(changes: dict[str, Any], window: Window | None, quality: tuple[str, ...]) -> None:
    image, codes = read(**changes)
    assert (image.window, codes) == (window, quality)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_voi_lut_in_every_byte_order(syntax: str) -> None:
    image, quality = read(VOILUTSequence=lut([0, 10, 4095], first=7), syntax=syntax)
    assert isinstance(image.voi_lut, VoiLut)
    assert (image.voi_lut.first, image.voi_lut.bits, quality) == (7, 12, ())
    assert image.voi_lut.values.tolist() == [0, 10, 4095]


def test_a_signed_image_has_a_signed_first_value() -> None:
    pixels = draw_pixels(12, signed=True)
    masked = (pixels.view(np.uint16) & 0xFFF).view(np.int16)
    image, _ = read(pixels=masked, VOILUTSequence=lut([0, 1], first=65536 - 5))
    assert image.voi_lut is not None
    assert image.voi_lut.first == -5


def test_a_short_voi_lut_is_left_out() -> None:
    sequence = lut([0, 1, 2])
    sequence[0].LUTDescriptor = [900, 0, 12]
    image, quality = read(VOILUTSequence=sequence, WindowCenter="5", WindowWidth="9")
    assert (image.voi_lut, image.window, quality) == (None, Window(5, 9), ("VOI_LUT_INVALID",))


@pytest.mark.parametrize(
    ("changes", "slope", "intercept", "quality"),
    [
        ({}, 1.0, 0.0, ()),
        ({"RescaleSlope": "2", "RescaleIntercept": "-7"}, 2.0, -7.0, ()),
        ({"RescaleSlope": "0", "RescaleIntercept": "1"}, 1.0, 1.0, ("RESCALE_INVALID",)),
    ],
)
def test_rescale(
    changes: dict[str, Any], slope: float, intercept: float, quality: tuple[str, ...]
) -> None:
    image, codes = read(**changes)
    assert (image.slope, image.intercept, codes) == (slope, intercept, quality)


def test_modality_lut_sequence_agrees_with_pydicom() -> None:
    table = np.random.default_rng(0).integers(0, 4096, 4000).tolist()
    data = make_file(ModalityLUTSequence=lut(table, first=50, bits=16), PixelPaddingValue=0)
    _, image = read_mammogram(data, key=b"key", site="site")
    dataset = dcmread(DicomBytesIO(data))
    np.testing.assert_array_equal(image.pixels, apply_modality_lut(dataset.pixel_array, dataset))
    assert image.padding is None


@pytest.mark.parametrize(
    ("value", "limit", "padding"),
    [(0, None, (0, 0)), (0, 30, (0, 30)), (4095, 4000, (4000, 4095)), (None, 30, None)],
)
def test_padding(value: int | None, limit: int | None, padding: tuple[int, int] | None) -> None:
    changes = {"PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
    image, _ = read(**{name: number for name, number in changes.items() if number is not None})
    assert image.padding == padding


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_inverted(photometric: str, shape: str | None, inverted: bool) -> None:
    more = {"PresentationLUTShape": shape} if shape else {}
    assert read(PhotometricInterpretation=photometric, **more)[0].inverted is inverted
