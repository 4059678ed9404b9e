"""What a retraining won back, on exams that neither release has learnt from.

    found = measure_recovery(settings, before_dir, after_dir, "Phantom Draco/Wyvern X")
    found.share.value      # of the AUC that the new scanner cost, how much is back

The AUC lost is that of the old release on the scanners it knows less that on the new
scanner; what is won back is the new release's AUC there less the old one's. The exams are
those of the index with an outcome whose patients were in no part of either release.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.fit import labelled_index
from mammo.continual.judged_scores import JudgedScores
from mammo.continual.split import known_parts
from mammo.data.index import target_values
from mammo.errors import TooFewLabels
from mammo.evaluation.bootstrap import Interval, bootstrap_draws, percentile_bounds
from mammo.evaluation.metrics import (
    auc_interval,
    auc_statistic,
    paired_auc_difference,
    recall_rate_interval,
    require_classes,
)
from mammo.release import Release
from mammo.settings import Settings

LEAST_LOSS = 0.01
"""An AUC that fell by less has lost nothing that could be told from chance; no share of it."""


@dataclass(frozen=True)
class Recovery:
    """AUCs of two releases, 95 % intervals by patient; see the module.

    ``share`` is None where the old release had lost less than `LEAST_LOSS`. ``old_change`` is
    the new release's AUC less the old one's on the known scanners, on the same exams.
    ``recall`` is the new release's recall rate on the new scanner, ``target`` what its
    operating point aims at (None: at another figure).
    """

    known: Interval
    lost: Interval
    won: Interval
    share: Interval | None
    old_change: Interval
    recall: Interval
    target: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def measure_recovery(settings: Settings, before: Path, after: Path, scanner: str) -> Recovery:
    """Compare the release ``after`` with the one ``before``, for the new ``scanner``.

    Raises TooFewLabels where either kind of scanner lacks unseen exams of a class.
    """
    target = Release.read(before).target
    rows = _unseen(labelled_index(settings), target, (before, after))
    new = rows["scanner"] == scanner
    if new.all() or not new.any():
        raise TooFewLabels(
            f"found {int(new.sum())} unseen labelled images of {scanner} and {int((~new).sum())} "
            "of other scanners; both are needed. Ingest exams that were in no training."
        )
    old, won = (
        JudgedScores(settings, one, rows[~new], rows[new], target) for one in (before, after)
    )
    assert old.newest is not None and won.newest is not None
    point = won.release.operating_point(scanner)
    return compare(old.golden, won.golden, old.newest, won.newest, point.target_recall_rate)


def _unseen(index: pd.DataFrame, target: str, releases: tuple[Path, ...]) -> pd.DataFrame:
    seen = {patient for one in releases for patient in known_parts(one)}
    labelled = target_values(index, target).notna()
    return index[labelled & ~index["patient_id"].isin(seen)]


def compare(
    old_known: pd.DataFrame,
    new_known: pd.DataFrame,
    old_new: pd.DataFrame,
    new_new: pd.DataFrame,
    target_recall_rate: float | None,
) -> Recovery:
    """Compare exams as `score_exams` gives them: both releases on known and new scanners."""
    for one in (old_known, old_new):
        require_classes(_labels(one), 2, "exams")
    who, label = old_known["patient_id"], _labels(old_known)
    return Recovery(
        known=_auc(old_known),
        lost=_auc(old_new),
        won=_auc(new_new),
        share=_share(old_known, old_new, new_new),
        old_change=paired_auc_difference(label, old_known["logit"], new_known["logit"], who),
        recall=recall_rate_interval(new_new["recall"].astype(bool), new_new["patient_id"]),
        target=target_recall_rate,
    )


def _labels(exams: pd.DataFrame) -> np.ndarray:
    return exams["label"].astype(int).to_numpy().astype(bool)


def _auc(exams: pd.DataFrame) -> Interval:
    return auc_interval(_labels(exams), exams["logit"], exams["patient_id"])


def _share(known: pd.DataFrame, lost: pd.DataFrame, won: pd.DataFrame) -> Interval | None:
    """Return (won - lost) / (known - lost); the new scanner's exams are drawn together.

    A resample that loses less than `LEAST_LOSS` counts as if it had lost so much, so that
    no share is made of chance; the interval is wide where little was lost.
    """
    draws = [_draws(one, seed) for one, seed in ((known, 1), (lost, 2), (won, 2))]
    values = [_auc(one).value for one in (known, lost, won)]
    if values[0] - values[1] < LEAST_LOSS:
        return None
    drawn = (draws[2] - draws[1]) / np.maximum(draws[0] - draws[1], LEAST_LOSS)
    patients, positive = len(lost), int(_labels(lost).sum())
    low, high = percentile_bounds(drawn, min(positive, patients - positive), 0.95)
    value = (values[2] - values[1]) / (values[0] - values[1])
    return Interval(value, low, high, patients, positive)


def _draws(exams: pd.DataFrame, seed: int) -> np.ndarray:
    labels = _labels(exams)
    statistic = auc_statistic(labels, exams["logit"].to_numpy())
    return bootstrap_draws(exams["patient_id"], statistic, labels=labels, seed=seed)
