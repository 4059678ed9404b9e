"""How an evaluation's numbers become sentences; every one follows from the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammo.appraisal.evaluate import Evaluation, LevelEvaluation, plural
from mammo.appraisal.metric_names import show, show_bounds, show_value
from mammo.appraisal.scores import OUT_OF_FOLD
from mammo.data.sources.terms import names_phantoms
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.calibration import chance_calibration_error, expected_calibration_error
from mammo.exam import OperatingPoint
from mammo.explore.sentences import capital, count, listed, number

POSITIVES = {"cancer": "cancer", "abnormal": "an abnormality", "dense": "dense tissue"}
FEW_POSITIVES = 50
TOO_GOOD = 0.97
POWER = 2.8
"""Standard errors between two true values that a test of size 5% tells apart with power 80%."""
SCREENING = (0.004, 0.012)
"""Cancers per exam in screening programmes, roughly."""


@dataclass(frozen=True)
class Words:
    """What the sentences need to know besides the numbers.

    ``positive`` is what a positive outcome is; ``has_points`` whether a release's
    operating points decided; ``phantoms`` whether the scores are of phantoms;
    ``parts`` are mammograms by part.
    """

    positive: str
    has_points: bool
    phantoms: bool
    parts: Mapping[str, int]
    stated: float | None = None

    @property
    def prevalence(self) -> str:
        """``the stated prevalence of 0.78%``."""
        return f"the stated prevalence of {100 * (self.stated or 0):.3g}% of exams"

    @property
    def decided(self) -> str:
        """Where the decisions come from."""
        if self.has_points:
            return "at the release's operating points"
        return "at a probability of 0.5"

    def described(self, level: LevelEvaluation) -> str:
        """``400 breasts of 200 patients, 46 with cancer``, and phantoms where they are."""
        c = level.counts
        of = " (phantoms)" if self.phantoms else ""
        units = count(c["units"], level.level, plural(level.level))
        return (
            f"{units} of {count(c['patients'], 'patient')}{of}, "
            f"{number(c['positive_units'])} with {self.positive}"
        )


def is_phantoms(scores: pd.DataFrame, trained_on: str = "") -> bool:
    """True when the scores are of phantoms: their source, their scanner or the release says so."""
    texts = {str(one) for name in ("source", "scanner") for one in scores[name].dropna().unique()}
    return names_phantoms(trained_on, *texts)


def judged_sentences(found: Evaluation, words: Words) -> list[str]:
    """Say on whom the numbers rest."""
    exams = found.levels["exam"]
    share = exams.metrics["prevalence"].interval
    parts = [f"{name} ({number(rows)} mammograms)" for name, rows in words.parts.items()]
    curves = "" if found.main is exams else (
        f"; the curves and subgroups below are of {words.described(found.main)}"
    )  # fmt: skip
    told = [
        f"Judged are {words.described(exams)} ({show_bounds('prevalence', share)}){curves}.",
        f"Part: {found.part or 'all rows'}, which holds {listed(parts)}.",
    ]
    told += _left_out(found)
    told.append(
        "All intervals are 95% and resample patients with all their images "
        f"({number(found.draws.resamples)} resamples)."
    )
    return told


def _left_out(found: Evaluation) -> list[str]:
    reasons = {
        "whose outcome is unknown": found.unknown,
        "for which a preferred view of the breast stands": found.unpooled,
    }
    texts = [f"{count(n, 'mammogram')} {why}" for why, n in reasons.items() if n]
    return [f"Left out: {listed(texts)}."] if texts else []


def judged_warnings(found: Evaluation, words: Words) -> list[str]:
    """Say what makes the numbers weaker than they look, the worst first."""
    warnings = []
    if words.phantoms:
        warnings.append(
            "The scores are of phantoms: the numbers say that the system works, not how well the "
            "model reads mammograms of patients."
        )
    warnings += _part_warnings(found, words)
    auc = found.main.metrics["auc"].interval
    if auc.value >= TOO_GOOD:
        warnings.append(
            f"An AUC of {auc.value:.3f} is more than readers reach: treat it as a leak of the "
            "outcome until it is shown otherwise"
            + (" (phantoms' lesions can be that easy)." if words.phantoms else ".")
        )
    if not words.has_points:
        warnings.append(
            "No operating points were given: decisions are taken at sigmoid(logit) of 0.5 and say "
            "little. Name the release, whose points will be used."
        )
    return warnings


def _part_warnings(found: Evaluation, words: Words) -> list[str]:
    warnings = []
    if words.has_points and "holdout" in words.parts:
        warnings.append(
            "The holdout calibrated the scores and set the thresholds: its recall rate and "
            "calibration are right by construction. Of the golden part alone they are honest "
            "(--part golden)."
        )
    if OUT_OF_FOLD in words.parts:
        warnings.append(
            "Out-of-fold scores come from the networks of the cross-validation, not from the "
            "release: they tell what the recipe is worth; the release's thresholds fit them only "
            "roughly."
        )
    share = found.levels["exam"].metrics["prevalence"].interval.value
    of_cancer = words.positive == POSITIVES["cancer"]
    in_screening = ", in screening about 0.5 to 1%" if of_cancer else ""
    if found.prevalence is None and not SCREENING[0] <= share <= SCREENING[1]:
        warnings.append(
            f"{100 * share:.1f}% of these exams are positive{in_screening}: PPV, "
            "NPV, recall rate, detection per 1000, accuracy, F1, average precision, Brier score "
            "and calibration are of this mix. State a prevalence (--prevalence 0.0078) to have "
            "them corrected; AUC, sensitivity and specificity need no correction."
        )
    return warnings


def auc_sentences(found: Evaluation, words: Words) -> list[str]:
    """Say what the AUC is, what it rests on and what it cannot show."""
    main = found.main
    auc = main.metrics["auc"].interval
    unseen = POWER * _standard_error(auc)
    partial = main.metrics["partial_auc_specificity"].interval
    at_90 = main.metrics["sensitivity_at_specificity_90"].interval
    with_positive = f"{count(auc.n_positive, 'patient')} with {words.positive}"
    return [
        f"The AUC by {found.level} is {show('auc', auc)}. It rests on {with_positive}: a model "
        f"whose true AUC differs by less than {unseen:.2f} cannot be told from this one on them "
        f"(80% power; the paired test of two models sees smaller differences).{_chance(auc)}",
        "In the range where screening works, specificity 0.8 to 1, the standardised partial AUC "
        f"is {show('partial_auc_specificity', partial)}{_against_auc(partial, auc)}.",
        f"At a specificity of 90% the sensitivity is "
        f"{show('sensitivity_at_specificity_90', at_90)}, at a sensitivity of 90% the specificity "
        f"{_shown(main, 'specificity_at_sensitivity_90')}.",
        _levels_sentence(found),
    ]


def _chance(auc: Interval) -> str:
    if auc.low > 0.5:
        return ""
    if auc.high < 0.5:
        return " It is below 0.5: the scores run against the outcome; look for swapped labels."
    return " The interval holds 0.5: that the scores tell anything of the outcome is not shown."


def _against_auc(partial: Interval, auc: Interval) -> str:
    if auc.low <= 0.5:
        return ""
    if partial.value < auc.value - 0.02:
        return ", below the AUC as for most classifiers: the AUC flatters them there"
    return ": the skill does not fall off there"


def _levels_sentence(found: Evaluation) -> str:
    texts = [f"{level} {_shown(one, 'auc')}" for level, one in found.levels.items()]
    return f"AUC by level: {listed(texts)}."


def _standard_error(interval: Interval) -> float:
    return (interval.high - interval.low) / (2 * 1.96)


def _shown(level: LevelEvaluation, name: str) -> str:
    return show(name, level.metrics[name].interval)


def decision_sentences(
    found: Evaluation, words: Words, points: Mapping[str, OperatingPoint]
) -> list[str]:
    """Say what the decisions amount to, by exam, and against the target."""
    exam = found.levels["exam"]
    c = exam.confusion
    recalled = exam.metrics["recall_rate"]
    told = [
        f"{capital(words.decided)}, {count(c['tp'] + c['fp'], 'exam')} of "
        f"{number(exam.counts['units'])} are recalled "
        f"({show_bounds('recall_rate', recalled.interval)}), among them "
        f"{number(c['tp'])} of {number(c['tp'] + c['fn'])} with {words.positive}: "
        f"sensitivity {_shown(exam, 'sensitivity')}, specificity {_shown(exam, 'specificity')}."
    ]
    if words.has_points:
        told += _target_sentence(recalled.interval, points)
    if found.prevalence is not None:
        told.append(_corrected_sentence(exam, words))
    return told


def _target_sentence(recalled: Interval, points: Mapping[str, OperatingPoint]) -> list[str]:
    targets = {round(point.target_recall_rate, 4) for point in points.values()}
    if len(targets) != 1:
        return []
    target = targets.pop()
    side = "holds" if recalled.low <= target <= recalled.high else (
        "lies below" if target < recalled.low else "lies above")  # fmt: skip
    if side == "holds":
        return [f"The interval of the recall rate holds the target of {100 * target:.3g}%."]
    return [f"The target recall rate of {100 * target:.3g}% {side} the interval: it is missed."]


def _corrected_sentence(exam: LevelEvaluation, words: Words) -> str:
    ppv, rate = exam.metrics["ppv"], exam.metrics["recall_rate"]
    found = exam.metrics["cancer_detection_per_1000"]
    assert ppv.corrected and rate.corrected and found.corrected
    return (
        f"At {words.prevalence} the recall rate would be {show('recall_rate', rate.corrected)}, "
        f"of 1000 exams {show('cancer_detection_per_1000', found.corrected)} would be detected, "
        + (
            "and with nobody recalled there is no PPV1."
            if math.isnan(ppv.interval.value)
            else f"and PPV1 would be {show('ppv', ppv.corrected)} instead of "
            f"{show_value('ppv', ppv.interval)}."
        )
    )


def tail_sentences(found: Evaluation) -> list[str]:
    """Say why precision is not corrected where too few negatives are at hand."""
    if found.main.metrics["average_precision"].corrected is not None:
        return []
    negatives = int((~found.main.rows.labels).sum())
    return [
        "Average precision and the precision-recall curve are not corrected: among "
        f"{count(negatives, 'negative ' + found.level)} no false positive rate below one in "
        f"{number(negatives)} is seen, and at this prevalence the top of the list hangs on it."
    ]


def calibration_sentences(found: Evaluation, words: Words) -> list[str]:
    """Compare expected and observed, and the calibration error with chance."""
    rows = found.main.rows
    mean = found.main.metrics["mean_probability"].interval
    rate = found.main.metrics["prevalence"].interval
    error = expected_calibration_error(rows.labels, rows.probability)
    chance = chance_calibration_error(rows.probability)
    verdict = "above what chance gives" if error > 1.5 * chance else "what chance gives"
    told = [
        f"The model expects {show('mean_probability', mean)} of {plural(found.level)} to be "
        f"positive, {show('prevalence', rate)} are.",
        f"The calibration error in ten bins is {error:.3f}, {verdict} on that many "
        f"({chance:.3f}). Brier score {_shown(found.main, 'brier')}; always saying the prevalence "
        f"would give {rate.value * (1 - rate.value):.3f}.",
    ]
    if words.has_points and found.level in ("exam", "patient"):
        told.append(
            f"Probabilities are calibrated by breast. By {found.level} the highest breast stands, "
            "which is not the probability that any breast is positive."
        )
    if found.prevalence is not None:
        moved = found.main.metrics["mean_probability"].corrected
        observed = float(np.average(rows.labels, weights=_row_weights(found)))
        told.append(
            f"At {words.prevalence} the model would expect "
            f"{show('mean_probability', moved)} of {plural(found.level)} to be positive where "
            f"{100 * observed:.2g}% are"
            + (": probabilities fit the mix they were fitted on." if words.has_points else ".")
        )
    return told


def _row_weights(found: Evaluation) -> np.ndarray:
    assert found.weights is not None
    weights: np.ndarray = found.weights[found.draws.codes(found.main.rows.patients)]
    return weights
