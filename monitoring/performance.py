"""The slow arm: what outcomes say about the release's AUC.

Exams whose outcome is known are joined with their latest score; the AUC has a
patient-bootstrap interval. It is compared with the AUC of the release's
reference, whose own error counts too. Outcomes arrive one by one and the
comparison is made again and again, so a look is taken only when the number of
cancers has grown by half, and look number i may err with probability
``auc_level * 6 / (pi * i)**2``: over all looks together at most ``auc_level``.

Verification bias: where only recalled women are assessed, the AUC of what is known is
another one, and nothing is compared (`evenly_told`); the control of outcomes
(`monitoring.outcome_control`) then has the word. Where all have an outcome but cancers not
recalled are known late, the AUC is too good: a loss is found late, never invented.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mammo.evaluation.bootstrap import Interval, bootstrap_draws, patient_counts
from mammo.evaluation.metrics import auc_interval, auc_statistic
from monitoring.config import MonitorConfig
from monitoring.outcomes import OutcomeReport

GROWTH = 1.5
"""A new look needs this many times the cancers of the look before."""


EVEN = 0.8
"""How often, relative to the recalled, the others must have an outcome for an AUC of both."""


@dataclass(frozen=True)
class Performance:
    """AUC of the exams with a known outcome, beside the reference's.

    ``loss`` is decided only on a look; ``upper`` is then the upper bound of
    (AUC now - AUC of the reference). ``looks`` is the state to keep.
    """

    exams: int = 0
    positives: int = 0
    auc: Interval | None = None
    reference: Interval | None = None
    upper: float | None = None
    loss: bool = False
    note: str = ""
    looks: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            "exams": self.exams,
            "positives": self.positives,
            "auc": self.auc.to_dict() if self.auc else None,
            "reference": self.reference.to_dict() if self.reference else None,
            "upper": self.upper,
            "loss": self.loss,
            "note": self.note,
        }


def measure_performance(
    labelled: pd.DataFrame,
    reference: pd.DataFrame,
    looks: dict[str, int],
    config: MonitorConfig,
    exams: pd.DataFrame | None = None,
) -> Performance:
    """Return the AUC of ``labelled`` exams, and whether it is below the reference's.

    Both frames have logit, cancer and patient_id; in ``reference`` cancer may be null.
    ``looks`` is {"looks", "positives"} of the look before, or empty. ``exams`` are all
    exams that were scored, if it is to be seen whether outcomes are `evenly_told`.
    """
    positives = int(labelled["cancer"].sum()) if len(labelled) else 0
    others = len(labelled) - positives
    found = Performance(exams=len(labelled), positives=positives, looks=looks)
    if exams is not None and not evenly_told(labelled, exams):
        return replace(
            found,
            note="Women who were not recalled have an outcome far less often than those who were: "
            "an AUC of all of them is not known yet.",
        )
    if min(positives, others) < config.min_positives:
        return replace(
            found,
            note=f"{positives} cancers and {others} others have an outcome; "
            f"{config.min_positives} of each are needed.",
        )
    found = replace(found, auc=_interval(labelled, config))
    known = _with_outcome(reference)
    if known is None:
        return replace(found, note="The release's reference has no outcomes.")
    found = replace(found, reference=_interval(known, config))
    if positives < GROWTH * looks.get("positives", 0):
        return replace(found, note="Too few new cancers to look again.")
    return _look(found, labelled, known, config)


def evenly_told(labelled: pd.DataFrame, exams: pd.DataFrame) -> bool:
    """True where exams not recalled have an outcome about as often as those recalled.

    Both frames have exam_id and recall (bool). Where only recalled women are assessed, the
    AUC of what is known is that of high scores alone: lower, though nothing was lost.
    """
    if labelled.empty:
        return True
    told = exams["exam_id"].isin(labelled["exam_id"])
    recalled = exams["recall"].astype(bool)
    if not recalled.any() or recalled.all():
        return True
    return bool(told[~recalled].mean() >= EVEN * told[recalled].mean())


def _look(
    found: Performance, labelled: pd.DataFrame, known: pd.DataFrame, config: MonitorConfig
) -> Performance:
    assert found.auc is not None
    assert found.reference is not None
    number = found.looks.get("looks", 0) + 1
    difference = found.auc.value - found.reference.value
    upper = _upper_bound(labelled, known, difference, number, config)
    return replace(
        found,
        upper=upper,
        loss=upper < -config.auc_margin,
        looks={"looks": number, "positives": found.positives},
    )


def _with_outcome(reference: pd.DataFrame) -> pd.DataFrame | None:
    if "cancer" not in reference:
        return None
    known = reference[reference["cancer"].notna()]
    known = known.assign(cancer=known["cancer"].astype(bool))
    return known if known["cancer"].nunique() == 2 else None


def _interval(frame: pd.DataFrame, config: MonitorConfig) -> Interval:
    return auc_interval(
        frame["cancer"].to_numpy(),
        frame["logit"].to_numpy(),
        frame["patient_id"].to_numpy(),
        resamples=config.bootstrap,
        seed=config.seed,
    )


def _upper_bound(
    now: pd.DataFrame, before: pd.DataFrame, difference: float, look: int, config: MonitorConfig
) -> float:
    errors, scarce = [], []
    for frame in (now, before):
        labels = frame["cancer"].to_numpy(dtype=bool)
        patients = frame["patient_id"].to_numpy()
        statistic = auc_statistic(labels, frame["logit"].to_numpy())
        draws = bootstrap_draws(
            patients, statistic, labels=labels, resamples=config.bootstrap, seed=config.seed
        )
        errors.append(float(np.nanstd(draws)))
        total, positive = patient_counts(patients, labels)
        scarce.append(max(2, min(positive, total - positive)))
    level = config.auc_level * 6 / (np.pi * look) ** 2
    return difference + float(
        stats.t.ppf(1 - level, min(scarce) - 1) * np.hypot(errors[0], errors[1])
    )


def summarise(outcomes: OutcomeReport) -> dict[str, Any]:
    """Return what `Performance.to_dict` told, from the figures of the longest maturity reached.

    Unlike the AUC of whatever has an outcome, which at first are the recalled women only
    (their AUC is far lower, though nothing was lost), it compares what is comparable.
    """
    best = next((one for one in reversed(outcomes.maturity) if one["auc"]), None)
    reference = (outcomes.reference or {}).get("auc")
    return {
        "exams": best["exams"] if best else 0,
        "positives": best["cancers"] if best else 0,
        "auc": best["auc"] if best else None,
        "reference": reference,
        "upper": None,
        "loss": outcomes.findings.rank_confirmed,
        "note": best["assumes"] if best else "No exam is old enough for an AUC by outcomes.",
    }
