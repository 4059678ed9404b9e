"""Findings of a view from its heat: boxes around what speaks most for the target.

A detector is none of this: the boxes say where the logit comes from, as coarse as
the grid of the heat is. Around each peak the box holds the cells that are
joined to it and have at least half its heat.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from mammo.heat_map import HeatMap

MOST = 3
MIN_LOGIT, MIN_SHARE = 0.1, 0.05
"""What a region adds to the logit, and its part of all that speaks for the target, at least:
in the heat of a mammogram without anything in it there are peaks, too."""
KIND = "region"


@dataclass(frozen=True, slots=True)
class HeatFinding:
    """A half-open box in pixels of the original image (x right, y down).

    ``share`` in (0, 1] is the region's part of all heat of the view that speaks for
    the target: how much of the evidence lies here, not how likely cancer is.
    ``logit`` is what it adds to the view's logit.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    share: float
    logit: float
    kind: str = KIND
    source: str = "heat"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, places rounded to a tenth of a pixel."""
        edges = {name: round(getattr(self, name), 1) for name in ("x_min", "y_min")}
        edges |= {name: round(getattr(self, name), 1) for name in ("x_max", "y_max")}
        return asdict(self) | edges


def find_regions(heat: HeatMap) -> tuple[HeatFinding, ...]:
    """Return at most `MOST` findings, the strongest peak first; none where nothing speaks for it.

    What touches a region is a part of its slope and no finding of its own: two places
    so near are not told apart by the grid.
    """
    left = np.maximum(heat.heat, 0.0)
    total = float(left.sum())
    found: list[HeatFinding] = []
    while len(found) < MOST and left.any():
        cells = _region(left)
        logit = float(left[cells].sum())
        if logit < MIN_LOGIT or logit / total < MIN_SHARE:
            break
        left[binary_dilation(cells, np.ones((3, 3), bool))] = 0.0
        x_min, y_min, x_max, y_max = heat.box_of(cells)
        if x_min < x_max and y_min < y_max:  # else it is in the padding, beside the mammogram
            found.append(HeatFinding(x_min, y_min, x_max, y_max, logit / total, logit))
    return tuple(found)


def _region(positive: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the highest cell and those joined to it that have at least half its heat, (h, w)."""
    peak = np.unravel_index(int(positive.argmax()), positive.shape)
    groups, _ = label(positive >= positive[peak] / 2)
    return np.asarray(groups == groups[peak])
