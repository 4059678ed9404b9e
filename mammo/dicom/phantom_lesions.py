"""Lesions of the phantom: cancers, and what looks like them and is none.

A lesion belongs to a breast and is drawn into each of its views at the same
distance from the nipple, as a reader would find it. Sizes survive reduction to
0.5 mm pixels: masses of 8-22 mm, clusters of 5-15 specks over 8-15 mm.
``conspicuity`` scales the contrast of what is malignant, 1.0 as tuned.
"""

from __future__ import annotations

import numpy as np

from mammo.dicom.phantom_anatomy import Tissue
from mammo.dicom.phantom_profiles import FIELD_MM
from mammo.dicom.phantom_shapes import SHAPES, Lesion
from mammo.exam import Finding, View, ViewPosition

CANCER_KINDS = {
    "spiculated_mass": 0.42,
    "malignant_mass": 0.20,
    "calcification_cluster": 0.28,
    "mass_with_calcifications": 0.10,
}
DISTRACTOR_RATES = {"benign_mass": 0.13, "benign_calcification": 0.28, "dense_nodule": 0.16}


def draw_cancer(rng: np.random.Generator, conspicuity: float = 1.0) -> Lesion:
    """Draw the one cancer of a breast."""
    kind = str(rng.choice(list(CANCER_KINDS), p=list(CANCER_KINDS.values())))
    cluster = kind == "calcification_cluster"
    size = rng.uniform(8, 15) if cluster else np.clip(rng.lognormal(np.log(15), 0.28), 8, 22)
    contrast = (1.82 if cluster else 1.01) * conspicuity * rng.lognormal(0, 0.22)
    return _placed(rng, kind, float(size), float(contrast))


def draw_distractors(rng: np.random.Generator) -> list[Lesion]:
    """Draw what a breast holds besides cancer: benign masses, calcifications, nodules."""
    contrasts = {"benign_mass": 0.45, "benign_calcification": 1.3, "dense_nodule": 0.30}
    sizes = {"benign_mass": (8, 18), "benign_calcification": (1.0, 2.4), "dense_nodule": (10, 26)}
    return [
        _placed(rng, kind, rng.uniform(*sizes[kind]), contrasts[kind] * rng.lognormal(0, 0.25))
        for kind, rate in DISTRACTOR_RATES.items()
        if rng.random() < rate
    ]


def _placed(rng: np.random.Generator, kind: str, diameter_mm: float, contrast: float) -> Lesion:
    depth, lateral, height = rng.uniform(0.25, 0.75), rng.uniform(-0.7, 0.7), rng.uniform(-0.6, 0.7)
    return Lesion(kind, diameter_mm, contrast, depth, lateral, height, int(rng.integers(2**31)))


def add_lesion(tissue: Tissue, lesion: Lesion, view: View) -> Finding:
    """Draw a lesion into the tissue's density, in place, and return its box.

    The box is in pixels of the tissue's grid (chest wall at x = 0).
    """
    x_mm, y_mm = _position(tissue.outline.edge_mm, tissue.outline.pectoral_mm, lesion, view)
    spacing = tissue.spacing_mm
    reach = int(np.ceil(_reach_mm(lesion) / spacing))
    column, row = round(x_mm / spacing), round(y_mm / spacing)
    rows = slice(max(row - reach, 0), min(row + reach, tissue.density.shape[0]))
    columns = slice(max(column - reach, 0), min(column + reach, tissue.density.shape[1]))
    dy, dx = np.ogrid[rows, columns]
    dx_mm = (dx - column).astype(np.float32) * np.float32(spacing)
    dy_mm = (dy - row).astype(np.float32) * np.float32(spacing)
    rng = np.random.Generator(np.random.SFC64([lesion.seed, view.position is ViewPosition.MLO]))
    shape = np.random.Generator(np.random.SFC64(lesion.seed))
    patch = SHAPES[lesion.kind](lesion, shape, rng, dx_mm, dy_mm)
    inside = np.clip(tissue.distance_mm[rows, columns] * np.float32(0.5), 0, 1)
    tissue.density[rows, columns] += np.float32(lesion.contrast) * patch * inside
    return _box(lesion, column, row, spacing, tissue.density.shape)


def _reach_mm(lesion: Lesion) -> float:
    return lesion.diameter_mm * (1.35 if lesion.malignant else 0.8) + 3


def _position(
    edge_mm: np.ndarray, pectoral_mm: np.ndarray, lesion: Lesion, view: View
) -> tuple[float, float]:
    """Return (x, y) in mm: ``depth`` below the nipple, inside skin and muscle."""
    radius = lesion.diameter_mm / 2
    tip = int(edge_mm.argmax())
    x = float(np.clip(edge_mm.max() * (1 - lesion.depth), radius + 4, edge_mm.max() - radius - 10))
    step = FIELD_MM[0] / edge_mm.size
    free = (edge_mm > x + radius + 6) & (pectoral_mm < x - radius)
    rows = np.flatnonzero(free & (np.abs(np.arange(edge_mm.size) - tip) * step < 75))
    if rows.size == 0:
        return x, (tip + 0.5) * step
    where = lesion.height if view.position is ViewPosition.MLO else lesion.lateral
    y = rows[0] + (rows[-1] - rows[0]) * (0.5 + 0.5 * where)
    return x, float(y) * step


def _box(
    lesion: Lesion, column: int, row: int, spacing_mm: float, shape: tuple[int, ...]
) -> Finding:
    half = (lesion.diameter_mm / 2 + 1) / spacing_mm
    return Finding(
        x_min=max(column - half, 0.0),
        y_min=max(row - half, 0.0),
        x_max=min(column + half, float(shape[1])),
        y_max=min(row + half, float(shape[0])),
        kind=lesion.kind,
    )
