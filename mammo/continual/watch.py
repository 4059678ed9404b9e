"""Patients of the training part that are not trained on, but say when it is enough.

Not the holdout: it sets calibration and thresholds, and would be judged by
weights that were chosen on it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammo.data.split import split_patients
from mammo.errors import TooFewLabels
from mammo.models.config import TrainConfig


def watched_rows(index: pd.DataFrame, config: TrainConfig) -> np.ndarray:
    """Return (N,) bool, True for the rows of the watched patients; none without ``monitor``.

    Raises TooFewLabels when there are too few patients of a class to put some aside.
    """
    if config.monitor == "none":
        return np.zeros(len(index), dtype=bool)
    return aside(index, config)


def aside(index: pd.DataFrame, config: TrainConfig) -> np.ndarray:
    """Return (N,) bool, True for the rows of ``watch_fraction`` of the patients.

    The same patients for the same rows and seed, so that the network and the
    head that comes after it are judged on the same. Raises TooFewLabels.
    """
    parts = max(2, round(1 / config.watch_fraction))
    try:
        fold = split_patients(index, target=config.target, folds=parts, seed=config.seed)
    except TooFewLabels as error:
        asked = f"monitor: {config.monitor}, aggregation: {config.aggregation}"
        raise TooFewLabels(
            f"{asked}: one training patient in {parts} is put aside to say when it is enough, "
            f"and {error.message}; or set monitor: none and aggregation: mean, or a larger "
            "watch_fraction"
        ) from error
    return (fold == 0).to_numpy()
