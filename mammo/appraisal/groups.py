"""Which subgroups a table of units falls into: age, density, scanner, site, implant, ..."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mammo.appraisal.evaluate import Evaluation, to_rows
from mammo.evaluation.subgroups import (
    METRICS,
    Group,
    GroupMetric,
    SubgroupResult,
    adjusted,
    judge_groups,
)

NOT_STATED = "not stated"
AGE_BANDS = ((40, "under 40"), (50, "40 to 49"), (60, "50 to 59"), (70, "60 to 69"))
OLDEST = "70 and over"
FINDING, VIEW = "finding type", "view"
COLUMNS = {
    "age": "age_years", "density": "density", "scanner": "scanner", "site": "site",
    "implant": "implant", "source": "source",
}  # fmt: skip
"""Attribute -> column of a level's units."""
MOST_LEVELS = 12


def evaluate_groups(evaluation: Evaluation) -> list[SubgroupResult]:
    """Return the subgroups of the evaluation's level, Holm-adjusted over all of them.

    Views are compared at image level, since a breast has several; finding types
    compare the cancers that show one against all without cancer. An attribute
    that has one level alone is left out: there is nothing to compare.
    """
    units = evaluation.units[evaluation.level]
    found = judge_groups(
        to_rows(units), list(unit_groups(units)), evaluation.draws, evaluation.level
    )
    images = evaluation.units["image"]
    views = list(_groups_of(VIEW, images["view"].fillna(NOT_STATED).astype(str)))
    found += judge_groups(to_rows(images), views, evaluation.draws, "image")
    return adjusted(found)


def unit_groups(units: pd.DataFrame) -> Iterable[Group]:
    """Yield the groups of a level's units, attribute by attribute."""
    for attribute, column in COLUMNS.items():
        yield from _groups_of(attribute, level_names(attribute, units[column]))
    yield from _finding_groups(units)


def level_names(attribute: str, values: pd.Series) -> pd.Series:
    """Return each unit's level of an attribute as text; what is missing is `NOT_STATED`."""
    if attribute == "age":
        return values.map(age_band)
    if attribute == "implant":
        names = {True: "implant", False: "no implant"}
        return values.map(lambda v: NOT_STATED if pd.isna(v) else names[bool(v)])
    texts = values.astype(object).where(values.notna(), NOT_STATED).astype(str)
    return texts.where(texts.str.strip() != "", NOT_STATED)


def age_band(age_years: float) -> str:
    """Return ``50 to 59`` for 53; `NOT_STATED` for NaN."""
    if pd.isna(age_years):
        return NOT_STATED
    return next((name for below, name in AGE_BANDS if age_years < below), OLDEST)


def _groups_of(attribute: str, names: pd.Series) -> Sequence[Group]:
    levels = names.value_counts()
    if len(levels) < 2:
        return ()
    kept = sorted(levels.index[:MOST_LEVELS], key=_reading_order)
    values = names.to_numpy(str)
    return [Group(attribute, name, values == name, values != name) for name in kept]


def _finding_groups(units: pd.DataFrame) -> Sequence[Group]:
    """Return a group per kind of finding: positives that show it, and every negative."""
    positive = units["label"].to_numpy(bool)
    texts = units["kinds"].where(units["kinds"] != "", "no finding marked").to_numpy(str)
    of_unit = [set(text.split("|")) for text in texts]
    kinds = sorted(
        {kind for kinds, y in zip(of_unit, positive, strict=True) if y for kind in kinds}
    )
    if len(kinds) < 2:
        return ()
    groups = []
    for kind in kinds[:MOST_LEVELS]:
        shows = np.array([kind in kinds for kinds in of_unit])
        name = kind.replace("_", " ")
        groups.append(Group(FINDING, name, ~positive | shows, ~positive | ~shows))
    return groups


def _reading_order(name: str) -> tuple[int, str]:
    """Sort as a reader expects: under 40 first, what is not stated last."""
    return (2 if name == NOT_STATED else 0 if name == AGE_BANDS[0][1] else 1, name)


def with_total(results: Sequence[SubgroupResult], evaluation: Evaluation) -> list[SubgroupResult]:
    """Put the total of the evaluation's level before its subgroups."""
    main = evaluation.main
    metrics = {name: GroupMetric(main.metrics[name].interval) for name in METRICS}
    counts = main.counts
    total = SubgroupResult(
        "all", "all", evaluation.level, counts["units"], counts["patients"],
        counts["positive_units"], counts["positive_patients"], metrics,
    )  # fmt: skip
    return [total, *results]
