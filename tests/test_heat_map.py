"""Heat laid back on the original: what was planted there comes back there."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mammo.dicom.image import StoredImage, Window
from mammo.geometry import Geometry, PreprocessConfig
from mammo.heat_map import Grid, HeatMap, spread
from mammo.heat_picture import overlay
from mammo.preprocess import Prepared, prepare

CONFIG = PreprocessConfig(height=256, width=128)
GRID = (16, 8)
GRID_8 = Grid.even((64, 32), (8, 4))


def breast(rows: int, columns: int, *, right: bool, blob: tuple[int, int]) -> np.ndarray:
    """Half an ellipse at the chest wall of a black image, and one far brighter spot."""
    pixels = np.zeros((rows, columns), np.uint16)
    centre = (columns - 1 if right else 0, rows // 2)
    cv2.ellipse(pixels, centre, (columns // 2, rows // 3), 0, 0, 360, 900, -1)
    cv2.circle(pixels, blob, max(rows // 60, 3), 4000, -1)
    return pixels


def grid_of(prepared: Prepared) -> np.ndarray:
    """A stand-in for a network: what is brighter than tissue, averaged over each cell."""
    bright = np.where(prepared.pixels > 45000, prepared.pixels, 0).astype(np.float32)
    return cv2.resize(bright, GRID[::-1], interpolation=cv2.INTER_AREA)


CASES = {
    "cropped above and below": ((1200, 900), False, (150, 640)),
    "chest wall on the right, padded left": ((1200, 900), True, (780, 520)),
    "wide, padded above and below": ((500, 1400), False, (300, 260)),
    "tall, padded beside": ((2400, 500), False, (60, 1100)),
    "smaller than the grid's image": ((180, 120), False, (20, 95)),
}


@pytest.mark.parametrize("reduction", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_a_planted_blob_comes_back_at_its_place(name: str, reduction: int) -> None:
    (rows, columns), right, blob = CASES[name]
    pixels = breast(rows, columns, right=right, blob=blob)
    if reduction:
        pixels = cv2.resize(pixels, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
    stored = StoredImage(
        pixels, bits_stored=12, inverted=False, window=Window(2048, 4096, "LINEAR_EXACT"),
        reduction=reduction, full_shape=(rows, columns),
    )  # fmt: skip
    prepared = prepare(stored, CONFIG)
    heat = HeatMap(grid_of(prepared), prepared.geometry, Grid.even((256, 128), GRID))
    height, width = heat.cell
    first = heat.places()[0]
    assert abs(first.x - blob[0]) <= width / 2 + 1 and abs(first.y - blob[1]) <= height / 2 + 1
    whole = heat.at_original()
    assert whole.shape == (rows, columns)
    y, x = np.unravel_index(int(whole.argmax()), whole.shape)
    # beyond the outermost centres the heat is level, and the first of equals may be at the edge
    assert abs(x - blob[0]) <= width and abs(y - blob[1]) <= height


def test_heat_is_nowhere_but_in_the_crop() -> None:
    place = Geometry(x0=10, y0=20, x1=50, y1=100, scale=0.5, pad_x=3, pad_y=4, rows=120, columns=80)
    heat = HeatMap(np.ones((6, 4), np.float32), place, Grid.even((48, 32), (6, 4)))
    whole = heat.at_original()
    np.testing.assert_allclose(whole[20:100, 10:50], 1.0)
    assert whole.sum() == pytest.approx(80 * 40)
    small = heat.at_original((60, 40))
    np.testing.assert_allclose(small, whole[::2, ::2])


def test_a_cell_has_its_value_at_its_centre() -> None:
    """A crop at twice the size, without padding: the centre of cell (1, 2) is at (20, 12)."""
    place = Geometry(x0=0, y0=0, x1=32, y1=64, scale=1.0, pad_x=0, pad_y=0, rows=64, columns=32)
    cells = np.zeros((8, 4), np.float32)
    cells[1, 2] = 3.0
    whole = HeatMap(cells, place, GRID_8).at_original()
    np.testing.assert_allclose(whole[11:13, 19:21].mean(), 3.0 * (1 - 0.5 / 8) ** 2)
    np.testing.assert_allclose(whole.sum(), 3.0 * 64, rtol=1e-6)
    assert np.array_equal(whole, spread(cells, (64, 32), GRID_8))
    aside = replace(GRID_8, x=GRID_8.x - 3.0, y=GRID_8.y + 2.0)
    moved = HeatMap(cells, place, aside).at_original()
    np.testing.assert_allclose(moved[2:, :-3], whole[:-2, 3:], atol=1e-6)


def test_heat_in_the_padding_is_told() -> None:
    place = Geometry(x0=0, y0=0, x1=32, y1=32, scale=1.0, pad_x=0, pad_y=0, rows=32, columns=32)
    heat = np.zeros((8, 4), np.float32)
    heat[0, 0], heat[7, 1] = -3.0, 1.0
    found = HeatMap(heat, place, GRID_8)
    assert found.beside_crop() == pytest.approx(0.25)
    assert HeatMap(np.zeros((8, 4), np.float32), place, GRID_8).beside_crop() == 0.0


def test_places_are_apart_and_have_evidence() -> None:
    place = Geometry(x0=0, y0=0, x1=32, y1=64, scale=0.5, pad_x=0, pad_y=0, rows=64, columns=32)
    heat = np.full((8, 4), -1.0, np.float32)
    heat[1, 1], heat[1, 2], heat[6, 3] = 4.0, 3.0, 1.0
    found = HeatMap(heat, place, GRID_8).places()
    assert [(one.heat, one.share) for one in found] == [(4.0, 0.5), (1.0, 0.125)]
    assert found[0].to_dict() == {"x": 24.0, "y": 24.0, "radius": 8.0, "heat": 4.0, "share": 0.5}
    none = HeatMap(-np.ones((2, 2), np.float32), place, GRID_8)
    assert none.places() == []


@pytest.mark.parametrize("heat", [np.zeros(3), np.full((2, 2), np.nan)])
def test_what_is_no_grid_is_refused(heat: np.ndarray) -> None:
    place = Geometry(0, 0, 1, 1, 1.0, 0, 0, 1, 1)
    with pytest.raises(ValueError, match="finite grid"):
        HeatMap(heat.astype(np.float32), place, GRID_8)


def test_the_overlay_is_clear_where_there_is_no_evidence_and_rises_with_it() -> None:
    shown = np.full((1, 5), 70, np.uint8)
    drawn = overlay(shown, np.array([[-1.0, -0.5, 0.0, 0.5, 1.0]], np.float32), 1.0)[0].astype(int)
    assert drawn[2].tolist() == [70, 70, 70]
    light = drawn @ np.array([0.2126, 0.7152, 0.0722])
    assert light[2] < light[3] < light[4] and light[2] < light[1] < light[0]
    assert drawn[3, 0] > drawn[3, 2] and drawn[1, 0] < drawn[1, 2]  # warm for, cool against
