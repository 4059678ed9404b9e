"""One mammogram as a viewer needs it: its values at full depth, and how to show them.

Made in a process that may die (:mod:`mammo.killable`), from the file as it was sent.
Nothing of the header goes further but numbers and defined terms, so that nothing in it
names anybody; what is burned into the pixels stays there.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
from imagecodecs import gzip_decode, gzip_encode
from numpy.typing import NDArray

from mammo.dicom.image import StoredImage, VoiLut, Window
from mammo.dicom.read import ReadFile, decode_image, read_file
from mammo.dicom.tags import Tags
from mammo.errors import NoBreastFound
from mammo.preprocess import PreprocessConfig, fallback_window, locate_breast

GZIP_LEVEL = 1
COMPUTED = "COMPUTED"
"""Explanation of the window that is made from the breast's own values, where a file has none."""
SpacingKind = Literal["imager", "calibrated"]


@dataclass(frozen=True)
class ShownWindow:
    """A window to show an image by, of modality values; ``explanation`` is a known term or ''."""

    center: float
    width: float
    function: str = "LINEAR"
    explanation: str = ""

    def window(self) -> Window:
        """Return the window itself."""
        return Window(self.center, self.width, self.function)


@dataclass(frozen=True)
class ShownLut:
    """VOI LUT Sequence (0028,3010): the first value mapped, the output's bits, the table."""

    first: int
    bits: int
    values: tuple[int, ...]
    explanation: str = ""

    def lut(self) -> VoiLut:
        """Return the table as the readers have it."""
        return VoiLut(self.first, np.array(self.values, np.uint16), self.bits)


@dataclass(frozen=True, eq=False)
class Viewable:
    """One image: ``pixels_gz`` is gzip of little-endian uint16 (rows, columns).

    A modality value is ``pixel * slope + intercept``; nearly every mammogram has 1 and 0.
    Signed values are raised by ``2**(bits_stored - 1)`` to be unsigned, and ``intercept``
    takes that back. ``minimum`` and ``maximum`` are of the pixels outside of ``padding``,
    which is an inclusive range of pixels that show no tissue. Windows and LUT are of
    modality values. ``spacing_mm`` is (between rows, between columns), ``calibrated`` where
    it is of the body's plane and ``imager`` where it is of the detector's.
    """

    image_id: str
    laterality: str
    view: str
    rows: int
    columns: int
    bits_stored: int
    minimum: int
    maximum: int
    slope: float
    intercept: float
    monochrome1: bool
    padding: tuple[int, int] | None
    windows: tuple[ShownWindow, ...]
    lut: ShownLut | None
    spacing_mm: tuple[float, float] | None
    spacing_kind: SpacingKind | None
    pixels_gz: bytes = field(default=b"", repr=False)

    def facts(self) -> dict[str, Any]:
        """Return everything but the pixels, JSON-able."""
        told = asdict(self)
        del told["pixels_gz"]
        return told

    @classmethod
    def of_facts(cls, facts: dict[str, Any], pixels_gz: bytes = b"") -> Self:
        """Build from :meth:`facts`."""
        lut = facts["lut"]
        pairs = {
            name: None if facts[name] is None else tuple(facts[name])
            for name in ("padding", "spacing_mm")
        }
        return cls(
            **facts
            | pairs
            | {
                "windows": tuple(ShownWindow(**one) for one in facts["windows"]),
                "lut": None if lut is None else ShownLut(**lut | {"values": tuple(lut["values"])}),
                "pixels_gz": pixels_gz,
            }
        )

    def pixels(self) -> NDArray[np.uint16]:
        """Return the pixels as sent, (rows, columns) uint16."""
        raw = gzip_decode(self.pixels_gz)
        return np.frombuffer(raw, "<u2").reshape(self.rows, self.columns)

    def values(self) -> NDArray[np.float64]:
        """Return the values after the modality LUT, (rows, columns) float64."""
        return np.asarray(self.pixels() * self.slope + self.intercept, np.float64)


