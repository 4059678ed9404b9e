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

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammo.breast_region import Region, find_region
from mammo.dicom.image import StoredImage, VoiLut, Window
from mammo.display import FULL_SCALE, display_table
from mammo.errors import NoBreastFound
from mammo.geometry import Geometry, PreprocessConfig
from mammo.image_features import FEATURE_NAMES, measure_features

__all__ = [
    "FEATURE_NAMES",
    "Geometry",
    "LocatedBreast",
    "Prepared",
    "PreprocessConfig",
    "StoredImage",
    "VoiLut",
    "Window",
    "fallback_window",
    "locate_breast",
    "prepare",
    "to_tensor",
]
SATURATED_FRACTION = 0.25
LOW_CONTRAST_RANGE = 0.05


@dataclass(frozen=True, eq=False)
class Prepared:
    """A mammogram as the model sees it.

    ``pixels`` is (height, width) uint16, 0 to 65535, dark background;
    ``features`` has :data:`FEATURE_NAMES`; ``quality`` holds codes:
    ``WHOLE_IMAGE`` (no region stood out, nothing was cropped), ``SATURATED``
    (over a quarter of the breast is at either end of the window),
    ``LOW_CONTRAST``, and those of the decoding (:class:`StoredImage`).
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
    located = locate_breast(image, config)
    region, step = located.region, located.step
    geometry = _place(region, step, image, config)
    table = display_table(image, fallback_window(image, located, config))
    pixels = _paste(_look_up(table, _crop(image, geometry)), geometry, config)
    mask = _prepared_mask(region, step, geometry, config)
    quality = tuple(sorted({*_quality(pixels[mask], region.whole), *image.quality}))
    return Prepared(pixels, geometry, measure_features(pixels, mask), quality)


@dataclass(frozen=True, eq=False)
class LocatedBreast:
    """The region on the subsample: ``sample`` is its brightness, ``step`` its
    distance in original pixels."""

    region: Region
    step: int
    sample: NDArray[np.float32]


def locate_breast(image: StoredImage, config: PreprocessConfig) -> LocatedBreast:
    """Find the breast on a subsample; raises NoBreastFound as :func:`prepare` does."""
    step = _sample_step(image, config)
    sample = _brightness(image, step >> image.reduction)
    region = find_region(sample)
    if region is None:
        rows, columns = image.original_shape
        raise NoBreastFound(f"all {rows} x {columns} pixels have the same value: no breast in it")
    return LocatedBreast(region, step, sample)


def fallback_window(
    image: StoredImage, located: LocatedBreast, config: PreprocessConfig
) -> Window | None:
    """Return the window from the breast's own values, for images that bring none; else None."""
    return _percentile_window(located.sample[located.region.mask], image, config)


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


def _sample_step(image: StoredImage, config: PreprocessConfig) -> int:
    """Return the distance of the region's samples in original pixels."""
    factor = 2**image.reduction
    step = round(max(image.original_shape) / config.region_samples / factor)
    return max(1, step) * factor


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


def _place(region: Region, step: int, image: StoredImage, config: PreprocessConfig) -> Geometry:
    """Return the crop around the region and where it goes: padded away from the chest wall."""
    rows, columns = image.original_shape
    left, top, right, bottom = (edge * step for edge in region.box)
    margin = round(config.margin * max(right - left, bottom - top))
    decoded = 2**image.reduction  # the crop ends between decoded pixels
    x0, y0 = (max(edge - margin, 0) // decoded * decoded for edge in (left, top))
    x1 = min(-(-(right + margin) // decoded) * decoded, columns)
    y1 = min(-(-(bottom + margin) // decoded) * decoded, rows)
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
    if image.window is not None or image.voi_lut is not None:
        return None
    values = -breast if image.inverted else breast
    low, high = np.percentile(values, (config.percentile_low, config.percentile_high))
    if not high > low:
        return None
    return Window(float(low + high) / 2, float(high - low), "LINEAR_EXACT")


def _crop(image: StoredImage, geometry: Geometry) -> NDArray[Any]:
    """Return the decoded pixels of the crop, which may be at half the resolution."""
    x0, x1, y0, y1 = (
        -(-edge >> image.reduction) for edge in (geometry.x0, geometry.x1, geometry.y0, geometry.y1)
    )
    return image.pixels[y0:y1, x0:x1]


def _look_up(table: NDArray[np.uint16], pixels: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the display values of the stored ``pixels``."""
    return np.asarray(cv2.LUT(pixels.view(f"u{pixels.dtype.itemsize}"), table), np.uint16)


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
    shrinks = max(shown.shape[0] / size[1], shown.shape[1] / size[0]) > 1
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
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
    # one axis after the other: a fifth of the time of both at once
    mask[rows, columns] = region.mask.take(row_samples, 0).take(column_samples, 1)
    return mask


def _quality(breast: NDArray[np.uint16], whole: bool) -> tuple[str, ...]:
    """Return the quality codes, sorted."""
    counts = np.bincount(breast, minlength=FULL_SCALE + 1)
    low, high = _percentiles(counts, (5, 95))
    codes = {
        "WHOLE_IMAGE": whole,
        "SATURATED": (counts[0] + counts[FULL_SCALE]) / breast.size > SATURATED_FRACTION,
        "LOW_CONTRAST": high - low < LOW_CONTRAST_RANGE * FULL_SCALE,
    }
    return tuple(sorted(code for code, holds in codes.items() if holds))


def _percentiles(counts: NDArray[np.intp], percent: tuple[int, ...]) -> NDArray[np.float64]:
    """Return NumPy's percentiles of the values that were counted, in a fifth of its time."""
    upto = np.cumsum(counts)
    rank = np.array(percent) / 100 * (upto[-1] - 1)
    below, above = (np.searchsorted(upto, edge(rank), "right") for edge in (np.floor, np.ceil))
    return below + (above - below) * (rank - np.floor(rank))
