"""Two to eight releases on the same exams: which is better, by how much, and how surely.

    found = compare_runs(read_runs(settings, ["r-20261122-1a2b3c4d", "r-20261123-5e6f7a8b"]))
    found.pairs[0].difference("auc")      # AUC b - a, interval, p values
    found.sentences                       # what follows from the numbers

Only exams that every run scored and none was trained on are compared, on the
same resampled patients. p values are adjusted by Holm over the pairs, metric by
metric.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pandas as pd

from mammo.appraisal.compare_runs import ComparedRun
from mammo.appraisal.differences import PairedComparison, paired_differences
from mammo.appraisal.evaluate import Evaluation, evaluate_scores
from mammo.appraisal.evaluate_words import is_phantoms
from mammo.appraisal.levels import require_level
from mammo.appraisal.scores import OUT_OF_FOLD, UNTOUCHED, pick_part
from mammo.errors import NotComparable
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES
from mammo.evaluation.paired import PairedDifference, holm

TOLD = ("auc", "sensitivity_at_specificity_90", "average_precision", "brier")
"""Metrics whose differences are shown of every pair."""


@dataclass(frozen=True)
class Selection:
    """Which exams were compared, and why others were not.

    ``unscored`` counts by run its exams that some other did not score, or scored by other
    images; ``trained_on`` the exams that were left out because a run was trained on their patient.
    """

    part: str
    exams: int
    trained_on: int
    unscored: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return dict(vars(self))


@dataclass(frozen=True)
class Pair:
    """Run b beside run a: the differences b - a, and their p values adjusted over the pairs."""

    a: str
    b: str
    comparison: PairedComparison
    p_holm: dict[str, float] = field(default_factory=dict)

    def difference(self, metric: str) -> PairedDifference:
        """Return one metric's difference."""
        return self.comparison.difference(metric)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "a": self.a, "b": self.b, "p_holm_over_pairs": self.p_holm,
            **self.comparison.to_dict(),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that was compared; ``evaluations`` by run, in the order named."""

    runs: tuple[ComparedRun, ...]
    selection: Selection
    level: str
    evaluations: dict[str, Evaluation]
    pairs: tuple[Pair, ...]
    phantoms: bool

    def letter(self, name: str) -> str:
        """Return A, B, ... for a run, in the order named: what tables and legends call it."""
        return "ABCDEFGH"[list(self.evaluations).index(name)]

    def between(self, pair: Pair) -> str:
        """Return ``B − A`` for a pair."""
        return f"{self.letter(pair.b)} − {self.letter(pair.a)}"

    def table(self) -> pd.DataFrame:
        """Return one row a run: its main metrics with their bounds, best AUC first."""
        rows = []
        for name, found in self.evaluations.items():
            row: dict[str, Any] = {"run": name, "called": self.letter(name)}
            for metric in TOLD:
                one = found.main.metrics[metric].interval
                row |= {metric: one.value, f"{metric}_low": one.low, f"{metric}_high": one.high}
            rows.append(row)
        return pd.DataFrame(rows).set_index("run").sort_values("auc", ascending=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "runs": [one.name for one in self.runs],
            "target": self.runs[0].release.target,
            "level": self.level,
            "phantoms": self.phantoms,
            "selection": self.selection.to_dict(),
            "evaluations": {name: one.to_dict() for name, one in self.evaluations.items()},
            "pairs": [one.to_dict() for one in self.pairs],
        }


def compare_runs(
    runs: Sequence[ComparedRun],
    *,
    part: str = UNTOUCHED,
    level: str = "breast",
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare runs of one target (`read_runs`) on the exams that they share.

    ``part`` is one of `mammo.appraisal.scores.PARTS`; out_of_fold compares what
    the folds' networks said, each of patients that it was not trained on.

    Raises
    ------
    NotComparable
        No exam is left, or the runs know different outcomes of one.
    LevelUnknown, PartUnknown, TooFewLabels
        As `evaluate_scores`.
    """
    require_level(level)
    tables, selection = select_exams(runs, part)
    evaluations = {
        run.name: evaluate_scores(
            table, run.release.operating_points, level=level, resamples=resamples, seed=seed
        )
        for run, table in zip(runs, tables, strict=True)
    }
    pairs = [
        Pair(
            a.name, b.name,
            paired_differences(
                first, second, a.release.operating_points, b.release.operating_points,
                level=level, resamples=resamples, seed=seed,
            ),
        )
        for (a, first), (b, second) in itertools.combinations(zip(runs, tables, strict=True), 2)
    ]  # fmt: skip
    phantoms = any(
        is_phantoms(table, run.release.trained_on) for run, table in zip(runs, tables, strict=True)
    )
    return Comparison(tuple(runs), selection, level, evaluations, tuple(_adjusted(pairs)), phantoms)


def select_exams(runs: Sequence[ComparedRun], part: str) -> tuple[list[pd.DataFrame], Selection]:
    """Return each run's scores of the exams that all scored and none was trained on."""
    picked = [pick_part(run.scores, part) for run in runs]
    known = [table[table["label"].notna()] for table in picked]
    scored = [set(table["exam_id"]) for table in known]
    shared = reduce(set.intersection, scored) - _of_other_images(known)
    trained: frozenset[str] = frozenset()
    if part != OUT_OF_FOLD:  # there each score is of a network that did not see the patient
        trained = trained.union(*(run.trained for run in runs))
    seen = {
        exam for table in known for exam in table.loc[table["patient_id"].isin(trained), "exam_id"]
    }
    kept = shared - seen
    if not kept:
        raise NotComparable(
            f"no exam of part {part} was scored by all {len(runs)} runs and is of a patient that "
            f"none was trained on: {len(shared):,} were scored by all, "
            f"{len(shared & seen):,} of them trained on by one"
        )
    tables = [table[table["exam_id"].isin(kept)].reset_index(drop=True) for table in picked]
    unscored = {run.name: len(exams - shared) for run, exams in zip(runs, scored, strict=True)}
    return tables, Selection(part, len(kept), len(shared & seen), unscored)


def _of_other_images(tables: Sequence[pd.DataFrame]) -> set[str]:
    """Return the exams of which one run judged images that another did not."""
    keys = ["exam_id", "laterality", "image_id", "pooled"]
    judged = [set(table[keys].itertuples(index=False, name=None)) for table in tables]
    by_all = judged[0].intersection(*judged[1:])
    return {row[0] for one in judged for row in one - by_all}


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    """Adjust each metric's p values over the pairs."""
    names = [one.metric for one in pairs[0].comparison.differences]
    by_metric = {name: holm([pair.difference(name).p_value for pair in pairs]) for name in names}
    return [
        Pair(pair.a, pair.b, pair.comparison, {name: by_metric[name][place] for name in names})
        for place, pair in enumerate(pairs)
    ]
