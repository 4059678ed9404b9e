"""Stored value -> display value: modality LUT, VOI, inversion and padding in one table.

PS3.3 C.11.1 and C.11.2; the table replaces per-pixel arithmetic, so that a
window costs one look-up over the crop, whatever its function.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.image import StoredImage, Window

FULL_SCALE = 65535


def display_table(image: StoredImage, fallback: Window | None = None) -> NDArray[np.uint16]:
    """Return the display value, 0 to 65535, of every stored value.

    The index is the stored value as an unsigned integer of its dtype, so the
    table has 256 or 65536 entries; of signed images the upper half are the
    negative values. ``fallback`` is used when the image has neither VOI LUT nor
    window. Order: modality LUT, VOI (PS3.3 C.11.2), inversion once, padding to 0.
    """
    unsigned = np.dtype(f"u{image.pixels.dtype.itemsize}")
    stored = np.arange(2 ** (8 * unsigned.itemsize)).astype(unsigned).view(image.pixels.dtype)
    shown = _apply_voi(stored * image.slope + image.intercept, image, fallback)
    if image.inverted:
        shown = 1.0 - shown
    if image.padding is not None:
        low, high = image.padding
        shown[(stored >= low) & (stored <= high)] = 0.0
    return np.asarray(np.rint(shown * FULL_SCALE), np.uint16)


def _apply_voi(
    values: NDArray[np.float64], image: StoredImage, fallback: Window | None
) -> NDArray[np.float64]:
    """Map modality values to [0, 1] by VOI LUT, else window, else the full range."""
    if image.voi_lut is not None:
        lut = image.voi_lut
        index = np.clip(np.rint(values) - lut.first, 0, lut.values.size - 1).astype(np.intp)
        return np.minimum(lut.values[index] / (2.0**lut.bits - 1), 1.0)
    return apply_window(values, image.window or fallback or _full_range(image))


def apply_window(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Map modality values to [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - center) / width, -700, 700)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))
    if window.function == "LINEAR":  # integer centres: C.11.2.1.2.1
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def _full_range(image: StoredImage) -> Window:
    first = -(2 ** (image.bits_stored - 1)) if image.pixels.dtype.kind == "i" else 0
    ends = (
        first * image.slope + image.intercept,
        ((first + 2**image.bits_stored - 1) * image.slope + image.intercept),
    )
    return Window(sum(ends) / 2, abs(ends[1] - ends[0]), "LINEAR_EXACT")
