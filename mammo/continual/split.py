"""Which patients a run trains on, calibrates with, and never touches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammo.data.index import target_values
from mammo.data.split import golden_patients, patients_in_two, split_patients
from mammo.errors import TooFewLabels, ValidationFailed
from mammo.models.config import TrainConfig

GOLDEN_SEED = 0
"""One for the life of an installation: the golden set is the same for every release."""
RUN_CONFIG = "train_config.json"
"""What a release was trained with, in its folder: the golden fraction among it."""

PARTS = ("train", "holdout", "golden")
ANCESTOR = "ancestor"
"""Patients that an earlier release in the line trained on and the index has no more."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Three disjoint sets of patients, and the development folds of the first two.

    ``train`` fits the weights; ``holdout`` calibrates and sets thresholds;
    ``golden`` is sealed: the gate decides by it, and training only reports on it.
    ``ancestors`` are patients that only an earlier release was trained on.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    golden: pd.DataFrame
    folds: pd.Series
    ancestors: frozenset[str] = frozenset()

    @property
    def development(self) -> pd.DataFrame:
        """Train and holdout together, in the order of ``folds``."""
        return pd.concat([self.train, self.holdout]).sort_index()

    def patients(self) -> pd.DataFrame:
        """Return patient_id and part, one row a patient."""
        ids = {name: getattr(self, name)["patient_id"].unique() for name in PARTS}
        ids[ANCESTOR] = sorted(self.ancestors)
        rows = [(patient, name) for name, patients in ids.items() for patient in patients]
        return pd.DataFrame(rows, columns=["patient_id", "part"])

    def counts(self) -> dict[str, int]:
        """Return patients per part."""
        return {name: int(getattr(self, name)["patient_id"].nunique()) for name in PARTS}


def known_parts(parent: Path | None) -> dict[str, str]:
    """Return patient -> part as the parent release had it; empty without a parent."""
    if parent is None:
        return {}
    rows = pd.read_parquet(parent / "patients.parquet")
    return dict(zip(rows["patient_id"], rows["part"], strict=True))


def trained_patients(directory: Path) -> set[str]:
    """Return every patient that a release or one of its ancestors was trained on."""
    return {one for one, part in known_parts(directory).items() if part in ("train", ANCESTOR)}


def split_index(
    index: pd.DataFrame, config: TrainConfig, *, known: dict[str, str] | None = None
) -> Parts:
    """Split the labelled rows by patient; raises TooFewLabels.

    A patient that the parent release knew (``known``) keeps its part: otherwise
    a child would be calibrated on patients that its weights were trained on.
    """
    known = known or {}
    labelled = index[target_values(index, config.target).notna()].reset_index(drop=True)
    sealed = golden_patients(labelled, config.golden_fraction, GOLDEN_SEED)
    part = labelled["patient_id"].map(known)
    part = part.where(part.notna(), labelled["patient_id"].isin(sealed).map({True: "golden"}))
    new = labelled[part.isna()]
    folds = _fold(new, config, first=not known)
    part = part.fillna(folds.map(lambda fold: "holdout" if fold == 0 else "train"))
    part = part.replace({ANCESTOR: "train"})
    frames = {name: labelled[part == name] for name in PARTS}
    before = {one for one, was in known.items() if was in ("train", ANCESTOR)}
    parts = Parts(**frames, folds=folds, ancestors=frozenset(before - set(labelled["patient_id"])))
    require_disjoint(parts)
    return parts


def _fold(new: pd.DataFrame, config: TrainConfig, *, first: bool) -> pd.Series:
    """Assign patients to folds; fold 0 is the holdout.

    In a child, new patients who are too few to divide are all trained on: the
    parent's holdout still calibrates.
    """
    count = max(config.folds, round(1 / config.holdout_fraction))
    try:
        return split_patients(new, target=config.target, folds=count, seed=config.seed)
    except TooFewLabels:
        if first:
            raise
        return pd.Series(1, index=new.index)


def require_disjoint(parts: Parts) -> None:
    """Raise ValidationFailed when a patient stands in two parts."""
    rows = parts.patients()
    shared = patients_in_two(rows, rows["part"])
    if shared:
        raise ValidationFailed(f"{len(shared)} patients stand in two parts of the split.")
