"""Splits: always by patient, never by image.

Folds come from scikit-learn's StratifiedGroupKFold over a composite stratum of
outcome, site, machine, age band, density and implant; the golden set is picked
by a hash of the patient, so it never changes while data grows.

How the folds are made:

1. The index becomes a table of patients (`mammo.data.patients`).
2. Each patient's stratum is the combination of her six attributes. A
   combination with fewer patients than folds drops its least important
   attribute and is counted again, together with the others that were too rare:
   first implant, then density, age, machine, site. What is still too rare under
   the outcome alone joins the largest stratum of that outcome.
3. Patients of one stratum are exchangeable, so they go to the splitter in
   blocks: shuffled, then as many equal blocks as there are folds, and one by
   one the few that remain. The splitter thus decides over some thousand groups
   at any size of the index, instead of looping over a million patients.
4. Positive patients are split first, the others apart from them: each pass
   fills the smallest fold, so positives per fold differ by one or hardly more.
5. Steps 3 and 4 are done for `CANDIDATES` seeds drawn from the one given, and
   the best balanced assignment is kept (rerandomisation: Morgan and Rubin,
   Annals of Statistics 40, 2012). The result is then checked, not trusted:
   `mammo.data.balance.require_balanced`.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from mammo.data.balance import balance_of, imbalance, require_balanced
from mammo.data.patients import (
    ATTRIBUTES,
    NEGATIVE,
    POSITIVE,
    UNKNOWN,
    Codes,
    patient_table,
)
from mammo.errors import TooFewLabels

UNLABELLED_FOLD = -1
CANDIDATES = 10
"""Assignments that are drawn for one split; the best balanced is kept."""


def split_patients(
    index: pd.DataFrame,
    *,
    target: str = "cancer",
    folds: int = 5,
    seed: int,
    candidates: int = CANDIDATES,
) -> pd.Series:
    """Assign each row's patient to a fold.

    The folds depend on the seed and on what is in the index, not on the order
    of its rows.

    Returns
    -------
    pandas.Series
        int64, aligned with ``index``: 0 to ``folds - 1``; -1 for patients
        without a single label. All rows of a patient share one fold.

    Raises
    ------
    TooFewLabels
        Fewer positive or negative patients than folds; the message has counts.
    SplitUnbalanced
        The best of the assignments is still uneven; the message says where.
    """
    fold_of = split_table(
        patient_table(index, target=target),
        target=target,
        folds=folds,
        seed=seed,
        candidates=candidates,
    )
    fold = index["patient_id"].map(fold_of).fillna(UNLABELLED_FOLD).astype("int64")
    return fold.rename("fold")


def split_table(
    patients: pd.DataFrame,
    *,
    target: str = "cancer",
    folds: int = 5,
    seed: int,
    candidates: int = CANDIDATES,
) -> pd.Series:
    """Assign the labelled patients of a `patient_table` to folds; raises as `split_patients`.

    Returns
    -------
    pandas.Series
        int64, indexed by ``patient_id``; unlabelled patients are left out.
    """
    if folds < 2 or candidates < 1:
        raise ValueError(f"folds is {folds}, candidates {candidates}; allowed are 2 and 1 or more")
    labelled = patients[patients["outcome"] != UNKNOWN]
    _require_labels(labelled, target, folds)
    strata = strata_of(labelled, folds)
    positive = (labelled["outcome"] == POSITIVE).to_numpy()
    seeds = np.random.SeedSequence(seed).generate_state(candidates)
    drawn = (_draw(strata, positive, folds, int(one)) for one in seeds)
    best = min(drawn, key=lambda fold: imbalance(labelled, fold, folds))
    fold = pd.Series(best, index=labelled.index, name="fold", dtype="int64")
    require_balanced(balance_of(labelled, fold))
    return fold


def strata_of(patients: pd.DataFrame, least: int) -> Codes:
    """Return each patient's stratum; rare combinations are merged as the module tells."""
    codes = [patients[name].cat.codes.to_numpy(np.int64) for name in ATTRIBUTES]
    sizes = [len(patients[name].cat.categories) for name in ATTRIBUTES]
    strata = np.full(len(patients), -1, dtype=np.int64)
    made = 0
    for depth in range(len(ATTRIBUTES), 0, -1):
        rare = np.flatnonzero(strata < 0)
        key = np.zeros(len(rare), dtype=np.int64)
        for code, size in zip(codes[:depth], sizes[:depth], strict=True):
            key = key * size + code[rare]
        _, group, count = np.unique(key, return_inverse=True, return_counts=True)
        enough = count[group] >= least
        strata[rare[enough]] = made + group[enough]
        made += len(count)
    outcome = codes[0]
    for level in np.unique(outcome[strata < 0]):
        of_outcome = outcome == level
        settled = strata[of_outcome & (strata >= 0)]
        largest = np.bincount(settled).argmax() if settled.size else made
        strata[of_outcome & (strata < 0)] = largest
    return strata


def _draw(strata: Codes, positive: np.ndarray, folds: int, seed: int) -> Codes:
    """Return one assignment of the patients: the positive ones first, then the rest."""
    fold = np.empty(len(strata), dtype=np.int64)
    for side in (positive, ~positive):
        fold[side] = _stratified(strata[side], folds, seed)
    return fold


def _stratified(strata: Codes, folds: int, seed: int) -> Codes:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    blocks = _blocks(strata, folds, seed)
    fold = np.empty(len(strata), dtype=np.int64)
    for number, (_, held) in enumerate(splitter.split(strata, strata, blocks)):
        fold[held] = number
    return fold


def _blocks(strata: Codes, folds: int, seed: int) -> Codes:
    """Return each patient's block: ``folds`` equal ones a stratum, the remainder singly."""
    random = np.random.default_rng(seed).random(len(strata))
    order = np.lexsort((random, strata))
    _, start, inverse, size = np.unique(
        strata[order], return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.arange(len(strata)) - start[inverse]
    block_size = np.maximum(size // folds, 1)[inverse]
    number = np.where(
        rank < folds * block_size, rank // block_size, folds + rank - folds * block_size
    )
    blocks = np.empty(len(strata), dtype=np.int64)
    blocks[order] = inverse * (2 * folds) + number  # a remainder is shorter than folds
    return blocks


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


def _require_labels(labelled: pd.DataFrame, target: str, folds: int) -> None:
    counts = labelled["outcome"].value_counts()
    positive, negative = int(counts[POSITIVE]), int(counts[NEGATIVE])
    if min(positive, negative) < folds:
        raise TooFewLabels(
            f"target {target!r} has {positive} positive and {negative} negative patients; "
            f"{folds} folds need at least {folds} of each: ingest more labelled exams"
        )
