"""The golden input of a release: an image that holds nobody's data.

A drawn half-ellipse with texture, made from fixed arithmetic, so that a release
can be checked anywhere without carrying a patient's image.
"""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from mammo.continual.carry import carried_graph
from mammo.export.tolerance import logit_tolerance
from mammo.heat_map import Grid
from mammo.preprocess import PreprocessConfig, StoredImage, prepare, to_tensor
from mammo.screening import Screener

ROWS, COLUMNS, BITS = 640, 400, 12


def golden_pixels() -> np.ndarray:
    """Return the drawn image, (640, 400) uint16, 12 bits."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float64)
    inside = ((y - ROWS / 2) / 290) ** 2 + (x / 330) ** 2 < 1
    texture = 40 * np.sin(x / 7) * np.cos(y / 11) + 25 * np.sin((x + 2 * y) / 29)
    mass = 700 * np.exp(-(((y - 300) / 28) ** 2 + ((x - 150) / 28) ** 2))
    values = np.where(inside, 1500 + 2 * x + texture + mass, 0)
    return np.asarray(np.clip(values, 0, 2**BITS - 1), dtype=np.uint16)


def golden_tensor(config: PreprocessConfig) -> np.ndarray:
    """Return the prepared golden image as the model's input, (1, H, W) float32."""
    stored = StoredImage(golden_pixels(), bits_stored=BITS, inverted=False)
    return to_tensor(prepare(stored, config).pixels, config)


def write_golden(directory: Path, screener: Screener, grid: Grid | None = None) -> None:
    """Write golden.npz: pixels, bits, tensor, the logit of this release and its tolerance.

    With ``grid``, where the cells of the network's heat look, measured on the golden
    image: the service has no PyTorch to measure it with.
    """
    tensor = golden_tensor(screener.release.preprocess)
    more: dict[str, Any] = {} if grid is None else {"grid": np.array(astuple(grid))}
    rounded = carried_graph(directory).endswith("int8")

    def score(images: np.ndarray) -> np.ndarray:
        return screener.infer(images)[0]

    np.savez_compressed(
        directory / "golden.npz",
        pixels=golden_pixels(),
        bits_stored=BITS,
        tensor=tensor,
        logit=np.float64(score(tensor[np.newaxis])[0]),
        tolerance=np.float64(logit_tolerance(score, tensor, rounded=rounded)),
        **more,
    )
