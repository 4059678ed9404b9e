"""The only pixel-to-tensor code: training, service and monitor all call it.

Order: modality LUT -> breast region -> crop -> window or VOI LUT -> invert once
-> resize -> pad. Everything is deterministic and free of augmentation; the
configuration travels inside the release.

The window is one look-up table over all stored values (PS3.3 C.7.6.3.1.5,
C.11.2), so that modality LUT, VOI, inversion and padding cost one pass over the
crop (:mod:`mammo.display`). The breast region is found on a subsample
(:mod:`mammo.breast_region`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from mammo.breast_region import Region, find_region
from mammo.dicom.image import StoredImage, VoiLut, Window
from mammo.display import FULL_SCALE, display_table
from mammo.errors import NoBreastFound
from mammo.image_features import FEATURE_NAMES, measure_features

__all__ = [
    "FEATURE_NAMES",
    "Geometry",
    "Prepared",
    "PreprocessConfig",
    "StoredImage",
    "VoiLut",
    "Window",
    "prepare",
    "to_tensor",
]
LOOK_UP_ROWS = 64
"""Rows per look-up: the wide indices NumPy makes of them stay in the cache."""
SATURATED_FRACTION = 0.25
LOW_CONTRAST_RANGE = 0.05


@dataclass(frozen=True)
class PreprocessConfig:
    """How a stored image becomes a prepared one; saved inside the release.

    ``margin`` widens the breast's box by that fraction of its longer side.
    ``region_samples`` is about the number of samples along the longer side on
    which the breast is looked for. ``percentile_low`` and ``percentile_high``
    of the breast are the window of images that bring none.
    """

    height: int = 512
    width: int = 256
    margin: float = 0.02
    region_samples: int = 416
    percentile_low: float = 0.5
    percentile_high: float = 99.5

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.region_samples) < 16 or not 0 <= self.margin < 1:
            raise ValueError(f"sizes are at least 16 and margin is in [0, 1): {self}")
        if not 0 <= self.percentile_low < self.percentile_high <= 100:
            raise ValueError(f"percentiles are ordered and in [0, 100]: {self}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from :meth:`to_dict`; unknown keys are a ``ValueError``."""
        allowed = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - allowed):
            raise ValueError(f"unknown preprocess keys {unknown}; allowed are {sorted(allowed)}")
        return cls(**values)


