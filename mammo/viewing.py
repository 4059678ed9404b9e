"""How a mammogram is shown on a grey display: the reference that viewers are compared with.

    render(image.values(), image.window, lut=None, inverted=image.monochrome1)

PS3.3 C.11.2.1.2: LINEAR (the default, with its half pixel), LINEAR_EXACT and
SIGMOID, or a VOI LUT (C.11.2.1.1); then MONOCHROME1 inverted, once. Values are those
after the modality LUT. `mammo.display` does the same as a table over stored values for
the model; here each step is written as the standard has it, for tests to hold against.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.image import VoiLut, Window

WHITE = 255


def render(
    values: NDArray[Any],
    window: Window | VoiLut,
    size: tuple[int, int] | None = None,
    *,
    inverted: bool = False,
    padding: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return grey levels, uint8, of modality ``values`` (rows, columns).

    ``size`` (rows, columns) asks for fewer or more pixels, the nearest value of each; None
    is 1:1. Where ``padding`` (rows, columns) is True the picture is black.
    """
    values = np.asarray(values, np.float64)
    shown = look_up(values, window) if isinstance(window, VoiLut) else apply_voi(values, window)
    if inverted:
        shown = 1.0 - shown
    if padding is not None:
        shown = np.where(padding, 0.0, shown)
    grey = np.asarray(np.floor(shown * WHITE + 0.5), np.uint8)
    return grey if size is None else nearest(grey, size)


def apply_voi(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Return what a window makes of modality values, 0 (black) to 1 (white), float64."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":  # C.11.2.1.3.1
        exponent = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), np.float64)
    if window.function == "LINEAR":  # C.11.2.1.2.1
        low, high = center - 0.5 - (width - 1.0) / 2.0, center - 0.5 + (width - 1.0) / 2.0
        slope = 1.0 / (width - 1.0) if width > 1 else 0.0
        between = (values - (center - 0.5)) * slope + 0.5
    else:  # C.11.2.1.3.2
        low, high = center - width / 2.0, center + width / 2.0
        between = (values - center) / width + 0.5
    return np.where(values <= low, 0.0, np.where(values > high, 1.0, between))


def look_up(values: NDArray[np.float64], lut: VoiLut) -> NDArray[np.float64]:
    """Return what a VOI LUT makes of modality values, 0 to 1, float64 (C.11.2.1.1)."""
    place = np.clip(np.rint(values) - lut.first, 0, lut.values.size - 1).astype(np.intp)
    return np.minimum(lut.values[place] / (2.0**lut.bits - 1), 1.0)


def nearest(grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture (rows, columns) in another size, each pixel the one under its middle."""
    places = [
        np.minimum(((np.arange(wanted) + 0.5) * had / wanted).astype(np.intp), had - 1)
        for wanted, had in zip(size, grey.shape, strict=True)
    ]
    return grey[np.ix_(*places)]
