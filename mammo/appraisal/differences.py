"""Two tables of scores of the same breasts (or exams, ...): what differs, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mammo.appraisal.evaluate import plural, to_rows
from mammo.appraisal.levels import require_level, to_levels
from mammo.errors import ScoresInvalid
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES
from mammo.evaluation.draws import PatientDraws
from mammo.evaluation.metrics import require_classes
from mammo.evaluation.paired import PairedDifference, compare_rows
from mammo.exam import OperatingPoint

Points = Mapping[str, OperatingPoint]


@dataclass(frozen=True)
class PairedComparison:
    """Models a and b on the units that both scored; ``left_out`` counts units of one alone."""

    level: str
    units: int
    patients: int
    positive_patients: int
    left_out: int
    differences: tuple[PairedDifference, ...]

    def difference(self, metric: str) -> PairedDifference:
        """Return one metric's difference; KeyError names those there are."""
        found = {one.metric: one for one in self.differences}
        if metric not in found:
            raise KeyError(f"no metric {metric!r}; found {', '.join(found)}")
        return found[metric]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return vars(self) | {"differences": [one.to_dict() for one in self.differences]}


def paired_differences(
    scores_a: pd.DataFrame,
    scores_b: pd.DataFrame,
    points_a: Points | None = None,
    points_b: Points | None = None,
    *,
    level: str = "breast",
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    """Compare model b with model a on the units that both scored.

    Both tables as `check_scores` returns them, operating points as
    `evaluate_scores` takes them.

    Raises
    ------
    ScoresInvalid
        They share no unit, or disagree on an outcome.
    TooFewLabels
        A class is missing among the shared units.
    """
    require_level(level)
    a = to_levels(scores_a, points_a)[level].set_index("unit")
    b = to_levels(scores_b, points_b)[level].set_index("unit")
    shared = a.index.intersection(b.index, sort=False)
    if shared.empty:
        raise ScoresInvalid(
            f"the two tables share no {level}: found {len(a):,} and {len(b):,} {plural(level)}; "
            "compare scores of the same part and the same data"
        )
    left_out = len(a) + len(b) - 2 * len(shared)
    a, b = a.loc[shared], b.loc[shared]
    differ = int((a["label"] != b["label"]).sum())
    if differ:
        raise ScoresInvalid(
            f"the two tables disagree on the outcome of {differ} of {len(shared):,} "
            f"{plural(level)}: score both again on the same data version"
        )
    labels = a["label"].to_numpy(bool)
    require_classes(labels, what=plural(level))
    draws = PatientDraws.of(a["patient_id"], labels, resamples=resamples, seed=seed)
    found = compare_rows(to_rows(a), to_rows(b), draws)
    return PairedComparison(
        level, len(shared), len(draws.patients), int(draws.positive.sum()), left_out, tuple(found)
    )
