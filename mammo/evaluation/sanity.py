"""The sanity check of a map that explains: it must not survive the loss of the weights.

Adebayo et al. 2018 (Sanity checks for saliency maps, arXiv:1810.03292): the
network's weights are drawn anew, from the last stage to the first (cascading),
or one stage at a time (independent). A map that looks the same afterwards shows
the image, an edge detector, and not what the network learnt. Maps are compared
by the rank correlation of their cells within the breast, and by structural
similarity. The check is decided by the size of the correlation whatever its
sign: a map turned into its negative would have kept all its structure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.errors import TooFewLabels
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES, Interval, patient_bootstrap
from mammo.evaluation.localisation import mean_statistic

CORRELATION_LIMIT = 0.5
"""Upper bound of the mean size of the rank correlation after all weights are drawn anew.

Smooth random maps of some 40 cells reach 0.2 to 0.3 by chance; a map that does
not look at the weights stays at 1.
"""
MEANS = ("correlation", "size", "similarity")
CASCADING, INDEPENDENT = "cascading", "independent"


@dataclass(frozen=True)
class SanityStep:
    """How alike the maps still are after one step, means over patients.

    ``correlation`` is signed, in [-1, 1]; ``size`` is the mean of its absolute value.
    """

    mode: str
    step: str
    depth: int
    correlation: Interval
    size: Interval
    similarity: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        means = {name: getattr(self, name).to_dict() for name in MEANS}
        return {"mode": self.mode, "step": self.step, "depth": self.depth, **means}


@dataclass(frozen=True)
class SanityCheck:
    """Every step, and whether the last of the cascade destroyed the maps."""

    steps: tuple[SanityStep, ...]
    images: int
    limit: float

    @property
    def last(self) -> SanityStep:
        """The step after which no weight is what was learnt."""
        return max((one for one in self.steps if one.mode == CASCADING), key=lambda s: s.depth)

    @property
    def passed(self) -> bool:
        """True when the maps went with the weights."""
        return self.last.size.high < self.limit

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        found = self.last.size
        words = "the maps go with the weights" if self.passed else "the maps outlive the weights"
        return (
            f"With all weights drawn anew the maps' rank correlation has a mean size of "
            f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f}), which must stay under "
            f"{self.limit:.2f}: {words}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        return {
            "passed": self.passed, "limit": self.limit, "images": self.images,
            "sentence": self.sentence, "steps": [one.to_dict() for one in self.steps],
        }  # fmt: skip


def rank_correlation(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return Spearman's correlation of two maps' cells, (n,) each; 0 where one is constant.

    A constant map has kept nothing.
    """
    from scipy import stats

    a, b = (np.asarray(one, np.float64).ravel() for one in (before, after))
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(stats.spearmanr(a, b).statistic)


def structural_similarity(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Return the mean SSIM of two maps (H, W), each scaled to [0, 1]; 0 where one is constant.

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861), Gaussian window with sigma 1.5.
    """
    from scipy.ndimage import gaussian_filter

    a, b = (np.asarray(one, np.float64) for one in (before, after))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = (a - a.min()) / np.ptp(a), (b - b.min()) / np.ptp(b)
    mean_a, mean_b, square_a, square_b, product = (
        gaussian_filter(one, 1.5) for one in (a, b, a * a, b * b, a * b)
    )
    spread_a, spread_b = square_a - mean_a**2, square_b - mean_b**2
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    structure = (2 * (product - mean_a * mean_b) + 9e-4) / (spread_a + spread_b + 9e-4)
    return float((luminance * structure).mean())


def summarise_sanity(
    frame: pd.DataFrame,
    *,
    limit: float = CORRELATION_LIMIT,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> SanityCheck:
    """Average a table of comparisons.

    ``frame`` has a row for each image, mode, step and draw: ``patient_id``,
    ``image_id``, ``mode``, ``step``, ``depth``, ``correlation``, ``similarity``. Draws
    and images are averaged within their patient. Raises TooFewLabels when it is empty.
    """
    if frame.empty:
        raise TooFewLabels("found no image to check the maps with; at least 1 is needed")
    frame = frame.assign(size=frame["correlation"].abs())
    steps = []
    for key, part in frame.groupby(["mode", "depth", "step"], sort=True):
        mode, depth, step = (str(one) for one in key)
        means = part.groupby("patient_id", sort=True)[list(MEANS)].mean()
        found = {
            name: patient_bootstrap(
                means.index.to_numpy(), mean_statistic(means[name].to_numpy()),
                resamples=resamples, seed=seed,
            )
            for name in MEANS
        }  # fmt: skip
        steps.append(SanityStep(mode, step, int(depth), **found))
    return SanityCheck(tuple(steps), int(frame["image_id"].nunique()), limit)
