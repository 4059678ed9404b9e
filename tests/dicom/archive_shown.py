"""Edge cases of display: inversion, windows, look-up tables, rescale, padding.

Greys are percent of white after everything, from the formulas of PS3.3 C.11.2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from mammo.dicom.image import StoredImage
from mammo.display import display_table
from mammo.exam import Mammogram

from .archive_cases import Case, Measure
from .builders import draw_pixels, make_file

INVERSION, WINDOWS, TABLES, PADDING = "inversion", "window", "look-up tables", "padding"
FULL: dict[str, Any] = {"WindowCenter": "2048", "WindowWidth": "4096"}
"""The whole range of 12 bits, linear."""
INVERSE, IDENTITY = {"PresentationLUTShape": "INVERSE"}, {"PresentationLUTShape": "IDENTITY"}
ONE = {"PhotometricInterpretation": "MONOCHROME1"}


def greys(*stored: int) -> Measure:
    """Measure the grey of these stored values."""

    def measure(_: Mammogram, image: StoredImage) -> str:
        table = display_table(image)
        shown = (100 * int(table[value % table.size]) / 65535 for value in stored)
        return " ".join(f"{grey:.1f}" for grey in shown)

    return measure


def lut(first: int, values: list[int], bits: int, vr: str = "US", **more: Any) -> list[Dataset]:
    """Return a look-up table sequence of one item."""
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(values), first, bits])
    item.add_new("LUTData", "OW", np.array(values, "<u2").tobytes())
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return [item]


def packed_lut() -> list[Dataset]:
    """Return a table of three 8-bit entries, two to a word."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 0, 8])
    item.add_new("LUTData", "OW", bytes((0, 51, 255, 0)))
    return [item]


def modality_lut() -> list[Dataset]:
    return lut(0, [4095, 0], 12, ModalityLUTType="US")


def short_lut() -> list[Dataset]:
    item = lut(0, [0, 1, 4095], 12)
    item[0].LUTDescriptor = [900, 0, 12]
    return item


def shown(topic: str, name: str, expected: str, stored: tuple[int, ...], **changes: Any) -> Case:
    """Return a case whose greys of ``stored`` are measured."""
    return Case(topic, name, expected, lambda: make_file(**changes), greys(*stored))


def signed_file(**changes: Any) -> bytes:
    pixels = draw_pixels(12, signed=True)
    return make_file((pixels.view(np.uint16) & 0xFFF).view(np.int16), **changes)


def three_values(**changes: Any) -> bytes:
    """Return an image whose first row begins with 0, 1 and 2."""
    pixels = draw_pixels(12)
    pixels[0, :3] = 0, 1, 2
    return make_file(pixels, **changes)


def mapped_greys(mammogram: Mammogram, image: StoredImage) -> str:
    """Measure the greys of those three, which a table may have mapped."""
    return greys(*image.pixels[0, :3].tolist())(mammogram, image)


