"""The whole battery of metrics on one table of rows, each with its patient-bootstrap interval.

    battery = measure(rows, draws)                     # as the set is
    battery = measure(rows, draws, weights, 0.0078)    # and at a stated prevalence

Intervals: areas under a curve on the logit scale with Student's quantile, as
`auc_interval`; rates by Wilson on the effective number of rows, as
`recall_rate_interval`; F1, pF1, average precision and Brier score by expanded
percentiles. What is judged by class (curves, areas, sensitivity at a
specificity) is drawn within the classes; rates are drawn over all patients, so
that prevalence varies as it does from one set to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mammo.evaluation import ranking as rk
from mammo.evaluation.bootstrap import (
    Interval,
    logit_bounds,
    patient_counts,
    percentile_bounds,
    wilson_bounds,
)
from mammo.evaluation.decisions import RATES, Decisions, named, rates
from mammo.evaluation.draws import PatientDraws
from mammo.evaluation.prevalence import at_prevalence, corrected_interval

LEVEL = 0.95
SPECIFICITIES = (0.80, 0.90, 0.95)
SENSITIVITIES = (0.80, 0.90)
LEAST_SPECIFICITY, LEAST_SENSITIVITY = 0.8, 0.8
LEAST_TAIL = 10
"""Positives that the negatives at hand would come with, below which average precision at a stated
prevalence is not given: no false positive rate below one negative is seen, which flatters the top
of the list (simulated: at 0.6 such positives 42% of intervals hold the truth, from 11 on 90%)."""
AREAS = ("auc", "partial_auc_specificity", "partial_auc_sensitivity")


@dataclass(frozen=True, eq=False)
class Rows:
    """The units of one level: ``labels``, ``recalled`` bool, ``scores``, ``probability`` float,
    ``patients`` str; all (rows,)."""

    labels: np.ndarray
    scores: np.ndarray
    probability: np.ndarray
    recalled: np.ndarray
    patients: np.ndarray

    def at(self, where: np.ndarray) -> Rows:
        """Return the rows where ``where`` (bool) is set."""
        return Rows(*(column[where] for column in vars(self).values()))


def ranked_columns() -> dict[str, Callable[[rk.Steps], np.ndarray]]:
    """Return the metrics of the order of scores: name -> function of the ROC curve's steps."""
    found: dict[str, Callable[[rk.Steps], np.ndarray]] = {
        "auc": rk.auc,
        "partial_auc_specificity": partial(rk.partial_auc_specificity, least=LEAST_SPECIFICITY),
        "partial_auc_sensitivity": partial(rk.partial_auc_sensitivity, least=LEAST_SENSITIVITY),
        "average_precision": rk.average_precision,
    }
    for rate in SPECIFICITIES:
        found[at_specificity(rate)] = partial(rk.sensitivity_at, specificity=rate)
    for rate in SENSITIVITIES:
        found[at_sensitivity(rate)] = partial(rk.specificity_at, sensitivity=rate)
    return found


def at_specificity(rate: float) -> str:
    """Return ``sensitivity_at_specificity_90``."""
    return f"sensitivity_at_specificity_{100 * rate:.0f}"


def at_sensitivity(rate: float) -> str:
    """Return ``specificity_at_sensitivity_90``."""
    return f"specificity_at_sensitivity_{100 * rate:.0f}"


def measure(rows: Rows, draws: PatientDraws) -> dict[str, Interval]:
    """Return every metric of the rows as they are; both classes must be there.

    ``cancer_detection_per_1000`` is per 1000 rows; the rest lies in [0, 1]. A
    rate whose denominator is empty (a PPV where nobody is recalled) is NaN.
    """
    patient = draws.codes(rows.patients)
    return {**_ranked(rows, patient, draws), **_decided(rows, patient, draws)}


def measure_at(rows: Rows, draws: PatientDraws, weights: np.ndarray) -> dict[str, Interval]:
    """Return the metrics that depend on prevalence, under patients' sampling ``weights``.

    ``weights`` (patients,) as `patient_weights` gives them. The average precision
    is left out below `LEAST_TAIL`: the top of the list is then unseen.
    """
    patient = draws.codes(rows.patients)
    weight = weights[patient]
    table = Decisions(rows.labels, rows.probability, rows.recalled, patient, weight).table(draws)
    value = {name: float(v) for name, v in rates(named(draws.once(table))).items()}
    drawn = rates(named(draws.draw(table)))
    # weighted, too: a healthy breast beside a cancer hardly counts at one cancer in a hundred
    se, sp = (
        rate_interval(value[name], drawn[name], rows.at(denominators(rows)[name]))
        for name in ("sensitivity", "specificity")
    )
    counts = patient_counts(rows.patients, rows.labels)
    result = {
        name: corrected_interval(value[name], function, se, sp, counts)
        for name, function in at_prevalence(value["prevalence"]).items()
    }
    for name in ("pf1", "brier", "mean_probability"):
        result[name] = _percentile(value[name], drawn[name], rows)
    if tail(rows, value["prevalence"]) >= LEAST_TAIL:
        result["average_precision"] = _precision_at(rows, patient, weight, draws)
    return _per_1000(result)


