"""Textures of the breast phantom: power-law tissue, fibres and vessels.

The power spectrum of a mammogram falls as 1/f^b with b near 3 between 0.1 and
1 cycles/mm (Burgess, Med Phys 28:419, 2001); ligaments and ducts lie along
lines that run to the nipple. All fields are float32 with mean 0 and standard
deviation 1 unless said otherwise; lengths are in mm.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import fft

SHARED_WAVES = 10
OUTER_SCALE_MM = 55.0
POLAR_SHAPE = (240, 480)


def complex_noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return complex64 white noise of this shape."""
    parts = rng.standard_normal((*shape, 2), dtype=np.float32)
    return parts.view(np.complex64)[..., 0]


def power_law_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    spacing_mm: float,
    *,
    exponent: float = 3.0,
    shared: np.ndarray | None = None,
    share: float = 0.0,
) -> np.ndarray:
    """Return a random field whose radial power spectrum falls as 1/f**exponent.

    Below 1 / OUTER_SCALE_MM cycles/mm the spectrum is flat, so that one breast
    is not a single gradient. ``shared``, (2 * SHARED_WAVES, SHARED_WAVES)
    complex64, replaces the longest waves with weight ``share`` in [0, 1]: two
    views of a breast then have their tissue in the same places.
    """
    rows, columns = (fft.next_fast_len(size, real=True) for size in shape)
    spectrum = complex_noise(rng, (rows, columns // 2 + 1))
    if shared is not None:
        _mix_long_waves(spectrum, shared, share)
    spectrum *= _amplitude(rows, columns, spacing_mm, exponent)
    field = fft.irfft2(spectrum, (rows, columns))[: shape[0], : shape[1]]
    return _standardised(field)


def _amplitude(rows: int, columns: int, spacing_mm: float, exponent: float) -> np.ndarray:
    vertical = fft.fftfreq(rows, spacing_mm).astype(np.float32)[:, None]
    horizontal = fft.rfftfreq(columns, spacing_mm).astype(np.float32)[None, :]
    squared = vertical**2 + horizontal**2 + np.float32(OUTER_SCALE_MM**-2)
    return np.asarray(cv2.pow(squared, -exponent / 4))


def _mix_long_waves(spectrum: np.ndarray, shared: np.ndarray, share: float) -> None:
    own, waves = np.float32(np.sqrt(1 - share)), np.float32(np.sqrt(share))
    half = SHARED_WAVES
    for rows, part in ((slice(0, half), shared[:half]), (slice(-half, None), shared[half:])):
        corner = spectrum[rows, :half]
        corner[:] = own * corner + waves * part[:, : corner.shape[1]]


def _standardised(field: np.ndarray) -> np.ndarray:
    mean, deviation = cv2.meanStdDev(field)
    return np.asarray((field - np.float32(mean[0, 0])) * np.float32(1 / deviation[0, 0]))


def strands(
    rng: np.random.Generator, radius_mm: np.ndarray, angle: np.ndarray, bend: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return fibres in [0, 1] and a streaked field, both running along the rays.

    ``radius_mm`` and ``angle`` (radians, -pi to pi) are float32 polar maps about
    the nipple; ``bend`` (standard deviation 1) makes the rays wander. Fibres are
    the zero crossings of fields that are stretched along the ray.
    """
    fields = [power_law_field(rng, POLAR_SHAPE, 1.0, exponent=b) for b in (2.8, 2.4)]
    turned = angle * np.float32(POLAR_SHAPE[1] / (2 * np.pi)) + np.float32(7) * bend
    coarse = _along_rays(fields[0], turned, radius_mm * np.float32(0.55))
    fine = _along_rays(fields[1], turned * np.float32(1.6), radius_mm * np.float32(0.8))
    lines = np.float32(0.6) * ridge(coarse, 0.11) + np.float32(0.5) * ridge(fine, 0.14)
    return lines, np.float32(0.75) * coarse + np.float32(0.5) * fine


def _along_rays(field: np.ndarray, across: np.ndarray, along: np.ndarray) -> np.ndarray:
    return np.asarray(
        cv2.remap(field, across + np.float32(POLAR_SHAPE[1] // 2), along + np.float32(8),
                  cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
    )  # fmt: skip


def ridge(field: np.ndarray, width: float) -> np.ndarray:
    """Return 1 where the field is zero, falling to 0 within a few ``width``."""
    scaled = field * np.float32(1 / width)
    return np.asarray(1 / (1 + scaled * scaled))


def vessels(
    rng: np.random.Generator,
    shape: tuple[int, int],
    spacing_mm: float,
    nipple_mm: tuple[float, float],
    *,
    count: int,
) -> np.ndarray:
    """Return ``count`` winding vessels of 0.8-1.8 mm as float32 in [0, 1].

    They begin near the chest wall (x = 0) and thin out towards the nipple.
    """
    canvas = np.zeros(shape, np.uint8)
    height_mm = shape[0] * spacing_mm
    for _ in range(count):
        start = np.array([0.0, rng.uniform(0.15, 0.85) * height_mm])
        end = np.array(nipple_mm) * [rng.uniform(0.6, 0.95), 1] + rng.normal(0, 14, 2)
        line = _winding(rng, start, end) / spacing_mm
        width = max(1, round(rng.uniform(0.8, 1.8) / spacing_mm))
        brightness, points = int(rng.uniform(110, 230)), np.round(line * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, brightness, width, cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(canvas, (0, 0), 0.45 / spacing_mm)
    return blurred.astype(np.float32) * np.float32(1 / 255)


def _winding(rng: np.random.Generator, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    steps = np.linspace(0, 1, 40)
    straight = start + (end - start) * steps[:, None]
    across = np.array([-(end - start)[1], (end - start)[0]])
    order = np.array([1, 2, 4, 7])[:, None]
    size, phase = rng.normal(0, 0.06, order.shape) / order, rng.uniform(0, 6, order.shape)
    waves = (size * np.sin(np.pi * order * steps + phase)).sum(axis=0)
    return np.asarray(straight + across * waves[:, None])