ENDS, QUARTERS = (0, 4095), (0, 1024, 4095)
CASES: tuple[Case, ...] = (
    shown(INVERSION, "MONOCHROME2", "L CC; 0.0 100.0", ENDS, **FULL),
    shown(INVERSION, "MONOCHROME2 and IDENTITY", "L CC; 0.0 100.0", ENDS, **FULL, **IDENTITY),
    shown(INVERSION, "MONOCHROME1", "L CC; 100.0 0.0", ENDS, **FULL, **ONE),
    shown(INVERSION, "MONOCHROME1 and INVERSE: once", "L CC; 100.0 0.0", ENDS, **FULL, **ONE,
          **INVERSE),
    shown(INVERSION, "MONOCHROME2 and INVERSE", "L CC POLARITY_CONFLICT; 100.0 0.0", ENDS, **FULL,
          **INVERSE),
    shown(INVERSION, "MONOCHROME1 and IDENTITY", "L CC POLARITY_CONFLICT; 100.0 0.0", ENDS, **FULL,
          **ONE, **IDENTITY),
    shown(INVERSION, "after the window, not before", "L CC; 100.0 50.0 0.0", (0, 200, 400),
          WindowCenter="200.5", WindowWidth="401", **ONE),
    shown(INVERSION, "absent Photometric Interpretation", "L CC; 0.0 100.0", ENDS, **FULL,
          PhotometricInterpretation=None),
    # windows
    shown(WINDOWS, "none: the whole range", "L CC; 0.0 25.0 100.0", QUARTERS),
    shown(WINDOWS, "LINEAR by default", "L CC; 0.0 25.0 100.0", QUARTERS, **FULL),
    shown(WINDOWS, "LINEAR of width 1 is a step at center - 0.5", "L CC; 0.0 100.0", (99, 100),
          WindowCenter="100", WindowWidth="1"),
    shown(WINDOWS, "LINEAR_EXACT", "L CC; 0.0 25.0 50.0 100.0", (0, 1000, 2000, 4000),
          WindowCenter="2000", WindowWidth="4000", VOILUTFunction="LINEAR_EXACT"),
    shown(WINDOWS, "SIGMOID", "L CC; 11.9 50.0 88.1", (1000, 2000, 3000),
          WindowCenter="2000", WindowWidth="2000", VOILUTFunction="SIGMOID"),
    shown(WINDOWS, "several: the first", "L CC; 0.0 100.0", (1999, 3000),
          WindowCenter=["2500", "2048"], WindowWidth=["1001", "4096"],
          WindowCenterWidthExplanation=["NORMAL", "HARDER"]),
    shown(WINDOWS, "several, the first malformed", "L CC WINDOW_INVALID; 0.0 100.0", ENDS,
          WindowCenter=["5", "2048"], WindowWidth=["0", "4096"]),
    shown(WINDOWS, "width 0", "L CC WINDOW_INVALID; 0.0 100.0", ENDS,
          WindowCenter="5", WindowWidth="0"),
    shown(WINDOWS, "center without width", "L CC WINDOW_INVALID; 0.0 100.0", ENDS,
          WindowCenter="5"),
    shown(WINDOWS, "unknown VOI LUT Function", "L CC WINDOW_INVALID; 0.0 100.0", ENDS, **FULL,
          VOILUTFunction="CUBIC"),
    Case(WINDOWS, "signed values", "L CC; 0.0 50.0 100.0",
         lambda: signed_file(WindowCenter="0.5", WindowWidth="2001"), greys(-1000, 0, 1000)),
    # look-up tables
    shown(TABLES, "VOI LUT goes before the window", "L CC; 0.0 50.0 100.0", (7, 8, 9), **FULL,
          VOILUTSequence=lut(7, [0, 2048, 4095], 12)),
    Case(TABLES, "VOI LUT of signed values, first value as US", "L CC; 0.0 50.0 100.0",
         lambda: signed_file(VOILUTSequence=lut(65536 - 5, [0, 2048, 4095], 12)),
         greys(-5, -4, -3)),
    Case(TABLES, "VOI LUT of signed values, first value as SS", "L CC; 0.0 50.0 100.0",
         lambda: signed_file(VOILUTSequence=lut(-5, [0, 2048, 4095], 12, "SS")),
         greys(-5, -4, -3)),
    shown(TABLES, "VOI LUT of 8-bit entries, two to a word", "L CC; 0.0 20.0 100.0", (0, 1, 2),
          VOILUTSequence=packed_lut()),
    shown(TABLES, "VOI LUT states 16 bits for entries of 12", "L CC LUT_BITS_CORRECTED; 0.0 100.0",
          (0, 1), VOILUTSequence=lut(0, [0, 4095], 16)),
    shown(TABLES, "VOI LUT shorter than stated", "L CC VOI_LUT_INVALID; 0.0 100.0", ENDS, **FULL,
          VOILUTSequence=short_lut()),
    shown(TABLES, "VOI LUT and MONOCHROME1", "L CC; 100.0 0.0", (7, 8), **ONE,
          VOILUTSequence=lut(7, [0, 4095], 12)),
    shown(TABLES, "rescale before the window", "L CC; 0.0 50.0 100.0", (0, 100, 200),
          RescaleSlope="2", RescaleIntercept="-200", WindowCenter="0.5", WindowWidth="401"),
    shown(TABLES, "slope 0", "L CC RESCALE_INVALID; 0.0 100.0", ENDS, **FULL,
          RescaleSlope="0", RescaleIntercept="0"),
    shown(TABLES, "rescale to Hounsfield units", "L CC RESCALE_TYPE; 0.0 100.0", ENDS, **FULL,
          RescaleSlope="1", RescaleIntercept="0", RescaleType="HU"),
    Case(TABLES, "Modality LUT before the window", "L CC; values 0 and 4095",
         lambda: make_file(ModalityLUTSequence=modality_lut()),
         lambda _, image: f"values {image.pixels.min()} and {image.pixels.max()}"),
    # padding
    shown(PADDING, "value", "L CC; 0.0 24.4 0.0", (0, 1000, 4095), **FULL,
          PixelPaddingValue=4095),
    shown(PADDING, "value and range limit", "L CC; 0.0 0.0 0.8", (0, 30, 31), **FULL,
          PixelPaddingValue=0, PixelPaddingRangeLimit=30),
    shown(PADDING, "range limit below the value", "L CC; 97.7 0.0 0.0", (3999, 4000, 4095), **FULL,
          PixelPaddingValue=4095, PixelPaddingRangeLimit=4000),
    shown(PADDING, "value with bits above Bits Stored, masked like the pixels",
          "L CC; 0.0 24.4 0.0", (0, 1000, 4095), **FULL, PixelPaddingValue=65535),
    Case(PADDING, "black also after a Modality LUT that has its value elsewhere",
         "L CC; 0.0 100.0 0.0", lambda: three_values(ModalityLUTSequence=lut(0, [0, 0, 4095], 12),
         PixelPaddingValue=0, **ONE), mapped_greys),
    shown(PADDING, "black also where the image is inverted", "L CC; 0.0 0.0", ENDS, **FULL, **ONE,
          PixelPaddingValue=0),
)  # fmt: skip
