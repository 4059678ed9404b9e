"""Splits: always by patient, never by image.

Folds are stratified by outcome x scanner; the golden set is picked by a hash of
the patient, so it never changes while data grows.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from mammo.data.index import target_values
from mammo.errors import TooFewLabels

UNLABELLED_FOLD = -1


def split_patients(
    index: pd.DataFrame, *, target: str = "cancer", folds: int = 5, seed: int
) -> pd.Series:
    """Assign each row's patient to a fold.

    Returns
    -------
    pandas.Series
        int64, aligned with ``index``: 0 to ``folds - 1``; -1 for patients
        without a single label. All rows of a patient share one fold.

    Raises
    ------
    TooFewLabels
        Fewer positive or negative patients than folds; the message has counts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels = target_values(index, target).groupby(index["patient_id"]).max()
    rows = pd.DataFrame({"patient": index["patient_id"], "scanner": index["scanner"]})
    rows["label"] = rows["patient"].map(labels)
    rows = rows[rows["label"].notna()].reset_index(drop=True)
    _require_labels(rows, target, folds)
    strata = _strata(rows, folds)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold_of_row = np.zeros(len(rows), dtype=np.int64)
    for number, (_, held) in enumerate(splitter.split(rows, strata, rows["patient"])):
        fold_of_row[held] = number
    fold_of = dict(zip(rows["patient"], fold_of_row.tolist(), strict=True))
    fold = index["patient_id"].map(fold_of).fillna(UNLABELLED_FOLD).astype("int64")
    return fold.rename("fold")


def patients_in_two(index: pd.DataFrame, fold: pd.Series) -> list[str]:
    """Return the patients that stand in more than one fold; empty when nothing leaks."""
    sides = fold.groupby(index["patient_id"]).nunique()
    return sorted(str(patient) for patient in sides.index[sides > 1])


def golden_patients(index: pd.DataFrame, fraction: float, seed: int) -> frozenset[str]:
    """Return the patients of the sealed golden set.

    A patient belongs to it or not for ever: the choice depends on ``seed`` and
    the patient's pseudonym alone, not on who else is in the index.
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction is {fraction}; allowed is 0 to 1")
    patients = index["patient_id"].unique()
    return frozenset(str(p) for p in patients if _position(str(p), seed) < fraction)


def _position(patient_id: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{patient_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _require_labels(rows: pd.DataFrame, target: str, folds: int) -> None:
    patients = rows.drop_duplicates("patient")["label"]
    positive, negative = int((patients == 1).sum()), int((patients == 0).sum())
    if min(positive, negative) < folds:
        raise TooFewLabels(
            f"target {target!r} has {positive} positive and {negative} negative patients; "
            f"{folds} folds need at least {folds} of each: ingest more labelled exams"
        )


def _strata(rows: pd.DataFrame, folds: int) -> pd.Series:
    """Outcome x scanner; what has fewer patients than folds joins its outcome's largest."""
    label = rows["label"].astype(int).astype(str)
    strata = label + "|" + rows["scanner"].fillna("unknown")
    patients = rows["patient"].groupby(strata).nunique().sort_values()
    largest = {str(name).split("|")[0]: name for name in patients.index}
    return strata.where(strata.map(patients) >= folds, label.map(largest))
