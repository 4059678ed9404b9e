"""Differences between runs inside subgroups, adjusted over all pairs and subgroups."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mammo.appraisal.compare import Comparison
from mammo.appraisal.evaluate import to_rows
from mammo.appraisal.groups import unit_groups
from mammo.evaluation.battery import Rows
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES, Interval
from mammo.evaluation.delong import AucComparison, delong_test
from mammo.evaluation.metrics import auc_interval
from mammo.evaluation.paired import holm
from mammo.evaluation.subgroups import MIN_PATIENTS
from mammo.explore.sentences import p_value


@dataclass(frozen=True)
class GroupDifference:
    """One subgroup: the AUC of each run, and the pair that differs most surely in it.

    ``aucs`` is empty and ``pair`` None where a class has fewer than
    `mammo.evaluation.subgroups.MIN_PATIENTS` patients.
    """

    attribute: str
    name: str
    patients: int
    positive_patients: int
    aucs: dict[str, Interval]
    pair: tuple[str, str] | None = None
    difference: AucComparison | None = None
    p_holm: float | None = None

    @property
    def sentence(self) -> str:
        """The difference in words."""
        assert self.pair is not None and self.difference is not None and self.p_holm is not None
        a, b = self.pair
        better, worse = (b, a) if self.difference.difference > 0 else (a, b)
        return (
            f"Most surely in {self.attribute} {self.name}: {better} is better than {worse} by "
            f"{abs(self.difference.difference):.3f} of AUC ({p_value(self.p_holm)}, Holm)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def compare_groups(
    found: Comparison, resamples: int = DEFAULT_RESAMPLES // 2
) -> list[GroupDifference]:
    """Return the subgroups of the comparison's level, attribute by attribute.

    A subgroup's difference is tested in closed form (Obuchowski's extension of
    DeLong's test to several rows a patient).
    """
    names = list(found.evaluations)
    tables = {
        name: one.units[found.level].set_index("unit").sort_index()
        for name, one in found.evaluations.items()
    }
    rows = {name: to_rows(table) for name, table in tables.items()}
    tested: list[GroupDifference] = []
    p_values: list[float] = []
    own: list[int] = []
    for group in unit_groups(tables[names[0]].reset_index()):
        inside = {name: one.at(group.inside) for name, one in rows.items()}
        one, p_of_pairs = _compare_group(group.attribute, group.name, inside, resamples)
        own += [len(tested)] * len(p_of_pairs)
        p_values += p_of_pairs
        tested.append(one)
    adjusted = holm(p_values) if p_values else []
    best: dict[int, float] = {}
    for place, p in zip(own, adjusted, strict=True):
        best[place] = min(p, best.get(place, 1.0))
    return [replace(one, p_holm=best.get(place)) for place, one in enumerate(tested)]


def _compare_group(
    attribute: str, name: str, inside: dict[str, Rows], resamples: int
) -> tuple[GroupDifference, list[float]]:
    first = next(iter(inside.values()))
    patients = len(np.unique(first.patients))
    positive = len(np.unique(first.patients[first.labels]))
    negative = len(np.unique(first.patients[~first.labels]))
    if min(positive, negative) < MIN_PATIENTS:
        return GroupDifference(attribute, name, patients, positive, {}), []
    aucs = {
        run: auc_interval(one.labels, one.scores, one.patients, resamples=resamples)
        for run, one in inside.items()
    }
    pairs = {
        (a, b): delong_test(first.labels, inside[a].scores, inside[b].scores, first.patients)
        for a, b in itertools.combinations(inside, 2)
    }
    widest = min(pairs, key=lambda pair: (pairs[pair].p_value, -abs(pairs[pair].difference)))
    return (
        GroupDifference(attribute, name, patients, positive, aucs, widest, pairs[widest]),
        [one.p_value for one in pairs.values()],
    )
