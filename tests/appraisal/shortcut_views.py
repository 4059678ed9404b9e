"""Small mammograms with and without a planted shortcut, and models that read one or the lesion."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pandas as pd

from mammo.appraisal.shortcut_readings import FULL_SCALE, Views, find_breasts

ROWS, COLUMNS = 64, 32
CORNER = (slice(2, 8), slice(20, 29))
LESION = 6


def make_views(plant: str = "", images: int = 120, seed: int = 0) -> Views:
    """Return images of ``images / 2`` patients, half with a lesion; ``plant`` is a shortcut's name.

    ``marker``: letters beside the breast in nine cancers of ten; ``border``: a
    bright edge; ``scanner``: most cancers come from one device; ``padding``:
    their images lie lower; ``side``: cancers are right breasts.
    """
    rng = np.random.default_rng(seed)
    patient = np.arange(images) // 2
    labels = patient % 2 == 0
    planted = labels & (rng.random(images) < 0.9)
    pixels, boxes = np.zeros((images, ROWS, COLUMNS)), []
    for place in range(images):
        pixels[place], box = _breast(rng, bool(labels[place]))
        boxes.append(box)
        if plant == "padding" and planted[place]:
            pixels[place] = np.roll(pixels[place], 3, axis=0)
    if plant == "marker":
        pixels[planted, CORNER[0], CORNER[1]] = 0.9
    if plant == "border":
        pixels[planted, :, -1] = 0.6
    side = np.where(planted, "R", "L") if plant == "side" else rng.choice(["L", "R"], images)
    other = rng.random(images) < (0.3 if plant == "scanner" else 0.5)
    device = planted | (other & ~labels) if plant == "scanner" else other
    pixels[device] = pixels[device] ** 0.75  # the second device is a little brighter
    stored = (np.clip(pixels, 0, 1) * FULL_SCALE).astype(np.uint16)
    index = pd.DataFrame(
        {
            "image_id": [f"i{n}" for n in range(images)],
            "patient_id": [f"p{n}" for n in patient],
            "laterality": side,
            "view": rng.choice(["CC", "MLO"], images),
            "scanner": np.where(device, "Phantom/B", "Phantom/A"),
            "software_version": "1",
            "site": "1",
            "geometry": json.dumps({"x0": 0, "x1": 300, "y0": 0, "y1": 600, "rows": 700,
                                    "columns": 500}),
        }
    )  # fmt: skip
    return Views(stored, find_breasts(stored), index, labels, boxes)


def _breast(
    rng: np.random.Generator, lesion: bool
) -> tuple[np.ndarray, list[tuple[float, float, float, float]]]:
    y, x = np.mgrid[:ROWS, :COLUMNS]
    height, depth = rng.normal(24, 1.5), rng.normal(17, 1.0)
    inside = ((y - 32) / height) ** 2 + (x / depth) ** 2 < 1
    tissue = 0.35 + 0.05 * cv2.GaussianBlur(rng.normal(size=(ROWS, COLUMNS)), (0, 0), 1.5) * 5
    image = np.where(inside, tissue, 0.0)
    if not lesion:
        return image, []
    cy, cx = rng.uniform(20, 44), rng.uniform(3, 9)
    image = image + 0.5 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / LESION) * inside
    return image, [(cx - 4, cy - 4, cx + 4, cy + 4)]


def read_lesion(pixels: np.ndarray) -> np.ndarray:
    """An honest model: the brightest spot of the tissue before the chest wall, nothing else."""
    scores = []
    for image in pixels:
        tissue = image[16:48].astype(np.float64) / FULL_SCALE
        half = COLUMNS // 2
        if tissue[:, half:].sum() > tissue[:, :half].sum():
            tissue = tissue[:, ::-1]  # a right breast is read as a left one
        tissue = np.ascontiguousarray(tissue[:, :13])
        spots = cv2.GaussianBlur(tissue, (0, 0), 1.2) - cv2.GaussianBlur(tissue, (0, 0), 4)
        scores.append(spots.max())
    return 40 * np.array(scores)


def train_on(views: Views) -> object:
    """Return a model trained on pixels alone, coarse as a small network's last map."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.05, max_iter=400).fit(_coarse(views.pixels), views.labels)
    return lambda pixels: model.decision_function(_coarse(pixels))


def _coarse(pixels: np.ndarray) -> np.ndarray:
    small = [cv2.resize(one, (8, 16), interpolation=cv2.INTER_AREA) for one in pixels]
    return np.stack(small).reshape(len(pixels), -1) / FULL_SCALE * 4