def tail(rows: Rows, prevalence: float) -> float:
    """Return how many positives would come with as many negatives at this prevalence."""
    return float((~rows.labels).sum()) * prevalence / (1 - prevalence)


def _precision_at(
    rows: Rows, patient: np.ndarray, weight: np.ndarray, draws: PatientDraws
) -> Interval:
    ranked = rk.rank_rows(rows.labels, rows.scores, patient, weight)
    table = ranked.table(lambda steps: rk.average_precision(steps)[:, np.newaxis])
    return _percentile(float(draws.once(table)[0]), draws.draw(table)[:, 0], rows)


def _ranked(rows: Rows, patient: np.ndarray, draws: PatientDraws) -> dict[str, Interval]:
    columns = ranked_columns()
    table = rk.rank_rows(rows.labels, rows.scores, patient).table(
        lambda steps: np.column_stack([column(steps) for column in columns.values()])
    )
    values, drawn = draws.once(table), draws.draw(table)
    found = {}
    for place, name in enumerate(columns):
        value, draw = float(values[place]), drawn[:, place]
        if name in AREAS:
            found[name] = area_interval(value, draw, rows)
        elif name == "average_precision":
            found[name] = _percentile(value, draw, rows)
        else:
            judged = rows.labels if name.startswith("sensitivity") else ~rows.labels
            found[name] = rate_interval(value, draw, rows.at(judged))
    return found


def _decided(rows: Rows, patient: np.ndarray, draws: PatientDraws) -> dict[str, Interval]:
    table = Decisions(rows.labels, rows.probability, rows.recalled, patient).table(draws)
    values, drawn = rates(named(draws.once(table))), rates(named(draws.draw(table, by_class=False)))
    below = denominators(rows)
    found = {
        name: rate_interval(float(values[name]), drawn[name], rows.at(below[name]))
        for name in (*RATES, "prevalence")
    }
    for name in ("f1", "pf1", "brier", "mean_probability"):
        found[name] = _percentile(float(values[name]), drawn[name], rows)
    return _per_1000(found)


def denominators(rows: Rows) -> dict[str, np.ndarray]:
    """Return of each rate which rows are below its line, bool (rows,)."""
    everyone = np.ones(len(rows.labels), dtype=bool)
    special = {
        "sensitivity": rows.labels,
        "specificity": ~rows.labels,
        "ppv": rows.recalled,
        "npv": ~rows.recalled,
    }
    return {name: special.get(name, everyone) for name in (*RATES, "prevalence")}


def area_interval(value: float, drawn: np.ndarray, rows: Rows, level: float = LEVEL) -> Interval:
    """Return an area under a curve with bounds on the logit scale, as `auc_interval`'s."""
    low, high = logit_bounds(value, float(np.nanstd(drawn)), scarce_patients(rows), level)
    return Interval(min(value, 1.0), low, high, *patient_counts(rows.patients, rows.labels))


def scarce_patients(rows: Rows) -> int:
    """Return the patients of the scarcer class, at least 1; a patient may be of both."""
    sides = (rows.patients[rows.labels], rows.patients[~rows.labels])
    return max(1, min(len(np.unique(side)) for side in sides))


def rate_interval(value: float, drawn: np.ndarray, rows: Rows, level: float = LEVEL) -> Interval:
    """Return a rate with Wilson's bounds on the effective number of its rows.

    ``rows`` are those below the line; where the draws show no spread each of
    their patients counts as one row.
    """
    patients, counts = rows.patients, patient_counts(rows.patients, rows.labels)
    if not len(patients) or np.isnan(value):
        return Interval(float("nan"), float("nan"), float("nan"), *counts)
    variance = float(np.nanvar(drawn))
    units = counts[0]
    spread = value * (1 - value)
    # at 0 and 1 the variance says nothing of how many independent rows there are
    known = variance > 1e-15 and spread > 1e-12
    effective = min(len(patients), spread / variance) if known else units
    low, high = wilson_bounds(value, effective, level)
    return Interval(value, low, high, *counts)


def _percentile(value: float, drawn: np.ndarray, rows: Rows) -> Interval:
    low, high = percentile_bounds(drawn, max(scarce_patients(rows), 2), LEVEL)
    return Interval(value, low, high, *patient_counts(rows.patients, rows.labels))


def _per_1000(found: dict[str, Interval]) -> dict[str, Interval]:
    one = found.pop("cancer_detection")
    found["cancer_detection_per_1000"] = replace(
        one, value=1000 * one.value, low=1000 * one.low, high=1000 * one.high
    )
    return found
