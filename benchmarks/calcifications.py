"""Calcifications drawn into mammograms, and how well an observer finds them after preparing.

A calcification is a sphere: its shadow is the chord through it, blurred by the
detector and averaged over the pixel. The observer is a matched filter that does
not whiten (NPW): it knows shape and place. The whitening one (Hotelling) is not
used, because it gains without bound from the empty high frequencies of an
enlarged image, where it sees what no reader and no network does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammo.preprocess import Prepared

DIAMETERS_MM = (0.1, 0.15, 0.2, 0.3, 0.5)
LOG_PER_MM = 0.9
"""Log exposure that 1 mm of calcification takes away: hydroxyapatite at about 20 keV, attenuating
1.9 per mm more than tissue, halved for scatter and for not being solid."""
DETECTOR_BLUR_MM = 0.05
FREE_MM, SPACE_MM = 8.0, 6.0
"""From the skin, and between one calcification and the next."""
SUBPIXELS = 8
PATCH = 9
"""Side of what the observer sees, in prepared pixels."""
BACKGROUNDS = 3000

Places = NDArray[np.float64]


@dataclass(frozen=True)
class Visibility:
    """How one image shows calcifications of one diameter, averages over them.

    ``contrast`` is the brightest pixel's rise as a fraction of full scale;
    ``cnr`` divides it by the standard deviation of the background about it;
    ``detectability`` is the observer's d'.
    """

    contrast: float
    cnr: float
    detectability: float


def choose_places(breast: NDArray[np.bool_], spacing_mm: float, rng: np.random.Generator) -> Places:
    """Return (N, 2) places x, y in pixels, anywhere within a pixel, on a shaken grid."""
    distance = cv2.distanceTransform(np.pad(breast.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    step = SPACE_MM / spacing_mm
    rows, columns = (np.arange(step, size - step, step) for size in breast.shape)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    places = grid + rng.uniform(-step / 8, step / 8, grid.shape)
    inside = distance[places[:, 1].astype(int), places[:, 0].astype(int)] > FREE_MM / spacing_mm
    return places[inside]


def draw_chords(
    shape: tuple[int, ...], places: Places, spacing_mm: float, blur_mm: float
) -> NDArray[np.float32]:
    """Return millimetres of calcification in each pixel; diameters take turns."""
    chords = np.zeros(shape, np.float32)
    for number, (x, y) in enumerate(places):
        diameter = DIAMETERS_MM[number % len(DIAMETERS_MM)]
        column, row = int(x), int(y)
        patch = _chord(diameter, spacing_mm, (x - column, y - row), blur_mm)
        reach = patch.shape[0] // 2
        chords[row - reach : row + reach + 1, column - reach : column + reach + 1] += patch
    return chords


def _chord(
    diameter_mm: float, spacing_mm: float, offset: tuple[float, float], blur_mm: float
) -> NDArray[np.float32]:
    """Return the chord through a sphere that lies at ``offset`` in the middle pixel."""
    reach = int(np.ceil((diameter_mm / 2 + 3 * blur_mm) / spacing_mm)) + 1
    fine = (np.arange((2 * reach + 1) * SUBPIXELS) + 0.5) / SUBPIXELS - reach
    x_mm, y_mm = ((fine - part) * spacing_mm for part in offset)
    squared = diameter_mm**2 / 4 - x_mm[None, :] ** 2 - y_mm[:, None] ** 2
    chord = 2 * np.sqrt(np.maximum(squared, 0)).astype(np.float32)
    if blur_mm:
        chord = cv2.GaussianBlur(chord, (0, 0), blur_mm / spacing_mm * SUBPIXELS)
    size = 2 * reach + 1
    return chord.reshape(size, SUBPIXELS, size, SUBPIXELS).mean(axis=(1, 3))


def see(clean: Prepared, marked: Prepared, places: Places, seed: int) -> dict[float, Visibility]:
    """Compare an image with and without its calcifications, as prepared."""
    if clean.geometry != marked.geometry:
        raise ValueError("the calcifications moved the crop: they are too bright")
    centres = np.array([np.floor(clean.geometry.to_prepared(*place)) for place in places], int)
    rise = (marked.pixels.astype(np.float32) - clean.pixels) / 65535
    ground = clean.pixels.astype(np.float32) / 65535
    inside = np.all((centres >= PATCH) & (centres < np.array(ground.shape[::-1]) - PATCH), axis=1)
    signals, diameters = _patches(rise, centres[inside]), _turns(len(places))[inside]
    noise = _noise(ground, centres[inside], np.random.default_rng(seed))
    spread = _patches(ground, centres[inside]).std(axis=1)
    found = {}
    for diameter in DIAMETERS_MM:
        mine = diameters == diameter
        peak = signals[mine].max(axis=1)
        found[diameter] = Visibility(
            float(peak.mean()),
            float((peak / spread[mine]).mean()),
            float(_matched(signals[mine], noise).mean()),
        )
    return found


def _matched(signals: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return d' of each signal, (N, pixels), for the filter that is the signal less its mean."""
    filters = signals - signals.mean(axis=1, keepdims=True)
    response = (filters * signals).sum(axis=1)
    return response / np.sqrt(np.einsum("ni,ij,nj->n", filters, noise, filters))


def _turns(count: int) -> NDArray[np.float64]:
    return np.resize(np.array(DIAMETERS_MM), count)


def _patches(picture: NDArray[np.float32], centres: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (N, PATCH * PATCH) pixels about the centres (x, y)."""
    half = PATCH // 2
    windows = np.lib.stride_tricks.sliding_window_view(picture, (PATCH, PATCH))
    taken = windows[centres[:, 1] - half, centres[:, 0] - half]
    return taken.reshape(len(centres), -1).astype(np.float64)


def _noise(
    ground: NDArray[np.float32], centres: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the covariance of backgrounds near the calcifications, about 3000 of them."""
    around = centres[rng.integers(len(centres), size=BACKGROUNDS)]
    moved = around + rng.integers(-2 * PATCH, 2 * PATCH + 1, around.shape)
    limit = np.array(ground.shape[::-1]) - PATCH
    patches = _patches(ground, np.clip(moved, PATCH, limit))
    return np.cov(patches, rowvar=False)
