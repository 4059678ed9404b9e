"""Which patients a run trains on, calibrates with, and never touches."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from mammo.data.index import target_values
from mammo.data.split import golden_patients, patients_in_two, split_patients
from mammo.errors import ValidationFailed
from mammo.models.config import TrainConfig

GOLDEN_SEED = 0
"""One for the life of an installation: the golden set is the same for every release."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Three disjoint sets of patients, and the development folds of the first two.

    ``train`` fits the weights; ``holdout`` calibrates and sets thresholds;
    ``golden`` is sealed: only the gate reads its labels.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    golden: pd.DataFrame
    folds: pd.Series

    @property
    def development(self) -> pd.DataFrame:
        """Train and holdout together, in the order of ``folds``."""
        return pd.concat([self.train, self.holdout]).sort_index()

    def patients(self) -> pd.DataFrame:
        """Return patient_id and part, one row a patient."""
        frames = {"train": self.train, "holdout": self.holdout, "golden": self.golden}
        rows = [
            one[["patient_id"]].drop_duplicates().assign(part=name) for name, one in frames.items()
        ]
        return pd.concat(rows, ignore_index=True)

    def counts(self) -> dict[str, int]:
        """Return patients per part."""
        return {
            name: int(getattr(self, name)["patient_id"].nunique())
            for name in ("train", "holdout", "golden")
        }


def split_index(index: pd.DataFrame, config: TrainConfig) -> Parts:
    """Split the labelled rows by patient; raises TooFewLabels."""
    labelled = index[target_values(index, config.target).notna()].reset_index(drop=True)
    sealed = golden_patients(labelled, config.golden_fraction, GOLDEN_SEED)
    is_golden = labelled["patient_id"].isin(sealed)
    development = labelled[~is_golden]
    count = max(config.folds, round(1 / config.holdout_fraction))
    folds = split_patients(development, target=config.target, folds=count, seed=config.seed)
    parts = Parts(development[folds != 0], development[folds == 0], labelled[is_golden], folds)
    require_disjoint(parts)
    return parts


def require_disjoint(parts: Parts) -> None:
    """Raise ValidationFailed when a patient stands in two parts."""
    rows = parts.patients()
    shared = patients_in_two(rows, rows["part"])
    if shared:
        raise ValidationFailed(f"{len(shared)} patients stand in two parts of the split.")
