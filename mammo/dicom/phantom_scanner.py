"""Exposure, processing and storage of phantom tissue by a scanner.

`acquire` turns tissue into the 12-bit values that the scanner stores For
Presentation: log exposure with blur and quantum noise, edge enhancement, the
tone curve, and air at the dark end of the scale.
"""

from __future__ import annotations

import cv2
import numpy as np

from mammo.dicom.phantom_anatomy import Tissue
from mammo.dicom.phantom_profiles import FIELD_MM, FULL_SCALE, ScannerProfile, ToneCurve

FAT_SIGNAL = 0.34
BRIGHTEST_SIGNAL = 1.45


def acquire(
    tissue: Tissue, profile: ScannerProfile, rng: np.random.Generator, *, flip: bool
) -> np.ndarray:
    """Expose, process and store one view.

    Returns uint16 (rows, columns) of the detector, values 0 to 4095, air at 0
    (4095 in MONOCHROME1). ``flip`` puts the chest wall on the right.
    """
    signal = _processed(_exposed(tissue, profile, rng), profile)
    breast = _developed(signal, profile.tone) * np.float32(profile.peak)
    breast *= np.clip(tissue.distance_mm * np.float32(1.2), 0, 1)
    stored = np.zeros(profile.shape, np.uint16)
    stored[:, : breast.shape[1]] = np.clip(breast + np.float32(0.5), 0, FULL_SCALE)
    if profile.inverted:
        np.subtract(FULL_SCALE, stored, out=stored)
    return np.ascontiguousarray(stored[:, ::-1]) if flip else stored


def _exposed(tissue: Tissue, profile: ScannerProfile, rng: np.random.Generator) -> np.ndarray:
    """Return log attenuation with the detector's blur and quantum noise."""
    spacing = tissue.spacing_mm
    signal = (tissue.density * np.float32(1 - FAT_SIGNAL) + np.float32(FAT_SIGNAL)) * _thickness(
        tissue, profile
    )
    signal = _blurred(signal, profile.blur_mm, spacing)
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    correlated = _blurred(noise, profile.noise_blur_mm, spacing)
    # fewer photons reach the detector behind dense tissue, so the noise of their logarithm grows
    scale = np.float32(profile.noise / max(float(correlated[::8, ::8].std()), 1e-6))
    return np.asarray(signal + correlated * scale * (np.float32(0.7) + np.float32(0.6) * signal))


def _thickness(tissue: Tissue, profile: ScannerProfile) -> np.ndarray:
    """Return compressed thickness in [0, 1], round at the edge, lifted by equalisation."""
    away = np.clip(1 - tissue.distance_mm * np.float32(1 / 26), 0, 1)
    rounded = cv2.pow(1 - away * away, profile.equalisation * 0.5)
    skin = np.exp(-((tissue.distance_mm - np.float32(1.4)) ** 2) * np.float32(1.1))
    return np.asarray(rounded + np.float32(profile.skin_line / FAT_SIGNAL) * skin)


def _processed(signal: np.ndarray, profile: ScannerProfile) -> np.ndarray:
    if not profile.sharpening:
        return signal
    soft = _blurred(signal, profile.sharpening_mm, FIELD_MM[0] / signal.shape[0])
    return np.asarray(signal + np.float32(profile.sharpening) * (signal - soft))


def _blurred(image: np.ndarray, sigma_mm: float, spacing_mm: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_mm / spacing_mm))


def _developed(signal: np.ndarray, tone: ToneCurve) -> np.ndarray:
    """Apply the tone curve; the result is in [0, 1] with air near 0."""
    start, end = (
        1 / (1 + np.exp(-tone.steepness * (s - tone.centre))) for s in (0.0, BRIGHTEST_SIGNAL)
    )
    curve = 1 / (1 + np.exp((np.float32(tone.centre) - signal) * np.float32(tone.steepness)))
    curve = (curve - np.float32(start)) * np.float32(1 / (end - start))
    straight = signal * np.float32((1 - tone.knee) / BRIGHTEST_SIGNAL)
    mixed = np.float32(tone.knee) * curve + straight
    return np.asarray(cv2.pow(np.clip(mixed, 0, 1), tone.gamma))