@dataclass(frozen=True)
class Geometry:
    """Where the prepared pixels come from.

    The crop is ``x0 <= x < x1``, ``y0 <= y < y1`` in pixels of the original;
    ``scale`` is prepared pixels per original pixel; ``pad_x`` and ``pad_y`` are
    the place of the crop's top left corner in the prepared image. ``rows`` and
    ``columns`` are the size of the original.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    scale: float
    pad_x: int
    pad_y: int
    rows: int
    columns: int

    def to_prepared(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of an original point in the prepared image."""
        return (x - self.x0) * self.scale + self.pad_x, (y - self.y0) * self.scale + self.pad_y

    def to_original(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a prepared point in the original image."""
        return (x - self.pad_x) / self.scale + self.x0, (y - self.pad_y) / self.scale + self.y0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from :meth:`to_dict`."""
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A mammogram as the model sees it.

    ``pixels`` is (height, width) uint16, 0 to 65535, dark background;
    ``features`` has :data:`FEATURE_NAMES`; ``quality`` holds codes:
    ``WHOLE_IMAGE`` (no region stood out, nothing was cropped), ``SATURATED``
    (over a quarter of the breast is at either end of the window),
    ``LOW_CONTRAST``.
    """

    pixels: NDArray[np.uint16]
    geometry: Geometry
    features: dict[str, float]
    quality: tuple[str, ...]


def prepare(image: StoredImage, config: PreprocessConfig) -> Prepared:
    """Prepare one stored image.

    Raises
    ------
    NoBreastFound
        The image is constant or empty.
    """
    step = max(1, round(max(image.pixels.shape) / config.region_samples))
    sample = _brightness(image, step)
    region = find_region(sample)
    if region is None:
        rows, columns = image.pixels.shape
        raise NoBreastFound(f"all {rows} x {columns} pixels have the same value: no breast in it")
    geometry = _place(region, step, image.pixels.shape, config)
    table = display_table(image, _percentile_window(sample[region.mask], image, config))
    cropped = image.pixels[geometry.y0 : geometry.y1, geometry.x0 : geometry.x1]
    pixels = _paste(_look_up(table, cropped), geometry, config)
    mask = _prepared_mask(region, step, geometry, config)
    quality = _quality(pixels[mask], region.whole)
    return Prepared(pixels, geometry, measure_features(pixels, mask), quality)


def to_tensor(pixels: NDArray[np.uint16], config: PreprocessConfig) -> NDArray[np.float32]:
    """Return prepared pixels as the model's input, in [0, 1].

    (height, width) gives (1, height, width), (N, height, width) gives
    (N, 1, height, width); float32, C-contiguous; the bits of an image do not
    depend on its batch.
    """
    if pixels.dtype != np.uint16 or pixels.shape[-2:] != (config.height, config.width):
        expected = f"uint16 (..., {config.height}, {config.width})"
        raise ValueError(f"prepared pixels are {pixels.dtype} {pixels.shape}, not {expected}")
    scaled = np.ascontiguousarray(pixels).astype(np.float32) / np.float32(FULL_SCALE)
    return scaled[..., None, :, :]


def _brightness(image: StoredImage, step: int) -> NDArray[np.float32]:
    """Return every ``step``-th modality value, high where the film would be bright."""
    stored = image.pixels[::step, ::step]
    sample = stored.astype(np.float32) * np.float32(image.slope) + np.float32(image.intercept)
    if image.inverted:
        sample = -sample
    if image.padding is not None:
        padded = (stored >= image.padding[0]) & (stored <= image.padding[1])
        if padded.any() and not padded.all():
            sample[padded] = sample[~padded].min()
    return sample


def _place(region: Region, step: int, shape: tuple[int, ...], config: PreprocessConfig) -> Geometry:
    """Return the crop around the region and where it goes: padded away from the chest wall."""
    rows, columns = shape
    left, top, right, bottom = (edge * step for edge in region.box)
    margin = round(config.margin * max(right - left, bottom - top))
    x0, y0 = max(left - margin, 0), max(top - margin, 0)
    x1, y1 = min(right + margin, columns), min(bottom + margin, rows)
    if region.whole:
        x0, y0, x1, y1 = 0, 0, columns, rows
    scale = min(config.height / (y1 - y0), config.width / (x1 - x0))
    free_x = config.width - max(1, round((x1 - x0) * scale))
    free_y = config.height - max(1, round((y1 - y0) * scale))
    pad_x = 0 if region.chest_left else free_x
    return Geometry(x0, y0, x1, y1, scale, pad_x, free_y // 2, rows, columns)


def _percentile_window(
    breast: NDArray[np.float32], image: StoredImage, config: PreprocessConfig
) -> Window | None:
    """Return the window from the breast's own values, for images that bring none."""
    if image.window is not None or image.voi_lut is not None:
        return None
    values = -breast if image.inverted else breast
    low, high = np.percentile(values, (config.percentile_low, config.percentile_high))
    if not high > low:
        return None
    return Window(float(low + high) / 2, float(high - low), "LINEAR_EXACT")


def _look_up(table: NDArray[np.uint16], pixels: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the display values of the stored ``pixels``."""
    unsigned = pixels.view(f"u{pixels.dtype.itemsize}")
    shown = np.empty(pixels.shape, np.uint16)
    for row in range(0, pixels.shape[0], LOOK_UP_ROWS):
        rows = slice(row, row + LOOK_UP_ROWS)
        # the table covers the dtype: "clip" only spares NumPy its buffered bounds check
        np.take(table, unsigned[rows], out=shown[rows], mode="clip")
    return shown


def _content(geometry: Geometry) -> tuple[slice, slice]:
    """Return rows and columns of the prepared image that hold the crop."""
    height = max(1, round((geometry.y1 - geometry.y0) * geometry.scale))
    width = max(1, round((geometry.x1 - geometry.x0) * geometry.scale))
    return (
        slice(geometry.pad_y, geometry.pad_y + height),
        slice(geometry.pad_x, geometry.pad_x + width),
    )


def _paste(
    shown: NDArray[np.uint16], geometry: Geometry, config: PreprocessConfig
) -> NDArray[np.uint16]:
    """Resize the crop and set it on black."""
    rows, columns = _content(geometry)
    size = columns.stop - columns.start, rows.stop - rows.start
    # the area method is antialiased when it shrinks and blocky when it enlarges
    method = cv2.INTER_AREA if geometry.scale < 1 else cv2.INTER_LINEAR
    canvas = np.zeros((config.height, config.width), np.uint16)
    canvas[rows, columns] = cv2.resize(shown, size, interpolation=method)
    return canvas


def _prepared_mask(
    region: Region, step: int, geometry: Geometry, config: PreprocessConfig
) -> NDArray[np.bool_]:
    """Return the region in prepared pixels, (height, width) bool."""
    rows, columns = _content(geometry)
    row_samples, column_samples = (
        np.minimum(
            (((np.arange(part.stop - part.start) + 0.5) / geometry.scale + start) / step).astype(
                int
            ),
            limit - 1,
        )
        for part, start, limit in zip(
            (rows, columns), (geometry.y0, geometry.x0), region.mask.shape, strict=True
        )
    )
    mask = np.zeros((config.height, config.width), bool)
    mask[rows, columns] = region.mask[np.ix_(row_samples, column_samples)]
    return mask


def _quality(breast: NDArray[np.uint16], whole: bool) -> tuple[str, ...]:
    """Return the quality codes, sorted."""
    low, high = np.percentile(breast, (5, 95))
    ends = (breast == 0) | (breast == FULL_SCALE)
    codes = {
        "WHOLE_IMAGE": whole,
        "SATURATED": float(ends.mean()) > SATURATED_FRACTION,
        "LOW_CONTRAST": high - low < LOW_CONTRAST_RANGE * FULL_SCALE,
    }
    return tuple(sorted(code for code, holds in codes.items() if holds))
