"""Whether there is enough to train on, said before hours are spent on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mammo.continual.calibrate import MIN_EXAMS, target_of
from mammo.continual.folds import fold_assignments
from mammo.continual.heads import has_head
from mammo.continual.split import Parts
from mammo.continual.watch import aside
from mammo.data.index import target_values
from mammo.errors import TooFewLabels
from mammo.models.config import TrainConfig


def require_enough(parts: Parts, config: TrainConfig, *, folds: bool) -> None:
    """Raise TooFewLabels unless every step of the training will find what it needs.

    The training part and, with ``folds``, that of each fold must have positives
    and negatives, and enough patients of each to put some aside where the
    configuration asks for it. The holdout must have both, and exams enough to
    set a threshold by.
    """
    for name, rows in _trainings(parts, config, folds=folds):
        _require_classes(name, rows, config)
        if config.monitor != "none" or has_head(config):
            aside(rows, config)
    _require_classes("the holdout", parts.holdout, config)
    exams = target_values(parts.holdout, config.target).groupby(parts.holdout["exam_id"]).max()
    usable = int(target_of(config).exams(exams.eq(1).to_numpy(dtype=bool)).sum())
    if usable < MIN_EXAMS:
        raise TooFewLabels(
            f"the holdout has {len(exams)} exams, {usable} of the kind that the operating point "
            f"is set by; at least {MIN_EXAMS} are needed. Ingest more labelled exams, or raise "
            f"holdout_fraction ({config.holdout_fraction:g})"
        )


def _trainings(
    parts: Parts, config: TrainConfig, *, folds: bool
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield what each fit is trained on, with a name for the message."""
    yield "the training part", parts.train
    if not folds or config.folds < 2:
        return
    for shuffle, assigned in enumerate(fold_assignments(parts, config)):
        for fold in range(config.folds):
            name = f"fold {fold + 1} of {config.folds}"
            again = f", shuffle {shuffle + 1}" if config.shuffles > 1 else ""
            held = np.asarray(assigned == fold)
            yield f"the training part of {name}{again}", parts.development[~held]
            _require_classes(f"{name}{again}", parts.development[held], config)


def _require_classes(name: str, rows: pd.DataFrame, config: TrainConfig) -> None:
    labels = target_values(rows, config.target).eq(1)
    patients = labels.groupby(rows["patient_id"]).max()
    positive = int(patients.sum())
    negative = len(patients) - positive
    if not positive or not negative:
        raise TooFewLabels(
            f"{name} has {positive} positive and {negative} negative patients of target "
            f"{config.target!r}; at least one of each is needed. Ingest more labelled exams, "
            "choose another target, fewer folds or another seed"
        )
