"""When the truth becomes known: soon for recalled women, after a year or two for others.

The programme learns of a cancer by biopsy after recall (10 to 60 days), or when it shows
itself between two rounds (interval cancers, up to 24 months, more of them late). That a
woman had none is known after the assessment of a recall, or at her next round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.continual.volumes import Floats, Ints

Flags = NDArray[np.bool_]

ASSESSMENT_DAYS = (10.0, 60.0)
INTERVAL_DAYS = (60.0, 730.0)
NEXT_ROUND_DAYS = (365.0, 730.0)
LOST = 0.03
"""A choice: women without recall and cancer of whom nothing is ever heard again."""


def draw_outcome_days(rng: np.random.Generator, day: Ints, recall: Flags, cancer: Flags) -> Floats:
    """Draw the day on which each exam's outcome is known, (n,); inf where it never is.

    Assessments take Beta(2, 3) of their span (most within a month); interval cancers have
    density rising with time (square root of a uniform).
    """
    n = len(day)
    assessment = _spread(ASSESSMENT_DAYS, rng.beta(2.0, 3.0, n))
    late = rng.random(n)
    other = np.where(cancer, _spread(INTERVAL_DAYS, np.sqrt(late)), _spread(NEXT_ROUND_DAYS, late))
    lost = (rng.random(n) < LOST) & ~recall & ~cancer
    known = day + np.where(recall, assessment, other)
    return np.where(lost, np.inf, known)


def _spread(span: tuple[float, float], part: Floats) -> Floats:
    return np.asarray(span[0] + (span[1] - span[0]) * part)
