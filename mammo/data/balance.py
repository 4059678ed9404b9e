"""Whether the parts of a split are alike: the balance table, and what is refused.

The unit is the patient. A level's share in a part may differ from its share
over all by the largest of three: `TOLERANCE_SD` standard deviations of the
level (a difference too small to matter at any size), `CHANCE_SD` times what
drawing the part's patients at random would give (hypergeometric, so that small
sets are not refused for what nobody could balance), and one patient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammo.data.patients import ATTRIBUTES, POSITIVE, Codes, part_of_patients, patient_table
from mammo.errors import SplitUnbalanced

TOLERANCE_SD = 0.05
"""Half of the 0.1 that is read as negligible (Austin, Statistics in Medicine 28, 2009)."""
CHANCE_SD = 3.0
POSITIVE_SPREAD = 1
"""By how many positive patients the chosen folds should differ at most."""
COLUMNS = (
    "attribute", "level", "fold", "patients", "breasts", "images", "share_in_fold",
    "share_overall", "difference_pp", "difference_sd", "chance_pp", "allowed_pp",
)  # fmt: skip


def balance_table(
    index: pd.DataFrame, assignment: pd.Series[Any], *, target: str = "cancer"
) -> pd.DataFrame:
    """Return how each level of each attribute is spread over the parts of a split.

    Parameters
    ----------
    index
        Rows of the exam index (the columns `mammo.data.patients.SPLIT_COLUMNS`).
    assignment
        Part of each row (aligned), or of each patient (indexed by patient_id);
        null and negative numbers are no part, those patients are left out.

    Returns
    -------
    pandas.DataFrame
        One row per attribute, level and fold, and attribute ``all`` for the
        folds as a whole. ``patients``, ``breasts``, ``images`` count the
        patients of that level and what belongs to them. ``share_in_fold`` and
        ``share_overall`` are of patients, in [0, 1]; ``difference_pp`` is
        between them, in percentage points, ``difference_sd`` in standard
        deviations of the level; ``chance_pp`` is one standard deviation of
        what chance gives, ``allowed_pp`` what `require_balanced` allows.

    Raises
    ------
    PatientLeak
        A patient stands in two parts: there is no share of patients then.
    """
    part = part_of_patients(index, assignment)
    return balance_of(patient_table(index, target=target).loc[part.index], part)


def balance_of(
    patients: pd.DataFrame,
    fold: pd.Series[Any],
    *,
    tolerance_sd: float = TOLERANCE_SD,
    chance_sd: float = CHANCE_SD,
) -> pd.DataFrame:
    """Return the balance table of a `patient_table` and the part of each patient in it."""
    codes, parts = pd.factorize(fold.reindex(patients.index), sort=True)
    if not len(parts):
        return pd.DataFrame(columns=list(COLUMNS))
    part = codes.astype(np.int64)
    whole = np.zeros(len(patients), dtype=np.int64)
    tables = [_spread("all", ["all"], whole, part, patients, parts)]
    for name in ATTRIBUTES:
        levels = patients[name].cat
        tables.append(_spread(name, list(levels.categories), _codes(levels), part, patients, parts))
    table = pd.concat(tables, ignore_index=True)
    return _with_differences(table, tolerance_sd, chance_sd)[list(COLUMNS)]


def require_balanced(table: pd.DataFrame) -> None:
    """Raise SplitUnbalanced when a level's share in a fold is further off than allowed.

    The message names the worst fold, attribute and level with the numbers, how
    many there are besides, and the way out.
    """
    over = table[table["difference_pp"].abs() > table["allowed_pp"] + 1e-9]
    if over.empty:
        return
    ratio = over["difference_pp"].abs() / over["allowed_pp"]
    # of two levels equally far off the first: positive rather than negative
    worst = over.iloc[int(ratio.round(6).to_numpy().argmax())]
    others = f" ({len(over) - 1} other levels are off too)" if len(over) > 1 else ""
    raise SplitUnbalanced(
        f"fold {worst['fold']} has {worst['share_in_fold']:.2%} of its patients at "
        f"{worst['attribute']} {worst['level']!r}, all folds together "
        f"{worst['share_overall']:.2%}: "
        f"{worst['difference_pp']:+.2f} percentage points, where {worst['allowed_pp']:.2f} are "
        f"allowed and chance gives {worst['chance_pp']:.2f}{others}. Split again by patient with "
        "`mammo data split` (another --seed, or fewer --folds), or leave out the set that "
        "alone has this level"
    )


def imbalance(patients: pd.DataFrame, fold: Codes, folds: int) -> tuple[float, float, float]:
    """Return how uneven an assignment is; less is better, compared in this order.

    Positive patients by which the folds differ beyond `POSITIVE_SPREAD`; the
    largest deviation of any level in standard deviations by chance; the sum of
    all squared deviations.
    """
    size = np.bincount(fold, minlength=folds).astype(float)
    total, squares, largest = float(len(fold)), 0.0, 0.0
    for name in ATTRIBUTES:
        count = _counts(_codes(patients[name].cat), fold, folds)
        share = count.sum(axis=1, keepdims=True) / total
        chance = _chance(share, size, total)
        off = np.divide(count / size - share, chance, out=np.zeros_like(count), where=chance > 0)
        squares += float((off**2).sum())
        largest = max(largest, float(np.abs(off).max(initial=0.0)))
    positives = np.bincount(fold[(patients["outcome"] == POSITIVE).to_numpy()], minlength=folds)
    return (max(0.0, float(np.ptp(positives)) - POSITIVE_SPREAD), largest, squares)


def _codes(levels: Any) -> Codes:
    codes: Codes = levels.codes.to_numpy(np.int64)
    return codes


def _counts(level: Codes, fold: Codes, folds: int, weights: Any = None) -> npt.NDArray[np.float64]:
    """Return levels x folds."""
    levels = int(level.max(initial=-1)) + 1
    flat = np.bincount(level * folds + fold, weights=weights, minlength=levels * folds)
    return flat.reshape(levels, folds).astype(float)


def _chance(share: Any, size: Any, total: float) -> npt.NDArray[np.float64]:
    """Return one standard deviation of a share among ``size`` of ``total`` patients.

    Hypergeometric: a part is drawn without putting back.
    """
    left = np.maximum(total - size, 0) / max(total - 1, 1)
    spread: npt.NDArray[np.float64] = np.sqrt(share * (1 - share) / np.maximum(size, 1) * left)
    return spread


def _spread(
    name: str, levels: list[Any], level: Codes, part: Codes, patients: pd.DataFrame, parts: Any
) -> pd.DataFrame:
    weights = {"patients": None} | {n: patients[n].to_numpy() for n in ("breasts", "images")}
    counted = {n: _counts(level, part, len(parts), w) for n, w in weights.items()}
    present = np.flatnonzero(counted["patients"].sum(axis=1))
    rows = {n: values[present].ravel().astype(np.int64) for n, values in counted.items()}
    frame = pd.DataFrame(rows)
    frame.insert(0, "fold", np.tile(np.asarray(parts, dtype=object), len(present)))
    frame.insert(0, "level", np.repeat([str(levels[one]) for one in present], len(parts)))
    frame.insert(0, "attribute", name)
    return frame


def _with_differences(table: pd.DataFrame, tolerance_sd: float, chance_sd: float) -> pd.DataFrame:
    whole = table[table["attribute"] == "all"].set_index("fold")["patients"]
    total = float(whole.sum())
    size = table["fold"].map(whole).to_numpy(float)
    share = table.groupby(["attribute", "level"])["patients"].transform("sum").to_numpy() / total
    inside = table["patients"].to_numpy() / size
    spread = np.sqrt(share * (1 - share))
    chance = _chance(share, size, total)
    difference = inside - share
    allowed = np.maximum.reduce([tolerance_sd * spread, chance_sd * chance, 1 / size])
    return table.assign(
        share_in_fold=inside,
        share_overall=share,
        difference_pp=100 * difference,
        difference_sd=np.divide(difference, spread, out=np.zeros(len(table)), where=spread > 0),
        chance_pp=100 * chance,
        allowed_pp=100 * allowed,
    )
