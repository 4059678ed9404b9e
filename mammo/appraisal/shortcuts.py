"""Does anything but the breast tell the outcome, and does the model listen to it?

Two questions, each with a number:

(a) *of the data*: the AUC of the outcome by a small model that sees one shortcut
    and nothing else, cross-validated by patient;
(b) *of the model*: how far its logits move, and its AUC falls, when the shortcut
    is taken away or planted.

(a) says what could be learnt, (b) what was. One row is one mammogram, labelled
as its breast; intervals resample patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.appraisal.shortcut_changes import CHANGES, Change, without_lesions
from mammo.appraisal.shortcut_readings import READINGS, Reading, Views, read_numbers
from mammo.errors import TooFewLabels
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.metrics import auc_interval, paired_auc_difference, roc_auc

Score = Callable[[NDArray[np.uint16]], NDArray[np.float64]]
"""Prepared pixels (N, H, W) uint16 to logits (N,)."""

FOLDS, REPEATS, RESAMPLES = 5, 3, 1000
MIN_PATIENTS = 5
"""Of either class: five folds, each with one. Small sets have wide intervals, not wrong ones."""
TREES_FROM = 400
"""Rows from which gradient boosting replaces a logistic regression."""
BETRAYS = 0.55
"""The data betray the outcome when the interval of the shortcut's AUC lies above this."""
MAX_MOVE_SD = 0.5
"""Mean distance by which a judged change may move logits, in their standard deviations."""
MAX_LOSS = 0.02
"""A judged change must not be shown to cost more AUC: its interval below minus this fails."""


@dataclass(frozen=True)
class ShortcutAlone:
    """What one shortcut tells by itself: ``betrays`` when it must not and does."""

    name: str
    anatomy: bool
    numbers: int
    auc: Interval
    betrays: bool


@dataclass(frozen=True)
class ScoreChange:
    """What one change does to a model's logits.

    ``moved_sd`` is the mean of their absolute change and ``shift_sd`` of the
    signed one, in standard deviations of the unchanged logits, over the images
    changed; ``difference`` is the AUC afterwards minus before.
    """

    name: str
    judged: bool
    images: int
    moved_sd: float
    shift_sd: float
    auc_before: float
    auc_after: float
    difference: Interval
    passed: bool


@dataclass(frozen=True)
class ShortcutStudy:
    """Both tables; ``passed`` when no judged change moved the model beyond its limits."""

    images: int
    patients: int
    positive: int
    alone: tuple[ShortcutAlone, ...]
    changes: tuple[ScoreChange, ...] = ()

    @property
    def passed(self) -> bool:
        """True when the model uses none of the shortcuts that were tried."""
        return all(one.passed for one in self.changes)

    @property
    def betrayed(self) -> tuple[str, ...]:
        """The shortcuts that tell the outcome although they must not."""
        return tuple(one.name for one in self.alone if one.betrays)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self) | {"passed": self.passed, "betrayed": list(self.betrayed)}


def study_shortcuts(
    views: Views,
    score: Score | None = None,
    *,
    readings: Sequence[Reading] = READINGS,
    changes: Sequence[Change] = CHANGES,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> ShortcutStudy:
    """Answer (a) and, with ``score``, (b).

    Raises TooFewLabels with fewer than `MIN_PATIENTS` patients of either class.
    """
    _require_patients(views)
    tell = progress or (lambda name: None)
    alone = []
    for one in _with_lesions_painted_out(readings, views):
        tell(one.name)
        alone.append(measure_alone(one, views, seed))
    done: list[ScoreChange] = []
    if score is not None:
        before = score(views.pixels)
        for change in changes:
            tell(change.name)
            found = measure_change(change, views, score, before, seed)
            done += [found] if found is not None else []
    return ShortcutStudy(
        len(views.labels), len(np.unique(views.patients)), int(views.labels.sum()),
        tuple(alone), tuple(done),
    )  # fmt: skip


def _with_lesions_painted_out(readings: Sequence[Reading], views: Views) -> list[Reading]:
    bare = without_lesions(views)
    if bare is None:
        return list(readings)
    name = "six numbers, lesions painted out"
    return [*readings, Reading(name, lambda _: read_numbers(bare), anatomy=True)]


def measure_alone(reading: Reading, views: Views, seed: int = 0) -> ShortcutAlone:
    """Return the AUC of the outcome from one reading alone, out of fold, by patient."""
    frame = reading.read(views)
    scores = out_of_fold(frame, views.labels, views.patients, seed)
    auc = auc_interval(views.labels, scores, views.patients, resamples=RESAMPLES, seed=seed)
    betrays = not reading.anatomy and auc.low > BETRAYS
    return ShortcutAlone(reading.name, reading.anatomy, frame.shape[1], auc, betrays)


def out_of_fold(
    frame: pd.DataFrame, labels: NDArray[np.bool_], patients: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    """Return scores (rows,), each by a model that did not see the patient.

    Standardised numbers in a balanced logistic regression, or gradient boosting
    from `TREES_FROM` rows on; the mean of `REPEATS` shuffles of five folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    values = frame.astype(float).fillna(frame.astype(float).median()).fillna(0.0).to_numpy()
    scores = np.zeros(len(labels))
    for repeat in range(REPEATS):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        for fitted, held in folds.split(values, labels, patients):
            model = _small_model(len(labels), seed).fit(values[fitted], labels[fitted])
            # balanced classes: a fold's own share of positives must not rank its rows
            scores[held] += model.predict_proba(values[held])[:, 1]
    return scores / REPEATS


def _small_model(rows: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if rows >= TREES_FROM:
        return HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=60, max_depth=3, min_samples_leaf=20,
            l2_regularization=5.0, early_stopping=False, class_weight="balanced",
            random_state=seed,
        )  # fmt: skip
    regression = LogisticRegression(C=0.3, max_iter=500, class_weight="balanced")
    return make_pipeline(StandardScaler(), regression)


def measure_change(
    change: Change, views: Views, score: Score, before: NDArray[np.float64], seed: int = 0
) -> ScoreChange | None:
    """Return what the change does to the logits ``before`` (N,); None where it does not apply."""
    pixels = change.make(views)
    if pixels is None:
        return None
    touched = (pixels != views.pixels).any((1, 2))
    after = before.copy()
    if touched.any():
        after[touched] = score(pixels[touched])
    spread = float(before.std()) or 1.0
    moves = (after - before)[touched] / spread if touched.any() else np.zeros(1)
    found = paired_auc_difference(
        views.labels, before, after, views.patients, resamples=RESAMPLES, seed=seed
    )
    auc = roc_auc(views.labels, before)
    moved = float(np.abs(moves).mean())
    passed = not change.judged or (moved <= MAX_MOVE_SD and found.high >= -MAX_LOSS)
    return ScoreChange(
        change.name, change.judged, int(touched.sum()), moved, float(moves.mean()),
        auc, auc + found.value, found, passed,
    )  # fmt: skip


def _require_patients(views: Views) -> None:
    found = [len(np.unique(views.patients[views.labels == kind])) for kind in (True, False)]
    if min(found) < MIN_PATIENTS:
        raise TooFewLabels(
            f"found {found[0]} patients with a positive image and {found[1]} with a negative one; "
            f"{MIN_PATIENTS} of each are needed to look for shortcuts"
        )
