"""Window, VOI LUT and padding as written -> as used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import apply_modality_lut
from pydicom.tag import Tag

from mammo.dicom.file import parse_file
from mammo.dicom.header import read_header
from mammo.dicom.image import StoredImage, VoiLut, Window
from mammo.dicom.read import read_mammogram
from mammo.dicom.tags import Tags
from mammo.dicom.voi import read_presentation
from mammo.display import display_table

from .builders import code_item, draw_pixels, make_file

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def read(**changes: Any) -> tuple[StoredImage, tuple[str, ...]]:
    mammogram, image = read_mammogram(make_file(**changes), key=b"key", site="site")
    return image, mammogram.quality


def put_raw(dataset: Dataset, keyword: str, text: str) -> None:
    """Set an element as the file would have it, unchecked."""
    tag = Tag(keyword)
    dataset._dict[tag] = RawDataElement(tag, "DS", len(text), text.encode(), 0, False, True)


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


@pytest.mark.parametrize(
    ("centers", "widths", "explanations", "windows", "names"),
    [
        (
            ["2653", "2713", "2569"],
            ["900", "750", "1050"],
            ["NORMAL", "HARDER", "SOFTER"],
            (Window(2653, 900), Window(2713, 750), Window(2569, 1050)),
            ("NORMAL", "HARDER", "SOFTER"),
        ),
        (["1", "7"], ["-3", "9"], ["HARDER", "normal"], (Window(7, 9),), ("NORMAL",)),
        (["1", "7"], ["3", "9"], ["MARY^JONES"], (Window(1, 3), Window(7, 9)), ("", "")),
        (["1", "", "7"], ["3", "5", "9"], None, (Window(1, 3), Window(7, 9)), ("", "")),
        (["1", "7"], ["3"], None, (Window(1, 3),), ("",)),
        (["1e3"], ["2.5E2"], None, (Window(1000, 250),), ("",)),
        (["nan"], ["5"], None, (), ()),
    ],
)
def test_every_valid_window_is_listed(
    centers: list[str],
    widths: list[str],
    explanations: list[str] | None,
    windows: tuple[Window, ...],
    names: tuple[str, ...],
) -> None:
    data = make_file()
    file = parse_file(data, 2**20)
    for keyword, values in (
        ("WindowCenter", centers),
        ("WindowWidth", widths),
        ("WindowCenterWidthExplanation", explanations or []),
    ):
        put_raw(file.dataset, keyword, "\\".join(values))
    shown = read_presentation(Tags(file.dataset), read_header(file).layout)
    assert (shown.windows, shown.window_names) == (windows, names)
    assert shown.window == (windows[0] if windows else None)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_voi_lut_in_every_byte_order(syntax: str) -> None:
    image, quality = read(VOILUTSequence=lut([0, 10, 4095], first=7), syntax=syntax)
    assert isinstance(image.voi_lut, VoiLut)
    assert (image.voi_lut.first, image.voi_lut.bits, quality) == (7, 12, ())
    assert image.voi_lut.values.tolist() == [0, 10, 4095]


@pytest.mark.parametrize(
    ("signed", "changes", "vr", "first"),
    [
        (False, {}, "US", 65531),
        (False, {}, "SS", -5),
        (True, {}, "US", -5),
        (True, {}, "SS", -5),
        (False, {"RescaleSlope": "1", "RescaleIntercept": "-1024"}, "US", -5),
        (False, {"RescaleSlope": "-1", "RescaleIntercept": "0"}, "US", -5),
        (False, {"RescaleSlope": "-1", "RescaleIntercept": "4095"}, "US", 65531),
        (True, {"RescaleSlope": "1", "RescaleIntercept": "2048"}, "US", 65531),
        # what comes out of a Modality LUT is unsigned
        (True, {"ModalityLUTSequence": lut([0, 4095], bits=12)}, "US", 65531),
    ],
)
def test_the_first_value_is_signed_where_values_can_be_negative(
    signed: bool, changes: dict[str, Any], vr: str, first: int
) -> None:
    pixels = draw_pixels(12, signed=signed)
    if signed:
        pixels = (pixels.view(np.uint16) & 0xFFF).view(np.int16)
    sequence = lut([0, 4095])
    sequence[0].add_new("LUTDescriptor", vr, [2, 65531 if vr == "US" else -5, 12])
    image, _ = read(pixels=pixels, VOILUTSequence=sequence, **changes)
    assert image.voi_lut is not None
    assert image.voi_lut.first == first


@pytest.mark.parametrize(
    ("values", "stated", "bits", "corrected"),
    [
        ([0, 4095], 12, 12, False),
        ([0, 4095], 16, 12, True),  # GE: 16 said, 12 meant
        ([0, 1023], 16, 10, True),
        ([0, 65535], 12, 16, True),
        ([0, 2100], 12, 12, False),  # half of the range is used
        ([0, 1500], 12, 12, False),
        ([0, 1000], 12, 10, True),
        ([0, 255], 0, 8, True),
        ([0, 4095], 20, 12, True),
        ([0, 0], 12, 12, False),
    ],
)
def test_the_bits_of_a_voi_lut_are_those_of_its_entries(
    values: list[int], stated: int, bits: int, corrected: bool
) -> None:
    image, quality = read(VOILUTSequence=lut(values, bits=stated))
    assert image.voi_lut is not None
    assert (image.voi_lut.bits, "LUT_BITS_CORRECTED" in quality) == (bits, corrected)


def test_a_modality_lut_need_not_fill_its_bits() -> None:
    image, quality = read(ModalityLUTSequence=lut([0, 100], bits=12))
    assert (image.bits_stored, quality) == (12, ())


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_eight_bit_entries_lie_two_to_a_word(syntax: str) -> None:
    sequence = lut([], vr="US")
    words = np.array([[1, 2], [3, 250]], np.uint8).view("<u2").ravel()
    sequence[0].add_new("LUTDescriptor", "US", [4, 0, 8])
    data = words.astype(">u2" if syntax == BIG_ENDIAN else "<u2").tobytes()
    sequence[0].add_new("LUTData", "OW", data)
    image, quality = read(VOILUTSequence=sequence, syntax=syntax)
    assert image.voi_lut is not None
    assert (image.voi_lut.values.tolist(), image.voi_lut.bits) == ([1, 2, 3, 250], 8)
    assert quality == ()


def test_no_entries_mean_65536() -> None:
    sequence = lut([], vr="US")
    sequence[0].add_new("LUTDescriptor", "US", [0, 0, 16])
    sequence[0].add_new("LUTData", "OW", np.arange(65536, dtype="<u2").tobytes())
    image, quality = read(VOILUTSequence=sequence)
    assert image.voi_lut is not None
    assert (image.voi_lut.values.size, int(image.voi_lut.values[-1]), quality) == (65536, 65535, ())


def test_the_first_usable_voi_lut_is_taken() -> None:
    broken, sound = lut([0, 1, 2]), lut([0, 4095])
    broken[0].LUTDescriptor = [900, 0, 12]
    sound[0].LUTExplanation = "NORMAL"
    image, quality = read(VOILUTSequence=[*broken, *sound])
    assert image.voi_lut is not None
    assert (image.voi_lut.values.tolist(), quality) == ([0, 4095], ("VOI_LUT_INVALID",))


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
        ({"RescaleIntercept": "5"}, 1.0, 5.0, ("RESCALE_INVALID",)),
        ({"RescaleSlope": "-1", "RescaleIntercept": "4095"}, -1.0, 4095.0, ()),
        ({"RescaleType": "US"}, 1.0, 0.0, ()),
        ({"RescaleType": "LOG_E REL"}, 1.0, 0.0, ("RESCALE_TYPE",)),
        ({"RescaleType": "OD"}, 1.0, 0.0, ("RESCALE_TYPE",)),
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
    shown = apply_modality_lut(dataset.pixel_array, dataset)
    padded = dataset.pixel_array == 0
    assert padded.any() and not padded.all()
    np.testing.assert_array_equal(image.pixels[~padded], shown[~padded])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("largest", "bits"), [(4095, 12), (65535, 16)])
def test_padding_stays_black_after_a_modality_lut(
    photometric: str, largest: int, bits: int
) -> None:
    """The frame and a breast's value come out of the table alike; only the frame is black."""
    pixels = draw_pixels(12)
    pixels[1, :3] = 1, 2, 3
    table = [largest, largest, 0, 0] if photometric == "MONOCHROME2" else [0, 0, largest, largest]
    image, _ = read(
        pixels=pixels,
        ModalityLUTSequence=lut(table, bits=bits),
        PixelPaddingValue=0,
        PhotometricInterpretation=photometric,
    )
    greys = display_table(image)[image.pixels]
    assert (greys[pixels == 0] == 0).all()
    assert greys[1, 0] >= 65534
    assert greys[1, 1] == greys[1, 2] <= 1


