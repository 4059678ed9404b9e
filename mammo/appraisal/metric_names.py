"""What the metrics are called, in which unit they are shown, and what each means in a line."""

from __future__ import annotations

import math
from typing import NamedTuple

from mammo.evaluation.bootstrap import Interval

INDEX, SHARE, PER_1000 = "index", "share", "per 1000"


class Named(NamedTuple):
    """A metric's name on the page, how its numbers are shown, and what it means."""

    title: str
    unit: str
    meaning: str


METRIC_NAMES = {
    "auc": Named("AUC", INDEX, "chance that a positive scores above a negative"),
    "partial_auc_specificity": Named(
        "partial AUC, specificity ≥ 0.8", INDEX, "AUC where screening works; chance is 0.5"
    ),
    "partial_auc_sensitivity": Named(
        "partial AUC, sensitivity ≥ 0.8", INDEX, "AUC where few are missed; chance is 0.5"
    ),
    "sensitivity_at_specificity_80": Named(
        "sensitivity at specificity 80%", SHARE, "read off the ROC curve"
    ),
    "sensitivity_at_specificity_90": Named(
        "sensitivity at specificity 90%", SHARE, "read off the ROC curve"
    ),
    "sensitivity_at_specificity_95": Named(
        "sensitivity at specificity 95%", SHARE, "read off the ROC curve"
    ),
    "specificity_at_sensitivity_80": Named(
        "specificity at sensitivity 80%", SHARE, "read off the ROC curve"
    ),
    "specificity_at_sensitivity_90": Named(
        "specificity at sensitivity 90%", SHARE, "read off the ROC curve"
    ),
    "average_precision": Named("average precision", INDEX, "mean precision over the positives"),
    "sensitivity": Named("sensitivity (recall)", SHARE, "positives that are recalled"),
    "specificity": Named("specificity", SHARE, "negatives that are not recalled"),
    "ppv": Named("PPV1 (precision)", SHARE, "positives among the recalled"),
    "npv": Named("NPV", SHARE, "negatives among those not recalled"),
    "accuracy": Named("accuracy", SHARE, "decisions that agree with the outcome"),
    "f1": Named("F1", INDEX, "harmonic mean of PPV and sensitivity"),
    "recall_rate": Named("recall rate", SHARE, "recalled among all"),
    "cancer_detection_per_1000": Named(
        "detected per 1000", PER_1000, "positives recalled, by the level"
    ),
    "pf1": Named("probabilistic F1 (pF1)", INDEX, "F1 with probabilities for decisions (RSNA)"),
    "brier": Named("Brier score", INDEX, "mean squared error of the probability; 0 is best"),
    "mean_probability": Named("mean probability", SHARE, "what the model expects"),
    "prevalence": Named("positive", SHARE, "what happened"),
}
"""In the order of the page."""


def show(name: str, interval: Interval | None) -> str:
    """Return ``0.907 (0.856 to 0.941)``, a share as ``58.7% (44.1 to 71.9)``; ``-`` for none."""
    if interval is None or math.isnan(interval.value):
        return "-"
    value, low, high = _texts(name, interval)
    return f"{value} ({low} to {high})"


def show_cell(name: str, interval: Interval | None) -> str:
    """Return ``0.907 (0.856–0.941)`` for a cell of a table, which no line break divides."""
    dash = "\N{WORD JOINER}–\N{WORD JOINER}"
    return show(name, interval).replace(" to ", dash).replace(" ", "\N{NO-BREAK SPACE}")


def show_value(name: str, interval: Interval) -> str:
    """Return the value alone: ``0.907`` or ``58.7%``."""
    return _texts(name, interval)[0]


def show_bounds(name: str, interval: Interval) -> str:
    """Return value and interval where brackets would stand in brackets: ``28.5%, 22.7 to 35.1``."""
    value, low, high = _texts(name, interval)
    return f"{value}, {low} to {high}"


def _texts(name: str, interval: Interval) -> tuple[str, str, str]:
    unit, high = METRIC_NAMES[name].unit, interval.high
    numbers = (interval.value, interval.low, interval.high)
    if unit == SHARE:
        digits = 2 if high < 0.01 or 0.99 < interval.low < 1 else 1
        value, *bounds = (f"{100 * one:.{digits}f}" for one in numbers)
        return f"{value}%", bounds[0], bounds[1]
    digits = 1 if unit == PER_1000 else 3
    value, *bounds = (f"{one:.{digits}f}" for one in numbers)
    return value, bounds[0], bounds[1]
