"""The tissue of the phantom's breast: gland, fibres, vessels, pectoral muscle.

Density is 0 for fat and 1 for gland, on the scanner's own grid with the chest
wall at x = 0; a right breast is mirrored when it is written.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mammo.dicom.phantom_patient import Outline, Patient, draw_outline
from mammo.dicom.phantom_profiles import FIELD_MM
from mammo.dicom.phantom_texture import power_law_field, strands, vessels
from mammo.exam import View


@dataclass(frozen=True, eq=False)
class Tissue:
    """One compressed breast, float32 maps of one shape (rows, columns).

    ``density`` is 0 for fat and 1 for gland; ``distance_mm`` to the skin is 0
    outside the breast; ``gland`` weighs where lesions arise, in [0, 1].
    """

    density: np.ndarray
    distance_mm: np.ndarray
    gland: np.ndarray
    outline: Outline
    spacing_mm: float


def draw_tissue(
    patient: Patient, view: View, rng: np.random.Generator, spacing_mm: float
) -> Tissue:
    """Draw the tissue of one view on a grid that just holds the breast."""
    rows = round(FIELD_MM[0] / spacing_mm)
    outline = draw_outline(patient, view, rng, rows)
    columns = min(int(outline.edge_mm.max() / spacing_mm) + 4, round(FIELD_MM[1] / spacing_mm))
    x_mm = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) * np.float32(spacing_mm)
    mask = (x_mm[None, :] < outline.edge_mm[:, None]).astype(np.uint8)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * np.float32(spacing_mm)
    cloud = power_law_field(
        rng, mask.shape, spacing_mm, shared=patient.waves[view.laterality], share=0.75
    )
    relief = _relief(cloud, spacing_mm)
    gland = _gland_weight(patient, outline, x_mm, distance, relief)
    density = _density(patient, outline, rng, x_mm, gland, cloud, relief)
    return Tissue(density, distance, gland, outline, spacing_mm)


def _gland_weight(
    patient: Patient, outline: Outline, x_mm: np.ndarray, distance: np.ndarray, relief: np.ndarray
) -> np.ndarray:
    """Return where gland may lie: a disc behind the nipple, inside the fat layer."""
    nipple_x, nipple_y = outline.nipple_mm
    y_mm = _rows_mm(distance.shape[0])
    size = np.sqrt(0.45 + 0.7 * patient.glandular)
    radius_x, radius_y = 0.60 * nipple_x * size, 0.70 * patient.half_height_mm * size
    across = ((x_mm - np.float32(0.58 * nipple_x)) / np.float32(radius_x))[None, :]
    along = ((y_mm - np.float32(nipple_y - 2)) / np.float32(radius_y))[:, None]
    # gland reaches towards the armpit: up in both views as they are hung
    leaning = along + np.float32(patient.lean) * (1 - x_mm * np.float32(1 / nipple_x))[None, :]
    disc = np.float32(1.1) - across**2 - leaning**2 + np.float32(0.38) * relief
    near = (np.float32(nipple_x) - x_mm)[None, :] * np.float32(1 / 20)
    stalk = np.exp(-(near**2)) * np.exp(-((along * np.float32(radius_y / 13)) ** 2))
    layer = np.float32(patient.subcutaneous_mm) * (1 + np.float32(0.25) * relief - stalk)
    skin = (distance - layer) * np.float32(1 / 9)
    return np.asarray(_smooth_step(disc * np.float32(1.2)) * _smooth_step(skin))


def _smooth_step(x: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1, and no corner between."""
    inside = np.clip(x, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))


def _relief(cloud: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return the tissue's waves of more than about a centimetre."""
    step = max(round(4 / spacing_mm), 1)
    rows, columns = (max(size // step, 4) for size in cloud.shape)
    small = cv2.resize(cloud, (columns, rows), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, cloud.shape[::-1], interpolation=cv2.INTER_CUBIC))


def _density(
    patient: Patient,
    outline: Outline,
    rng: np.random.Generator,
    x_mm: np.ndarray,
    gland: np.ndarray,
    cloud: np.ndarray,
    relief: np.ndarray,
) -> np.ndarray:
    """Mix gland, fibres, vessels and pectoral muscle into density, 0 fat to 1 gland."""
    lines, streaks = _strands(outline, rng, x_mm, relief)
    bias = np.float32(3.2 * (patient.glandular - 0.48))
    lumps = 1 / (1 + np.exp(np.float32(-1.15) * cloud - np.float32(0.55) * streaks - bias))
    density = gland * (np.float32(0.07) + np.float32(0.55 + 0.24 * patient.glandular) * lumps)
    strength = np.float32(0.30 * patient.fibrosity)
    density += lines * strength * (np.float32(0.32) + np.float32(0.5) * gland)
    density += np.float32(0.045) * cloud + np.float32(0.025) * streaks
    density += np.float32(0.20) * vessels(
        rng, gland.shape, float(x_mm[1] - x_mm[0]), outline.nipple_mm, count=patient.vessel_count
    )
    return _with_pectoral(density, outline, x_mm, cloud)


def _strands(
    outline: Outline, rng: np.random.Generator, x_mm: np.ndarray, relief: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lay the fibres along the rays of a point just before the nipple."""
    nipple_x, nipple_y = outline.nipple_mm
    y_mm = _rows_mm(relief.shape[0])
    dx = np.broadcast_to(np.float32(nipple_x + 8) - x_mm, relief.shape)
    dy = np.broadcast_to((y_mm - np.float32(nipple_y))[:, None], relief.shape)
    radius, angle = cv2.cartToPolar(np.ascontiguousarray(dx), np.ascontiguousarray(dy))
    turned = np.where(angle > np.pi, angle - np.float32(2 * np.pi), angle)
    return strands(rng, radius, turned, relief)


def _with_pectoral(
    density: np.ndarray, outline: Outline, x_mm: np.ndarray, cloud: np.ndarray
) -> np.ndarray:
    inside = outline.pectoral_mm.astype(np.float32)[:, None] - x_mm[None, :]
    weight = _smooth_step(inside * np.float32(0.24) + np.float32(0.5))
    weight *= (outline.pectoral_mm > 0.5).astype(np.float32)[:, None]
    depth = np.float32(0.34) * (1 - np.exp(np.clip(inside, 0, None) * np.float32(-1 / 16)))
    muscle = np.float32(0.30) + depth + np.float32(0.025) * cloud
    return np.asarray(density + weight * (muscle - np.float32(0.7) * density))


def _rows_mm(rows: int) -> np.ndarray:
    return (np.arange(rows, dtype=np.float32) + np.float32(0.5)) * np.float32(FIELD_MM[0] / rows)
