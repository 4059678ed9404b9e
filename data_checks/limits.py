"""What is still plausible; wide on purpose, so that only faults stop a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

FIRST_DAY = date(1980, 1, 1)
"""No digital or digitised screening image of the known sets is older."""


@dataclass(frozen=True)
class CheckLimits:
    """The limits of the suites that are a matter of choice.

    ``max_views_per_exam``: RSNA's largest exam has 14 images. ``prevalence`` is of
    the images of a source with an outcome, in [0, 1]: 2 % in RSNA, 16 % in
    mini-MIAS, some 70 % in CMMD, which holds biopsied breasts alone.
    ``standard_views`` is a share of images, ``chest_sides`` of images whose chest
    wall lies where their laterality says. ``pixel_sample`` images are opened, picked by
    ``seed``; ``rest`` is what of an image's mean and mean square, full scale 1, the breast
    may leave over. ``max_latency_ms`` bounds one scoring.
    """

    max_views_per_exam: int = 24
    prevalence: tuple[float, float] = (0.0, 0.9)
    standard_views: float = 0.95
    chest_sides: float = 0.9
    pixel_sample: int = 500
    rest: tuple[float, float] = (-0.005, 0.15)
    seed: int = 0
    max_latency_ms: float = 600_000.0
