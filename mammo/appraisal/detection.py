"""How well a detector finds: all measures, each with an interval that resamples patients.

summary = summarise_detections(images)
summary.froc["centre"][0.25]      # sensitivity at a quarter false mark an image
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.detection.average_precision import average_precision, mean_overlap
from mammo.detection.boxes import require_boxes
from mammo.detection.froc import FALSE_MARKS, froc_curve, sensitivity_at
from mammo.detection.matching import CENTRE, IOU_STEPS, ImageDetections, Matches, match_images
from mammo.evaluation.bootstrap import (
    Interval,
    bootstrap_draws,
    logit_bounds,
    patient_counts,
    percentile_bounds,
)

RESAMPLES = 1000
LEVEL = 0.95
CELLS = 4_000_000
"""Weights of detections held at once, in float64: 32 MB an array."""
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
Measure = Callable[[Matches, NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class DetectionSummary:
    """Measures of one detector on one set.

    ``map50`` and ``map50_95`` by COCO's rule; ``mean_iou`` of the boxes that hit at 0.5.
    ``froc`` is by rule (``iou`` at 0.5, ``centre``) and by false marks an image.
    ``curves`` are false marks an image and sensitivity, by rule.
    """

    images: int
    patients: int
    findings: int
    detections: int
    map50: Interval
    map50_95: Interval
    mean_iou: Interval
    froc: dict[str, dict[float, Interval]]
    curves: dict[str, Curve]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers; the curves stay out."""
        measures = {name: _plain(getattr(self, name)) for name in ("map50", "map50_95")}
        counts = {name: getattr(self, name) for name in ("images", "patients", "findings")}
        froc = {
            rule: {str(marks): _plain(one) for marks, one in rates.items()}
            for rule, rates in self.froc.items()
        }
        told = {"mean_iou": _plain(self.mean_iou), "froc": froc}
        return counts | {"detections": self.detections} | measures | told


def _plain(interval: Interval) -> dict[str, Any]:
    """Return an interval's numbers; None where it is not defined, since JSON has no NaN."""
    told = interval.to_dict()
    return {name: one if np.isfinite(one) else None for name, one in told.items()}


def summarise_detections(
    images: Sequence[ImageDetections], *, resamples: int = RESAMPLES, seed: int = 0
) -> DetectionSummary:
    """Measure a detector on images that it was not trained on.

    Patients with and without a finding are resampled apart, each with all her images.
    Raises NoBoxes where no image has a finding: nothing can be found there.
    """
    require_boxes([len(one.truth) for one in images])
    by_iou = {step: match_images(images, step) for step in IOU_STEPS}
    rules = {"iou": by_iou[0.5], CENTRE: match_images(images, CENTRE)}

    def told(measure: Measure, *matches: Matches) -> Interval:
        return _interval(images, measure, matches, resamples, seed)

    return DetectionSummary(
        images=len(images),
        patients=len({one.patient_id for one in images}),
        findings=sum(len(one.truth) for one in images),
        detections=sum(len(one.found) for one in images),
        map50=told(average_precision, by_iou[0.5]),
        map50_95=told(average_precision, *by_iou.values()),
        mean_iou=told(mean_overlap, by_iou[0.5]),
        froc={
            rule: {marks: _not_certain(told(_at(marks), matches)) for marks in FALSE_MARKS}
            for rule, matches in rules.items()
        },
        curves={rule: froc_curve(matches) for rule, matches in rules.items()},
    )


def _at(false_marks: float) -> Measure:
    return lambda matches, weights: sensitivity_at(matches, weights, false_marks)


def _interval(
    images: Sequence[ImageDetections],
    measure: Measure,
    matches: Sequence[Matches],
    resamples: int,
    seed: int,
) -> Interval:
    """Return the mean of a measure over several matchings; NaN bounds where none is defined."""
    patients = [one.patient_id for one in images]
    positive = np.array([bool(one.truth) for one in images])

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = max(1, CELLS // max(1, len(matches[0].score)))
        parts = [weights[start : start + rows] for start in range(0, len(weights), rows)]
        means = [np.mean([measure(one, part) for one in matches], axis=0) for part in parts]
        return np.concatenate(means)

    value = float(statistic(np.ones((1, len(images))))[0])
    counts = patient_counts(patients, positive)
    if not np.isfinite(value):
        return Interval(value, value, value, *counts)
    draws = bootstrap_draws(patients, statistic, labels=positive, resamples=resamples, seed=seed)
    # What is found rests on the patients with a finding: a set of few others, or of none, is
    # not a small one.
    return Interval(value, *percentile_bounds(draws, counts[1], LEVEL), *counts)


def _not_certain(rate: Interval) -> Interval:
    """Return a share of findings, with an exact bound where no resample could differ.

    None found, or all, has no spread to resample: the other bound is that of as many
    patients with a finding.
    """
    if rate.value not in (0.0, 1.0):
        return rate
    low, high = logit_bounds(rate.value, 0.0, rate.n_positive, LEVEL)
    return Interval(rate.value, low, high, rate.n_patients, rate.n_positive)
