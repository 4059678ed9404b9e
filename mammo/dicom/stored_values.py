"""What a codec gave to stored values, the same way for every codec (PS3.5 section 8).

Bits below and above the stored ones are dropped (old files keep overlays there)
and signed values are extended from Bits Stored. JPEG and JPEG-LS know no sign:
with a negative value, two's complement has all bits up to High Bit, so a frame
of fewer has none. JPEG 2000 has signs, and its own precision is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.codestream import Codestream
from mammo.dicom.header import PixelLayout


@dataclass(frozen=True, eq=False)
class DecodedPixels:
    """Stored values and what was noticed on the way to them.

    ``values`` is (rows, columns), at 1 / 2**``reduction`` of the resolution
    rounded up; uint8 or uint16 as Bits Allocated (0028,0100) is 8 or 16, int16
    where Pixel Representation (0028,0103) is 1. ``quality`` holds codes:
    ``LOSSY_COMPRESSED`` (by the codestream), ``PRECISION_MISMATCH`` (its
    precision or sign is not that of the header), ``BITS_ABOVE_STORED`` (bits
    above Bits Stored held something else than the sign, and were masked).
    """

    values: NDArray[Any]
    quality: tuple[str, ...] = ()
    reduction: int = 0


def to_stored(
    values: NDArray[Any],
    layout: PixelLayout,
    frame: Codestream | None = None,
    reduction: int = 0,
) -> DecodedPixels:
    """Return the stored values of what a codec gave, and the codes.

    ``frame`` is the codestream of compressed pixels, None of native ones and RLE.
    """
    precision = frame.precision if frame else layout.bits_allocated
    shift = low_bits(layout)
    if not shift and frame and (reduction or frame.lossy) and bool(frame.signed) == layout.signed:
        values = _clip(values, layout, precision)
    if frame and frame.signed:  # as if it were unsigned: the lowest bits of two's complement
        values = values.astype(np.int32, copy=False) & (2**precision - 1)
    unsigned = values.astype(f"u{layout.sample_bytes}", copy=False)
    if shift:
        unsigned = unsigned >> unsigned.dtype.type(shift)
    stored, above = _mask_or_extend(unsigned, layout, frame, precision - shift)
    codes = {
        "LOSSY_COMPRESSED": frame is not None and frame.lossy,
        "PRECISION_MISMATCH": frame is not None and _differs(frame, layout),
        "BITS_ABOVE_STORED": above,
    }
    quality = tuple(sorted(code for code, holds in codes.items() if holds))
    return DecodedPixels(stored, quality, reduction)


def low_bits(layout: PixelLayout) -> int:
    """Return how many unused bits of a cell lie below the stored ones (PS3.5 8.1.1)."""
    return layout.high_bit + 1 - layout.bits_stored


def _clip(values: NDArray[Any], layout: PixelLayout, precision: int) -> NDArray[Any]:
    """Keep an overshoot of the filters within Bits Stored: a mask would turn white black."""
    if layout.bits_stored >= precision:
        return values
    low = -(2 ** (layout.bits_stored - 1)) if layout.signed else 0
    return np.clip(values, low, low + 2**layout.bits_stored - 1)


def _differs(frame: Codestream, layout: PixelLayout) -> bool:
    """True if the codestream has other bits or, of JPEG 2000, another sign than the header."""
    other_sign = frame.signed is not None and frame.signed != layout.signed
    return frame.precision != layout.bits_stored or other_sign


def _mask_or_extend(
    values: NDArray[Any], layout: PixelLayout, frame: Codestream | None, precision: int
) -> tuple[NDArray[Any], bool]:
    """Return the stored values, and whether bits above Bits Stored were lost.

    ``values`` are unsigned with ``precision`` bits. A signed value ends at Bits
    Stored, of JPEG 2000 at the precision where that is lower.
    """
    signless = frame is not None and frame.signed is None
    bits = layout.bits_stored if signless else min(layout.bits_stored, precision)
    unsigned = values.dtype.type
    inside = unsigned(2**bits - 1)
    fits = bits == precision == layout.bits_allocated or bool(values.max() <= inside)
    if not layout.signed:
        return np.ascontiguousarray(values if fits else values & inside), not fits
    # the sign bit is shifted to the top, then back arithmetically, in one copy
    raised = values.astype(np.uint16)
    raised <<= np.uint16(16 - bits)
    stored = raised.view(np.int16)
    stored >>= np.int16(16 - bits)
    if fits:
        return stored, False
    # writers often repeat the sign in the bits above: nothing is lost then
    repeated = stored.view(np.uint16) & np.uint16(2**precision - 1)
    return stored, bool(((values > inside) & (values != repeated)).any())
