"""How the file wants its stored values shown: rescale, padding, window, VOI LUT.

Order of the pipeline (PS3.3 C.11, PS3.4 N.2): Modality LUT or rescale, VOI LUT
or window, and inversion last, exactly once.

Inversion. MONOCHROME1 says that the lowest value is white after VOI (PS3.3
C.7.6.3.1.2); Presentation LUT Shape (2050,0020) INVERSE says the same once more:
the Digital X-Ray Image module demands IDENTITY with MONOCHROME2 and INVERSE with
MONOCHROME1. They are two names of one inversion and never cancel out. Where they
contradict each other, the one that asks for inversion is believed, with the code
POLARITY_CONFLICT: INVERSE is written on purpose, IDENTITY by default, and nobody
writes MONOCHROME1 unless white is low.

Windows. Several are alternatives, the first valid one is used. A VOI LUT goes
before a window (it is the vendor's own curve). A malformed element is left out
and gives a quality code; the image is then shown by what remains. An enhanced
object has all this in the functional groups of its frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.header import PixelLayout
from mammo.dicom.image import WINDOW_FUNCTIONS, VoiLut, Window
from mammo.dicom.luts import read_lut
from mammo.dicom.tags import Tags

WINDOW_NAMES = frozenset(
    (
        *("NORMAL", "HARDER", "SOFTER", "USER", "DEFAULT", "ALGO1", "ALGO2", "ALGO3"),
        *("BRIGHTER", "DARKER", "HIGH", "LOW", "STANDARD", "WINDOW1", "WINDOW2", "WINDOW3"),
    )
)
"""Window Center & Width Explanations (0028,1055) and LUT Explanations (0028,3003) that
vendors write; others are free text and stay unnamed."""
RESCALE_TYPES = frozenset(("", "US", "UNSPECIFIED", "NORMALIZED"))
"""Rescale Types (0028,1054) of no unit, as mammography has (PS3.3 C.8.11.3 allows US alone)."""


MAPPED_PADDING = 2**16 - 1
"""What padding is after a Modality LUT: no other value may be."""
POLARITY_CONFLICTS = frozenset((("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")))


@dataclass(frozen=True, eq=False)
class Presentation:
    """The elements that :class:`mammo.dicom.image.StoredImage` holds besides its pixels.

    ``modality_lut`` is Modality LUT Sequence (0028,3000), which stands in place
    of slope and intercept (PS3.3 C.11.1). ``windows`` are all valid windows, the
    first is ``window``; ``window_names`` are their explanations, empty for what
    is no known term, and ``voi_lut_name`` that of the VOI LUT. ``quality`` holds
    codes.
    """

    inverted: bool
    slope: float
    intercept: float
    window: Window | None
    voi_lut: VoiLut | None
    modality_lut: VoiLut | None
    padding: tuple[int, int] | None
    quality: tuple[str, ...]
    windows: tuple[Window, ...] = ()
    window_names: tuple[str, ...] = ()
    voi_lut_name: str = ""


def read_presentation(tags: Tags, layout: PixelLayout) -> Presentation:
    """Read what decides how the image is shown."""
    slope, intercept, rescale_bad = _read_rescale(tags.in_frame("RescaleSlope"))
    modality = read_lut(tags, "ModalityLUTSequence", signed=layout.signed, full_range=False)
    negative = _least_value(layout, slope, intercept) < 0 and modality.lut is None
    shown = tags.in_frame("VOILUTSequence")
    voi = read_lut(shown, "VOILUTSequence", signed=negative, full_range=True)
    windows, window_bad = _read_windows(tags.in_frame("WindowCenter"))
    shape = tags.code("PresentationLUTShape")
    codes = {
        "RESCALE_INVALID": rescale_bad or modality.invalid,
        "RESCALE_TYPE": tags.in_frame("RescaleType").code("RescaleType") not in RESCALE_TYPES,
        "WINDOW_INVALID": window_bad,
        "VOI_LUT_INVALID": voi.invalid,
        "LUT_BITS_CORRECTED": voi.bits_corrected or modality.bits_corrected,
        "POLARITY_CONFLICT": (layout.photometric, shape) in POLARITY_CONFLICTS,
    }
    return Presentation(
        inverted=layout.photometric == "MONOCHROME1" or shape == "INVERSE",
        slope=slope,
        intercept=intercept,
        window=windows[0][0] if windows else None,
        voi_lut=voi.lut,
        modality_lut=modality.lut,
        padding=_read_padding(tags, layout),
        quality=tuple(sorted(code for code, holds in codes.items() if holds)),
        windows=tuple(window for window, _ in windows),
        window_names=tuple(name for _, name in windows),
        voi_lut_name=voi.explanation if voi.explanation in WINDOW_NAMES else "",
    )


def apply_modality_lut(
    pixels: NDArray[Any], presentation: Presentation
) -> tuple[NDArray[np.uint16], int]:
    """Return the values after Modality LUT Sequence, uint16, and their bits.

    Padding, known by its stored values alone, becomes :data:`MAPPED_PADDING`; where
    there is any, the largest value of a table of 16 bits is lowered by 1.
    """
    lut = presentation.modality_lut
    assert lut is not None
    index = np.clip(pixels.astype(np.int32) - lut.first, 0, lut.values.size - 1)
    mapped = lut.values[index]
    if presentation.padding is not None:
        low, high = presentation.padding
        np.minimum(mapped, MAPPED_PADDING - 1, out=mapped)
        mapped[(pixels >= low) & (pixels <= high)] = MAPPED_PADDING
    return mapped, lut.bits


def _read_rescale(tags: Tags) -> tuple[float, float, bool]:
    """Return Rescale Slope (0028,1053) and Intercept (0028,1052), and whether they are bad."""
    slope, intercept = tags.number("RescaleSlope"), tags.number("RescaleIntercept")
    if slope is None and intercept is None:
        bad = bool(tags.text("RescaleSlope") or tags.text("RescaleIntercept"))
        return 1.0, 0.0, bad
    if slope is None or slope == 0:
        return 1.0, intercept or 0.0, True
    return slope, intercept or 0.0, False


def _least_value(layout: PixelLayout, slope: float, intercept: float) -> float:
    """Return the lowest value that can come out of the rescale."""
    low = -(2.0 ** (layout.bits_stored - 1)) if layout.signed else 0.0
    ends = (low, low + 2.0**layout.bits_stored - 1)
    return min(slope * end + intercept for end in ends)


def _read_windows(tags: Tags) -> tuple[list[tuple[Window, str]], bool]:
    """Return the valid windows with their names, and whether the first one stated is not."""
    centers, widths = tags.numbers("WindowCenter"), tags.numbers("WindowWidth")
    stated = any(value is not None for value in (*centers, *widths))
    function = tags.code("VOILUTFunction") or "LINEAR"
    if function not in WINDOW_FUNCTIONS:
        return [], stated
    names = [name.upper() for name in tags.texts("WindowCenterWidthExplanation")]
    found = []
    bad = stated
    for place, (center, width) in enumerate(zip(centers, widths, strict=False)):
        if center is None or width is None:
            continue
        try:
            window = Window(center, width, function)
        except ValueError:
            continue
        name = names[place] if place < len(names) else ""
        found.append((window, name if name in WINDOW_NAMES else ""))
        bad = bad and place > 0
    return found, bad


def _read_padding(tags: Tags, layout: PixelLayout) -> tuple[int, int] | None:
    """Return the range of Pixel Padding Value (0028,0120) and Range Limit (0028,0121).

    Bits above Bits Stored are masked and a sign is extended, as in the pixels.
    """
    value = tags.word("PixelPaddingValue")
    if value is None:
        return None
    limit = tags.word("PixelPaddingRangeLimit")
    if limit is not None and not layout.signed:  # masked, 4096 of 12 bits would mean all below
        limit = min(limit, 2**layout.bits_stored - 1)
    ends = sorted(_fit(end, layout) for end in (value, value if limit is None else limit))
    return ends[0], ends[1]


def _fit(word: int, layout: PixelLayout) -> int:
    """Return the stored value that a pixel with these bits has."""
    stored = word & (2**layout.bits_stored - 1)
    negative = layout.signed and stored >> (layout.bits_stored - 1)
    return stored - 2**layout.bits_stored if negative else stored
