"""Augmentation for training only; inference never sees it.

The list follows the leading RSNA solutions: both flips, affine to 30 degrees,
contrast, coarse dropout.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def build_augment(seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a pipeline of albumentations: (1, H, W) float32 in [0, 1] -> the same."""
    import albumentations as A

    pipeline = A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.Affine(scale=(0.9, 1.1), rotate=(-30, 30), translate_percent=0.05, p=0.7),
            A.RandomBrightnessContrast(0.15, 0.2, p=0.7),
            A.RandomGamma(gamma_limit=(80, 125), p=0.5),
            A.CoarseDropout(
                num_holes_range=(1, 4),
                hole_height_range=(0.05, 0.12),
                hole_width_range=(0.05, 0.12),
                p=0.3,
            ),
        ],
        seed=seed,
    )

    def augment(image: np.ndarray) -> np.ndarray:
        changed = pipeline(image=np.ascontiguousarray(image[0]))["image"]
        return np.ascontiguousarray(np.clip(changed, 0.0, 1.0)[np.newaxis], dtype=np.float32)

    return augment
