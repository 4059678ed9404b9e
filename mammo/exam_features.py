"""The numbers of an exam that are watched for drift: means over its pooled views.

The service measures them of what it read, a release's reference of rows of the
index: one function for both, since the monitor compares them by rank, and values
of a header stand in ties that must not break at the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from statistics import fmean
from typing import Any

import numpy as np

from mammo.exam import Exposure, Mammogram

EXPOSURE_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Exposure))
HEADER_NAMES: tuple[str, ...] = ("age_years", *EXPOSURE_NAMES)
"""Features of the header, in years, mm, newton, kV and mAs."""


def image_features(views: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of `preprocess.FEATURE_NAMES` over prepared views, at least one."""
    return {name: float(np.mean([one[name] for one in views])) for name in views[0]}


def header_numbers(mammogram: Mammogram) -> dict[str, float | None]:
    """Return `HEADER_NAMES` of one view; None where the header does not tell."""
    return {"age_years": mammogram.age_years, **asdict(mammogram.exposure)}


def header_features(views: Iterable[Mapping[Any, Any]]) -> dict[str, float]:
    """Return the means of `HEADER_NAMES` over the views that tell them.

    ``views`` are `header_numbers` or rows of the index; null, NaN and columns that an
    older index lacks are not told. A feature that no view tells is left out: the log
    has no entry for it, and the monitor no value.
    """
    rows: Sequence[Mapping[Any, Any]] = list(views)
    told = {name: [one for row in rows if (one := _number(row.get(name))) is not None]
            for name in HEADER_NAMES}  # fmt: skip
    return {name: round(fmean(numbers), 3) for name, numbers in told.items() if numbers}


def _number(value: Any) -> float | None:
    """Return a finite float; None for None, pandas' NA, NaN and infinity."""
    try:
        number = float(value)
    except TypeError:  # of None and of NA
        return None
    return number if math.isfinite(number) else None
