"""Every edge case that the reader promises to handle: how the file is made, what is expected.

The parts are tables by topic; `tests/dicom/archive_page.py` prints them into
docs/reading_cases.md. An expected outcome is the view and the quality codes, or
the code of the refusal, and after a semicolon what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mammo.dicom.image import StoredImage
from mammo.dicom.read import read_mammogram
from mammo.errors import ReadError
from mammo.exam import Mammogram

Measure = Callable[[Mammogram, StoredImage], str]


@dataclass(frozen=True)
class Case:
    """An edge case: ``expected`` as :func:`see` tells it; ``measure`` looks at the result."""

    topic: str
    name: str
    expected: str
    make: Callable[[], bytes]
    measure: Measure | None = None


def see(case: Case) -> str:
    """Read the case's file and return the outcome."""
    try:
        mammogram, image = read_mammogram(case.make(), key=b"key", site="site")
    except ReadError as error:
        return error.code
    codes = sorted({*mammogram.quality, *image.quality})
    outcome = " ".join((str(mammogram.view), *codes))
    return f"{outcome}; {case.measure(mammogram, image)}" if case.measure else outcome


def exact(pixels: np.ndarray) -> Measure:
    """Measure whether the stored values are these, and of their sign."""

    def measure(_: Mammogram, image: StoredImage) -> str:
        same = image.pixels.dtype.kind == pixels.dtype.kind and np.array_equal(image.pixels, pixels)
        return "exact" if same else "other values"

    return measure


def near(pixels: np.ndarray, distance: int) -> Measure:
    """Measure whether no stored value is farther off than ``distance``."""

    def measure(_: Mammogram, image: StoredImage) -> str:
        off = int(np.abs(image.pixels.astype(int) - pixels.astype(int)).max())
        return f"off by at most {distance}" if off <= distance else f"off by {off}"

    return measure


def all_cases() -> tuple[Case, ...]:
    """Return the cases of every part, in the order of the page."""
    from . import archive_kinds, archive_pixels, archive_shown, archive_views

    parts = (archive_pixels, archive_shown, archive_views, archive_kinds)
    return tuple(case for part in parts for case in part.CASES)