@pytest.mark.parametrize(
    ("value", "limit", "padding"),
    [(0, None, (0, 0)), (0, 30, (0, 30)), (4095, 4000, (4000, 4095)), (None, 30, None)],
)
def test_padding(value: int | None, limit: int | None, padding: tuple[int, int] | None) -> None:
    changes = {"PixelPaddingValue": value, "PixelPaddingRangeLimit": limit}
    image, _ = read(**{name: number for name, number in changes.items() if number is not None})
    assert image.padding == padding


@pytest.mark.parametrize(
    ("signed", "value", "limit", "padding"),
    [
        # bits above Bits Stored are masked as those of the pixels are, and the sign extended
        (False, 65535, None, (4095, 4095)),
        (False, 0x8000, None, (0, 0)),
        (False, 4000, 65535, (4000, 4095)),
        (False, 65535, 4096, (4095, 4095)),
        (True, 0x0FFF, None, (-1, -1)),
        (True, 0x0800, 0x0810, (-2048, -2032)),
        (True, -2048, None, (-2048, -2048)),
        (True, -2048, -2000, (-2048, -2000)),
        (True, -2000, -2048, (-2048, -2000)),
        (True, 2047, 2000, (2000, 2047)),
        (False, 4095, 4095, (4095, 4095)),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_in_stored_values_of_either_sign(
    signed: bool, value: int, limit: int | None, padding: tuple[int, int], photometric: str
) -> None:
    pixels = draw_pixels(12, signed=signed)
    if signed:
        pixels = (pixels.view(np.uint16) & 0xFFF).view(np.int16)
    changes: dict[str, Any] = {"PixelPaddingValue": value, "PhotometricInterpretation": photometric}
    if limit is not None:
        changes["PixelPaddingRangeLimit"] = limit
    assert read(pixels=pixels, **changes)[0].padding == padding


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "quality"),
    [
        ("MONOCHROME1", None, True, ()),
        ("MONOCHROME1", "INVERSE", True, ()),
        ("MONOCHROME1", "IDENTITY", True, ("POLARITY_CONFLICT",)),
        ("MONOCHROME2", None, False, ()),
        ("MONOCHROME2", "IDENTITY", False, ()),
        ("MONOCHROME2", "INVERSE", True, ("POLARITY_CONFLICT",)),
        ("MONOCHROME2", "SECRET", False, ()),
    ],
)
def test_inverted_once(
    photometric: str, shape: str | None, inverted: bool, quality: tuple[str, ...]
) -> None:
    more = {"PresentationLUTShape": shape} if shape else {}
    image, codes = read(PhotometricInterpretation=photometric, **more)
    assert (image.inverted, codes) == (inverted, quality)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_signed_image_stays_signed_beside_sequences(syntax: str) -> None:
    """pydicom converts Pixel Representation when it looks into a sequence."""
    pixels = draw_pixels(12, signed=True)
    masked = (pixels.view(np.uint16) & 0xFFF).view(np.int16)
    view = [code_item("R-10242", "SRT")]
    image, _ = read(
        pixels=masked, syntax=syntax, ViewCodeSequence=view, VOILUTSequence=lut([0, 4095])
    )
    np.testing.assert_array_equal(image.pixels, pixels)


def test_an_enhanced_object_is_shown_by_its_frame() -> None:
    window, values, shared = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = "500", "900", "SIGMOID"
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "2", "-7", "US"
    shared.FrameVOILUTSequence, shared.PixelValueTransformationSequence = [window], [values]
    image, quality = read(SharedFunctionalGroupsSequence=[shared])
    assert (image.window, image.slope, image.intercept) == (Window(500, 900, "SIGMOID"), 2, -7)
    assert quality == ()
