"""What a decoded image is before preprocessing: stored values and how to show them.

:mod:`mammo.preprocess` offers these names too; they live here because the
DICOM readers may not import what stands above them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Window:
    """Window Center (0028,1050), Width (0028,1051), VOI LUT Function (0028,1056).

    PS3.3 C.11.2.1: the width of ``LINEAR`` is at least 1, of the others above
    0; anything else is a ``ValueError``.
    """

    center: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        if self.function not in WINDOW_FUNCTIONS:
            raise ValueError(f"VOI LUT Function is {self.function!r}, not {WINDOW_FUNCTIONS}")
        wide_enough = self.width >= 1 if self.function == "LINEAR" else self.width > 0
        if not (np.isfinite(self.center) and np.isfinite(self.width) and wide_enough):
            raise ValueError(f"{self.function} window has center {self.center}, width {self.width}")


@dataclass(frozen=True, eq=False)
class VoiLut:
    """One item of VOI LUT Sequence (0028,3010).

    ``first`` is the first mapped value, ``values`` the table (1-D, unsigned),
    ``bits`` the third value of LUT Descriptor (0028,3002), 8 to 16: the
    output's full scale is ``2**bits - 1``.
    """

    first: int
    values: NDArray[np.uint16]
    bits: int

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.size == 0 or not 8 <= self.bits <= 16:
            shape = self.values.shape
            raise ValueError(f"VOI LUT has shape {shape} and {self.bits} bits; 1-D and 8-16 needed")


@dataclass(frozen=True, eq=False)
class StoredImage:
    """Decoded stored values and what is needed to show them.

    ``pixels`` is (rows, columns), uint8, uint16 or int16; ``bits_stored`` is up
    to 16; ``inverted`` is True for MONOCHROME1 or Presentation LUT Shape
    INVERSE; ``slope`` and ``intercept`` are the modality LUT; ``padding`` is the
    inclusive range of Pixel Padding Value (0028,0120) and Range Limit
    (0028,0121) in ``pixels``. ``voi_lut`` goes before ``window`` when both
    are there. ``quality`` holds codes found when decoding. Where ``reduction``
    is not 0 the pixels are at 1 / 2**``reduction`` of the resolution, rounded
    up, and ``full_shape`` is the image's own (rows, columns).
    """

    pixels: NDArray[Any]
    bits_stored: int
    inverted: bool
    slope: float = 1.0
    intercept: float = 0.0
    window: Window | None = None
    voi_lut: VoiLut | None = None
    padding: tuple[int, int] | None = None
    quality: tuple[str, ...] = ()
    reduction: int = 0
    full_shape: tuple[int, int] | None = None

    @property
    def original_shape(self) -> tuple[int, int]:
        """Rows and columns before any reduction."""
        rows, columns = self.full_shape or self.pixels.shape
        return rows, columns

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype not in (np.uint8, np.uint16, np.int16):
            found = f"{self.pixels.dtype} {self.pixels.shape}"
            raise ValueError(f"stored pixels are {found}, not 2-D uint8, uint16 or int16")
        if not 1 <= self.bits_stored <= 8 * self.pixels.dtype.itemsize or self.slope == 0:
            raise ValueError(f"bits stored {self.bits_stored}, slope {self.slope} are not valid")
        reduced = tuple(-(-size >> self.reduction) for size in self.original_shape)
        if self.pixels.shape != reduced:
            raise ValueError(
                f"pixels {self.pixels.shape} are not those of {self.original_shape} "
                f"at 1/{2**self.reduction}"
            )
