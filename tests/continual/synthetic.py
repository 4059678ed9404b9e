"""A store of a few made-up images, for fits that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.data.shards import write_shard
from mammo.models.config import TrainConfig

IMAGES, HEIGHT, WIDTH = 32, 64, 32
BASE: dict[str, Any] = {
    "architecture": "small_cnn", "pretrained": False, "frozen_stages": 0, "epochs": 3,
    "batch_size": 8, "learning_rate": 3e-3, "preprocess": {"height": HEIGHT, "width": WIDTH},
}  # fmt: skip


def config(**changes: Any) -> TrainConfig:
    """Return the configuration of a fit to the made-up images."""
    return TrainConfig.from_dict(BASE | changes)


def write_store(folder: Path) -> pd.DataFrame:
    """Write a shard of noise in which positives are bright at the top; return its index."""
    rng = np.random.default_rng(0)
    cancer = np.arange(IMAGES) % 4 < 2
    top = np.arange(HEIGHT)[:, None] < HEIGHT // 3
    images = [
        (rng.random((HEIGHT, WIDTH)) * 20_000 + 15_000 * (top & one)).astype(np.uint16)
        for one in cancer
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_shard(folder, "s", images)
    numbers = range(IMAGES)
    return pd.DataFrame(
        {
            "image_id": [f"I-{i}" for i in numbers], "sha256": [f"{i:064x}" for i in numbers],
            "acquired_on": pd.Timestamp("2025-01-01"), "exam_id": [f"E-{i // 2}" for i in numbers],
            "patient_id": [f"P-{i // 2}" for i in numbers], "laterality": "L",
            "view": ["CC", "MLO"] * (IMAGES // 2), "scanner": ["a", "b"] * (IMAGES // 2),
            "cancer": pd.array(cancer.astype(int), "Int8"), "shard": "s", "shard_row": numbers,
            "density": "B", "birads": pd.array([None] * IMAGES, "Int8"),
            "difficult": pd.array([None, 1] * (IMAGES // 2), "Int8"), "source": "made-up",
            "age_years": 50, "site": "s", "software_version": "1", "implant": False,
        }
    )  # fmt: skip
