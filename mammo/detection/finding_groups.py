"""Findings by what they are and by how large: which kinds does a detector miss?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mammo.detection.boxes import boxes_of
from mammo.detection.matching import ImageDetections

Groups = dict[str, NDArray[np.bool_]]
"""Name to which of the set's findings (findings,) belong to it."""
SIZES = 3


def by_kind(images: Sequence[ImageDetections]) -> Groups:
    """Return the readers' findings by their kind, sorted by name.

    That a kind is benign or malignant, as mini-MIAS writes it behind ("CALC-M"), is left out.
    """
    told = [one.kind for image in images for one in image.truth]
    kinds = np.array([kind.removesuffix("-B").removesuffix("-M") for kind in told], object)
    return {str(kind): np.asarray(kinds == kind) for kind in sorted(set(kinds))}


def by_size(images: Sequence[ImageDetections]) -> Groups:
    """Return the readers' findings by thirds of their size, the smallest first.

    The size is the root of the box's area in pixels of the original; edges are whole pixels.
    Findings of one size stay together, so that thirds may be uneven, or fewer.
    """
    boxes = boxes_of([one for image in images for one in image.truth])
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    if not len(size):
        return {}
    thirds = np.quantile(size, np.arange(1, SIZES) / SIZES, method="lower")
    edges = np.unique(np.ceil(thirds))
    part = np.searchsorted(edges, size, side="left")
    names = [f"to {edge:.0f} px" for edge in edges] + [f"over {edges[-1]:.0f} px"]
    return {names[one]: part == one for one in np.unique(part)}
