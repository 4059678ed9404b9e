"""Cheap numbers of a prepared image that tell one acquisition from another.

They are channels of the drift monitor, not inputs of the model.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FEATURE_NAMES: tuple[str, ...] = (
    "breast_fraction",
    "mean_intensity",
    "contrast",
    "skewness",
    "sharpness",
    "noise",
)
LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Difference of two Laplacians, blind to edges and slopes (Immerkaer 1996)."""


def measure_features(pixels: NDArray[np.uint16], mask: NDArray[np.bool_]) -> dict[str, float]:
    """Measure :data:`FEATURE_NAMES` of a prepared image where ``mask`` is the breast.

    ``breast_fraction`` is the part of the prepared image that is breast; the
    others are of the breast alone, with 1.0 the full scale: mean, standard
    deviation and skewness of the intensity; ``sharpness`` is the mean gradient
    per unit of contrast; ``noise`` the standard deviation of the noise by
    Immerkaer's operator, robust to structure by the median.
    """
    scaled = pixels.astype(np.float32) / np.float32(65535)
    breast = scaled[mask]
    mean, contrast = float(breast.mean()), float(breast.std())
    spread = max(contrast, 1e-6)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    inner = inner if inner.any() else mask  # the skin line would count as sharpness
    return {
        "breast_fraction": float(mask.mean()),
        "mean_intensity": mean,
        "contrast": contrast,
        "skewness": _skewness(breast, mean, spread),
        "sharpness": _mean_gradient(scaled, inner) / spread,
        "noise": _noise(scaled, inner),
    }


def _skewness(breast: NDArray[np.float32], mean: float, spread: float) -> float:
    deviation = (breast - np.float32(mean)) / np.float32(spread)
    return float((deviation * deviation * deviation).mean())  # a power is ten times slower


def _mean_gradient(scaled: NDArray[np.float32], inner: NDArray[np.bool_]) -> float:
    """Scharr's kernels smooth across the derivative; 1/32 makes it per pixel."""
    across = cv2.Scharr(scaled, cv2.CV_32F, 1, 0, scale=1 / 32)
    down = cv2.Scharr(scaled, cv2.CV_32F, 0, 1, scale=1 / 32)
    # NumPy's: the last bits of cv2.magnitude depend on how the memory is aligned
    return float(np.sqrt(across * across + down * down)[inner].mean())


def _noise(scaled: NDArray[np.float32], inner: NDArray[np.bool_]) -> float:
    """The operator's standard deviation is 6 times that of white noise."""
    response = np.abs(cv2.filter2D(scaled, cv2.CV_32F, LAPLACIAN))[inner]
    return _median(response) * 1.4826 / 6


def _median(values: NDArray[np.float32]) -> float:
    """NumPy's own also looks for NaN, and takes six times as long."""
    middle = values.size // 2
    parted = np.partition(values, middle)
    if values.size % 2:
        return float(parted[middle])
    return float(np.mean(np.array([parted[:middle].max(), parted[middle]])))