def make_viewable(data: bytes, key: bytes, max_bytes: int, niceness: int = 0) -> Viewable:
    """Read one DICOM file for a viewer, at full resolution.

    ``niceness`` above 0 lets every other process go first, for good.

    Raises
    ------
    ReadError
        See :func:`mammo.dicom.read.read_file` and :func:`mammo.dicom.read.decode_image`.
    """
    if niceness > 0:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    read = read_file(data, key=key, site="", max_bytes=max_bytes)
    image = decode_image(read)
    pixels, shift = _unsigned(image)
    low, high = _ends(pixels, image, shift)
    found = read.mammogram
    return Viewable(
        image_id=found.image_id,
        laterality=found.view.laterality.value,
        view=found.view.position.value,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        bits_stored=image.bits_stored,
        minimum=low,
        maximum=high,
        slope=image.slope,
        intercept=image.intercept - image.slope * shift,
        monochrome1=image.inverted,
        padding=_padding(image, shift),
        windows=_windows(read, image),
        lut=_lut(read, image),
        spacing_mm=_spacing(read),
        spacing_kind=_spacing_kind(read),
        pixels_gz=bytes(gzip_encode(pixels.tobytes(), GZIP_LEVEL)),
    )


def _unsigned(image: StoredImage) -> tuple[NDArray[np.uint16], int]:
    """Return stored values as little-endian uint16, and what was added to them."""
    shift = 2 ** (image.bits_stored - 1) if image.pixels.dtype.kind == "i" else 0
    raised = image.pixels.astype(np.int32) + shift if shift else image.pixels
    return raised.astype("<u2"), shift


def _padding(image: StoredImage, shift: int) -> tuple[int, int] | None:
    if image.padding is None:
        return None
    low, high = (int(end) + shift for end in image.padding)
    return low, high


def _ends(pixels: NDArray[np.uint16], image: StoredImage, shift: int) -> tuple[int, int]:
    """Return the least and the greatest pixel outside of the padding; of all, if all is that."""
    padding, shown = _padding(image, shift), pixels
    if padding is not None:
        shown = pixels[(pixels < padding[0]) | (pixels > padding[1])]
    shown = shown if shown.size else pixels
    return int(shown.min()), int(shown.max())


def _windows(read: ReadFile, image: StoredImage) -> tuple[ShownWindow, ...]:
    """Return the file's windows, else one from the breast's own values, else none."""
    shown = read.presentation
    if shown.windows:
        return tuple(
            ShownWindow(one.center, one.width, one.function, name)
            for one, name in zip(shown.windows, shown.window_names, strict=True)
        )
    config = PreprocessConfig()
    try:
        made = fallback_window(image, locate_breast(image, config), config)
    except NoBreastFound:
        return ()
    return () if made is None else (ShownWindow(made.center, made.width, made.function, COMPUTED),)


def _lut(read: ReadFile, image: StoredImage) -> ShownLut | None:
    lut = image.voi_lut
    if lut is None:
        return None
    return ShownLut(lut.first, lut.bits, tuple(lut.values.tolist()), read.presentation.voi_lut_name)


def _spacing(read: ReadFile) -> tuple[float, float] | None:
    """Return the distances of rows and of columns in mm; the file's own ratio of the two."""
    found = read.spacing
    if found.mm is None:
        return None
    pair = Tags(read.file.dataset, read.file.little_endian).in_frame(found.source)
    numbers = pair.numbers(found.source)
    down, across = (*numbers, None, None)[:2]
    ratio = across / down if down and across else 1.0
    return found.mm, found.mm * ratio


def _spacing_kind(read: ReadFile) -> SpacingKind | None:
    if read.spacing.mm is None:
        return None
    return "imager" if "SPACING_DETECTOR" in read.spacing.quality else "calibrated"
