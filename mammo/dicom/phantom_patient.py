"""The woman and the outline of her breast in each view of the phantom.

Everything is drawn with the chest wall at x = 0, x growing to the nipple and y
growing downwards, in mm. A `Patient` keeps her size, density and coarse tissue
in all four views.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mammo.dicom.phantom_profiles import FIELD_MM
from mammo.dicom.phantom_texture import SHARED_WAVES, complex_noise
from mammo.exam import Laterality, View, ViewPosition

DENSITY_SHARES = {"A": 0.12, "B": 0.40, "C": 0.38, "D": 0.10}
GLANDULAR_FRACTION = {"A": 0.10, "B": 0.26, "C": 0.50, "D": 0.78}


@dataclass(frozen=True, eq=False)
class Patient:
    """What the four views of one woman share; lengths in mm.

    ``glandular`` is the fraction of the gland disc that is dense, in [0, 1].
    ``lean`` tilts the gland towards the armpit; ``sag`` is the height of the MLO
    nipple from the top, as a part of the field. ``waves`` are her long tissue
    waves, one block per breast.
    """

    age: int
    density: str
    glandular: float
    depth_mm: float
    half_height_mm: float
    nipple_shift: float
    sag: float
    lean: float
    pectoral_mm: float
    fibrosity: float
    subcutaneous_mm: float
    vessel_count: int
    waves: dict[Laterality, np.ndarray]


@dataclass(frozen=True, eq=False)
class Outline:
    """Where the breast ends: ``edge_mm`` is its x per row; nipple as (x, y) in mm."""

    edge_mm: np.ndarray
    nipple_mm: tuple[float, float]
    pectoral_mm: np.ndarray


def draw_patient(rng: np.random.Generator, older_years: float = 0.0) -> Patient:
    """Draw a woman of 40 to 79; density falls with age as it does in screening.

    ``older_years`` is added to the mean age of 58.
    """
    age = int(np.clip(rng.normal(58 + older_years, 9), 40, 79))
    weights = np.array(list(DENSITY_SHARES.values())) * np.exp(np.arange(4) * (58 - age) * 0.025)
    density = str(rng.choice(list(DENSITY_SHARES), p=weights / weights.sum()))
    common = complex_noise(rng, (2 * SHARED_WAVES, SHARED_WAVES))
    own = {side: complex_noise(rng, common.shape) for side in (Laterality.LEFT, Laterality.RIGHT)}
    return Patient(
        age=age,
        density=density,
        glandular=float(np.clip(GLANDULAR_FRACTION[density] + rng.normal(0, 0.05), 0.03, 0.9)),
        depth_mm=float(np.clip(rng.normal(84, 14), 55, 118)),
        half_height_mm=float(np.clip(rng.normal(84, 9), 66, 102)),
        nipple_shift=float(rng.normal(0, 0.06)),
        sag=float(np.clip(rng.normal(0.62, 0.04), 0.53, 0.7)),
        lean=float(rng.normal(0.45, 0.25)),
        pectoral_mm=float(np.clip(rng.normal(46, 9), 26, 66)),
        fibrosity=float(rng.uniform(0.6, 1.4)),
        subcutaneous_mm=float(rng.uniform(7, 17)) * (1.25 - 0.5 * GLANDULAR_FRACTION[density]),
        vessel_count=int(rng.integers(2, 6)),
        waves={side: np.float32(0.7071) * (common + noise) for side, noise in own.items()},
    )


def draw_outline(patient: Patient, view: View, rng: np.random.Generator, rows: int) -> Outline:
    """Return the outline of one view on ``rows`` rows over the field's height."""
    y_mm = (np.arange(rows) + 0.5) * (FIELD_MM[0] / rows)
    draw = _outline_mlo if view.position is ViewPosition.MLO else _outline_cc
    return draw(patient, rng, y_mm)


def _outline_cc(patient: Patient, rng: np.random.Generator, y_mm: np.ndarray) -> Outline:
    depth = patient.depth_mm * rng.normal(1, 0.025)
    centre = FIELD_MM[0] * 0.5 + rng.normal(0, 4)
    nipple_y = centre + patient.nipple_shift * patient.half_height_mm + rng.normal(0, 3)
    reach = np.where(y_mm < nipple_y, nipple_y - centre, centre - nipple_y)
    across = (y_mm - nipple_y) / (patient.half_height_mm + reach)
    power = rng.normal(2.15, 0.08)
    body = np.clip(1 - np.abs(across) ** power, 0, None) ** (1 / rng.normal(1.75, 0.08))
    edge = depth * body + _wobble(rng, y_mm) * np.minimum(body * 2, 1)
    muscle = rng.uniform(3, 9) * (rng.random() < 0.35)
    lens = np.clip(1 - ((y_mm - centre - rng.normal(0, 10)) / rng.uniform(28, 52)) ** 2, 0, 1)
    edge = _with_nipple(edge, y_mm, nipple_y)
    return Outline(edge, (depth, nipple_y), muscle * lens)


def _outline_mlo(patient: Patient, rng: np.random.Generator, y_mm: np.ndarray) -> Outline:
    depth = patient.depth_mm * rng.normal(1.06, 0.03)
    nipple_y = FIELD_MM[0] * patient.sag + rng.normal(0, 4)
    bottom = min(nipple_y + patient.half_height_mm * rng.normal(0.86, 0.04), FIELD_MM[0] - 6)
    axilla = float(np.clip(patient.pectoral_mm + rng.normal(12, 5), 30, 0.8 * depth))
    up = np.clip(y_mm / nipple_y, 0, 1)
    upper = axilla + (depth - axilla) * np.sin(np.pi / 2 * up) ** rng.normal(1.55, 0.12)
    down = np.clip((y_mm - nipple_y) / (bottom - nipple_y), 0, 1)
    lower = depth * (1 - down ** rng.normal(2.15, 0.1)) ** 0.55
    edge = np.where(y_mm < nipple_y, upper, lower) + _wobble(rng, y_mm) * (down < 0.95)
    fold = rng.uniform(6, 16) * (rng.random() < 0.4)
    edge = np.maximum(edge, fold * np.clip((y_mm - bottom + 7) / 24, 0, 1) ** 0.7)
    edge = _with_nipple(edge, y_mm, nipple_y)
    return Outline(edge, (depth, nipple_y), _pectoral(patient, rng, y_mm))


def _pectoral(patient: Patient, rng: np.random.Generator, y_mm: np.ndarray) -> np.ndarray:
    tip = FIELD_MM[0] * rng.uniform(0.5, 0.68)
    run = np.clip(1 - y_mm / tip, 0, 1)
    bow = rng.uniform(-0.1, 0.55)
    return np.asarray(patient.pectoral_mm * (run + bow * run * (1 - run)))


def _with_nipple(edge: np.ndarray, y_mm: np.ndarray, nipple_y: float) -> np.ndarray:
    away = (y_mm - nipple_y) / 5.0
    return np.asarray(edge + 5.0 * np.exp(-(away**4)))


def _wobble(rng: np.random.Generator, y_mm: np.ndarray) -> np.ndarray:
    phases = rng.uniform(0, 2 * np.pi, 3)
    lengths = np.array([95, 60, 37])[:, None]
    waves = np.sin(2 * np.pi * y_mm / lengths + phases[:, None])
    return np.asarray(np.array([1.1, 0.6, 0.3]) @ waves)
