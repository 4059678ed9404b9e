"""Sizes and places: how large a prepared image is, and where its pixels come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class PreprocessConfig:
    """How a stored image becomes a prepared one; saved inside the release.

    ``margin`` widens the breast's box by that fraction of its longer side.
    ``region_samples`` is about the number of samples along the longer side on
    which the breast is looked for. ``percentile_low`` and ``percentile_high``
    of the breast are the window of images that bring none. ``jpeg2000_reduce``
    is 1 where JPEG 2000 and HTJ2K are to be decoded at half resolution, which
    the reader does (:func:`mammo.dicom.read.decode_image`), 0 where they are not.
    """

    height: int = 512
    width: int = 256
    margin: float = 0.02
    region_samples: int = 416
    percentile_low: float = 0.5
    percentile_high: float = 99.5
    jpeg2000_reduce: int = 0

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.region_samples) < 16 or not 0 <= self.margin < 1:
            raise ValueError(f"sizes are at least 16 and margin is in [0, 1): {self}")
        if not 0 <= self.percentile_low < self.percentile_high <= 100:
            raise ValueError(f"percentiles are ordered and in [0, 100]: {self}")
        if self.jpeg2000_reduce not in (0, 1):
            raise ValueError(f"jpeg2000_reduce is 0 or 1: {self}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from :meth:`to_dict`; unknown keys are a ``ValueError``.

        Keys that a release of an earlier version lacks have their defaults.
        """
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
    ``columns`` are the size of the original, also where it was decoded at half
    resolution; places are off by up to half an original pixel then.
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
