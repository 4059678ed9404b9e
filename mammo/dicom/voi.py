"""How the file wants its stored values shown: rescale, padding, window, VOI LUT.

A malformed element is left out and gives a quality code; the image is then
shown by what remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.header import PixelLayout
from mammo.dicom.image import WINDOW_FUNCTIONS, VoiLut, Window
from mammo.dicom.tags import Tags


@dataclass(frozen=True, eq=False)
class Presentation:
    """The elements that :class:`mammo.dicom.image.StoredImage` holds besides its pixels.

    ``modality_lut`` is Modality LUT Sequence (0028,3000), which stands in place
    of slope and intercept (PS3.3 C.11.1). ``quality`` holds codes.
    """

    inverted: bool
    slope: float
    intercept: float
    window: Window | None
    voi_lut: VoiLut | None
    modality_lut: VoiLut | None
    padding: tuple[int, int] | None
    quality: tuple[str, ...]


def read_presentation(tags: Tags, layout: PixelLayout) -> Presentation:
    """Read what decides how the image is shown."""
    slope, intercept, rescale_bad = _read_rescale(tags)
    window, window_bad = _read_window(tags)
    voi_lut, voi_bad = _read_lut(tags, "VOILUTSequence", layout.signed)
    modality_lut, modality_bad = _read_lut(tags, "ModalityLUTSequence", layout.signed)
    codes = {
        "RESCALE_INVALID": rescale_bad or modality_bad,
        "WINDOW_INVALID": window_bad,
        "VOI_LUT_INVALID": voi_bad,
    }
    return Presentation(
        inverted=layout.photometric == "MONOCHROME1"
        or tags.code("PresentationLUTShape") == "INVERSE",
        slope=slope,
        intercept=intercept,
        window=window,
        voi_lut=voi_lut,
        modality_lut=modality_lut,
        padding=_read_padding(tags, layout),
        quality=tuple(sorted(code for code, holds in codes.items() if holds)),
    )


def apply_modality_lut(
    pixels: NDArray[Any], presentation: Presentation
) -> tuple[NDArray[np.uint16], int]:
    """Return the values after Modality LUT Sequence, uint16, and their bits."""
    lut = presentation.modality_lut
    assert lut is not None
    index = np.clip(pixels.astype(np.int32) - lut.first, 0, lut.values.size - 1)
    return lut.values[index], lut.bits


def _read_rescale(tags: Tags) -> tuple[float, float, bool]:
    """Return Rescale Slope (0028,1053) and Intercept (0028,1052), and whether they are bad."""
    slope, intercept = tags.number("RescaleSlope"), tags.number("RescaleIntercept")
    if slope is None and intercept is None:
        bad = bool(tags.text("RescaleSlope") or tags.text("RescaleIntercept"))
        return 1.0, 0.0, bad
    if slope is None or slope == 0:
        return 1.0, intercept or 0.0, True
    return slope, intercept or 0.0, False


def _read_window(tags: Tags) -> tuple[Window | None, bool]:
    """Return the first valid window, and whether the first one stated is not."""
    centers, widths = tags.numbers("WindowCenter"), tags.numbers("WindowWidth")
    function = tags.code("VOILUTFunction") or "LINEAR"
    if function not in WINDOW_FUNCTIONS:
        return None, True
    for place, (center, width) in enumerate(zip(centers, widths, strict=False)):
        if center is None or width is None:
            continue
        try:
            return Window(center, width, function), place > 0
        except ValueError:
            continue
    return None, any(value is not None for value in (*centers, *widths))


def _read_lut(tags: Tags, keyword: str, signed: bool) -> tuple[VoiLut | None, bool]:
    """Return the first item of a LUT sequence, and whether it is unusable (PS3.3 C.11.2.1.1)."""
    item = next(tags.items(keyword), None)
    if item is None:
        return None, False
    descriptor = item.words("LUTDescriptor")
    if descriptor.size != 3:
        return None, True
    count, bits = int(descriptor[0]) or 2**16, int(descriptor[2])
    first = int(item.words("LUTDescriptor", signed=signed)[1])
    values = item.words("LUTData")
    if bits == 8 and values.size < count <= 2 * values.size:  # two entries to a word
        values = np.frombuffer(item.raw("LUTData"), np.uint8)[:count].astype(np.uint16)
    if values.size < count or not 8 <= bits <= 16:
        return None, True
    return VoiLut(first, values[:count].astype(np.uint16), bits), False


def _read_padding(tags: Tags, layout: PixelLayout) -> tuple[int, int] | None:
    """Return the range of Pixel Padding Value (0028,0120) and Range Limit (0028,0121)."""
    value = tags.word("PixelPaddingValue", signed=layout.signed)
    if value is None:
        return None
    limit = tags.word("PixelPaddingRangeLimit", signed=layout.signed)
    ends = sorted((value, value if limit is None else limit))
    return ends[0], ends[1]
