"""The shapes of the phantom's lesions: contrast patterns of float32, peak near 1.

A drawing gets the lesion, a generator that is the same in both views, one that
is the view's own, and the offsets from the centre in mm as open grids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

MALIGNANT_KINDS = frozenset(
    {
        "spiculated_mass",
        "malignant_mass",
        "calcification_cluster",
        "mass_with_calcifications",
    }
)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion of a breast, alike in both views.

    ``depth`` is the way from the nipple to the chest wall in [0, 1];
    ``lateral`` and ``height`` place it across the CC and the MLO view in
    [-1, 1]; ``contrast`` is in units of density; ``seed`` fixes its shape.
    """

    kind: str
    diameter_mm: float
    contrast: float
    depth: float
    lateral: float
    height: float
    seed: int

    @property
    def malignant(self) -> bool:
        """True where the breast that holds it has cancer."""
        return self.kind in MALIGNANT_KINDS


Drawing = Callable[
    [Lesion, np.random.Generator, np.random.Generator, np.ndarray, np.ndarray], np.ndarray
]


def _round_mass(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """A smooth ellipse with a sharp rim, as of a cyst or fibroadenoma."""
    rho = _ellipse(lesion, view, dx_mm, dy_mm, shape.uniform(1.0, 1.3))
    return np.asarray(np.sqrt(np.clip(1 - rho**2, 0, 1)) * np.float32(0.9))


def _irregular_mass(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """A dense core with an uneven, soft margin."""
    rho = _ellipse(lesion, view, dx_mm, dy_mm, shape.uniform(1.0, 1.4))
    angle = cv2.phase(*_full(dx_mm, dy_mm))
    ragged = sum(
        shape.normal(0, 0.3 / k) * np.cos(k * angle + np.float32(view.uniform(0, 6)))
        for k in (2, 3, 4, 5, 7)
    )
    outside = rho * (1 + np.asarray(ragged) * 0.6) - np.float32(0.86)
    return np.asarray(1 / (1 + np.exp(outside * 7)))


def _spiculated_mass(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """An irregular core with thin lines that radiate from it."""
    radius = lesion.diameter_mm / 2
    core = _irregular_mass(lesion, shape, view, dx_mm, dy_mm)
    away, angle = cv2.cartToPolar(*_full(dx_mm, dy_mm))
    rays = np.zeros_like(core)
    for _ in range(int(shape.integers(11, 20))):
        ray = np.float32(view.uniform(0, 2 * np.pi))
        turn = np.abs((angle - ray + np.pi) % (2 * np.pi) - np.pi)
        length = radius * view.uniform(0.5, 1.5)
        width = np.float32(view.uniform(0.45, 0.8))
        beyond = np.clip((away - np.float32(0.5 * radius)) / np.float32(length), 0, None)
        line = np.exp(-((np.minimum(turn, 1.2) * away / width) ** 2)) * np.clip(1 - beyond, 0, 1)
        rays = np.maximum(rays, line.astype(np.float32))
    return np.asarray(np.maximum(core, np.float32(0.55) * rays) + np.float32(0.15) * rays)


def _cluster(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """5 to 15 specks of different size and brightness within the diameter."""
    specks = np.zeros(np.broadcast_shapes(dx_mm.shape, dy_mm.shape), np.float32)
    for _ in range(int(shape.integers(5, 16))):
        x, y = np.clip(view.normal(0, 0.2, 2), -0.5, 0.5) * lesion.diameter_mm
        width = shape.uniform(0.22, 0.42)
        away = (dx_mm - np.float32(x)) ** 2 + (dy_mm - np.float32(y)) ** 2
        specks += np.float32(shape.uniform(0.5, 1.0)) * np.exp(away * np.float32(-0.5 / width**2))
    return specks


def _mass_with_cluster(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """An irregular mass that holds a cluster."""
    mass = _irregular_mass(lesion, shape, view, dx_mm, dy_mm)
    return np.asarray(0.8 * mass + 1.2 * _cluster(lesion, shape, view, dx_mm, dy_mm))


def _single_calcification(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """One coarse, round, smooth calcification."""
    rho = _ellipse(lesion, view, dx_mm, dy_mm, shape.uniform(1.0, 1.2))
    return np.asarray(1 / (1 + np.exp((rho - 1) * 6)))


def _dense_nodule(
    lesion: Lesion,
    shape: np.random.Generator,
    view: np.random.Generator,
    dx_mm: np.ndarray,
    dy_mm: np.ndarray,
) -> np.ndarray:
    """An island of gland: a few soft lumps without a margin."""
    total = np.zeros(np.broadcast_shapes(dx_mm.shape, dy_mm.shape), np.float32)
    for _ in range(4):
        x, y = shape.normal(0, lesion.diameter_mm / 5, 2)
        width = lesion.diameter_mm * shape.uniform(0.14, 0.26)
        away = (dx_mm - np.float32(x)) ** 2 + (dy_mm - np.float32(y * view.uniform(0.8, 1.2))) ** 2
        total += np.float32(0.5) * np.exp(away * np.float32(-0.5 / width**2))
    return total


SHAPES: dict[str, Drawing] = {
    "spiculated_mass": _spiculated_mass,
    "malignant_mass": _irregular_mass,
    "calcification_cluster": _cluster,
    "mass_with_calcifications": _mass_with_cluster,
    "benign_mass": _round_mass,
    "benign_calcification": _single_calcification,
    "dense_nodule": _dense_nodule,
}


def _full(dx_mm: np.ndarray, dy_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    dx, dy = np.broadcast_arrays(dx_mm, dy_mm)
    return np.ascontiguousarray(dx), np.ascontiguousarray(dy)


def _ellipse(
    lesion: Lesion, view: np.random.Generator, dx_mm: np.ndarray, dy_mm: np.ndarray, aspect: float
) -> np.ndarray:
    """Return the distance from the centre in radii of a turned ellipse."""
    turn = view.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    long = (dx_mm * cosine + dy_mm * sine) * np.float32(2 / lesion.diameter_mm)
    short = (dy_mm * cosine - dx_mm * sine) * np.float32(2 * aspect / lesion.diameter_mm)
    return np.sqrt(long**2 + short**2)
