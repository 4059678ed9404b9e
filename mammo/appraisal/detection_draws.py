"""All measures of a detector on a set and on its resamples of patients, in one pass.

Every measure is a column: what a resample marks down to each score is added up once for
all of them. Matching is done before; a resample only weighs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammo.detection.average_precision import average_precisions, mean_overlap
from mammo.detection.finding_groups import Groups
from mammo.detection.froc import FALSE_MARKS, sensitivities
from mammo.detection.matching import CENTRE, IOU_STEPS, ImageDetections, Matches, match_rules
from mammo.evaluation.bootstrap import Interval, bootstrap_draws
from mammo.evaluation.effective_count import effective_bounds

LEVEL = 0.95
HIT_IOU = IOU_STEPS[0]
CELLS = 4_000_000
"""Weights of detections held at once, in float64: 32 MB an array."""
MEANS = 3
"""Columns before the shares: mAP@50, mAP@50-95, overlap."""
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DetectionDraws:
    """Measures as columns: of the set, ``value`` (C,), and of its resamples, ``draws`` (R, C).

    Columns are mAP@50, mAP@50-95, overlap as a part of 0.5 to 1, sensitivity by overlap at
    each of `FALSE_MARKS`, and by centre at each for all findings and then each group.
    ``patients`` (I,) is whose each image is and ``matches`` by rule what was matched.
    ``groups`` are of findings, as in `finding_groups`.
    """

    patients: NDArray[np.str_]
    matches: dict[str, Matches]
    groups: Groups
    value: Array
    draws: Array

    @classmethod
    def of(
        cls, images: Sequence[ImageDetections], groups: Groups, *, resamples: int, seed: int
    ) -> DetectionDraws:
        """Match every image, then measure the set and its resamples.

        Patients with and without a finding are drawn apart, each with all her images.
        """
        matched = match_rules(images, (*IOU_STEPS, CENTRE))
        steps = [matched[step] for step in IOU_STEPS]
        rules = {"iou": matched[HIT_IOU], CENTRE: matched[CENTRE]}
        chosen = np.stack([np.ones(len(rules[CENTRE].owner), bool), *groups.values()])

        def table(weights: Array) -> Array:
            rows = max(1, CELLS // max(1, len(steps[0].score)))
            parts = [weights[start : start + rows] for start in range(0, len(weights), rows)]
            return np.concatenate([_columns(steps, rules, chosen, part) for part in parts])

        patients = np.array([one.patient_id for one in images])
        positive = np.array([bool(one.truth) for one in images])
        value = table(np.ones((1, len(images))))[0]
        draws = bootstrap_draws(patients, table, labels=positive, resamples=resamples, seed=seed)
        return cls(patients, rules, groups, value, draws)

    def precision(self, place: int) -> Interval:
        """Return mAP@50 (``place`` 0) or mAP@50-95 (1); it rests on patients with a finding."""
        return self._interval(place, self.matches[CENTRE].owner)

    def overlap(self) -> Interval:
        """Return the mean overlap of the hits, from 0.5 to 1; it rests on patients with one.

        All three numbers are NaN where nothing hits.
        """
        rule = self.matches["iou"]
        told = self._interval(2, rule.image[rule.hit])
        low, value, high = (
            HIT_IOU + (1 - HIT_IOU) * one for one in (told.low, told.value, told.high)
        )
        return Interval(value, low, high, told.n_patients, told.n_positive)

    def sensitivity(self, rule: str, group: str | None = None) -> dict[float, Interval]:
        """Return the share of findings marked by false marks an image, of all or of a group."""
        names: list[str | None] = [None, *self.groups] if rule == CENTRE else [None]
        owner = self.matches[rule].owner
        rows = owner if group is None else owner[self.groups[group]]
        first = MEANS + (len(FALSE_MARKS) if rule == CENTRE else 0)
        places = (first + at * len(names) + names.index(group) for at in range(len(FALSE_MARKS)))
        return {
            marks: self._interval(place, rows)
            for marks, place in zip(FALSE_MARKS, places, strict=True)
        }

    def _interval(self, place: int, images: NDArray[np.int64]) -> Interval:
        """Return a column with its bounds; ``images`` are those of the rows that it rests on."""
        value, everyone = float(self.value[place]), len(np.unique(self.patients))
        resting = len(np.unique(self.patients[images]))
        if not np.isfinite(value):
            return Interval(value, value, value, everyone, resting)
        bounds = effective_bounds(
            value, self.draws[:, place], resting, len(images), LEVEL, counted=place >= MEANS
        )
        return Interval(value, *bounds, everyone, resting)


def _columns(
    steps: Sequence[Matches], rules: dict[str, Matches], groups: NDArray[np.bool_], weights: Array
) -> Array:
    """Return (R, 3 + K + K x G): precisions, overlap, sensitivities by overlap and by centre."""
    precision = average_precisions(steps, weights)
    overlap = (mean_overlap(rules["iou"], weights) - HIT_IOU) / (1 - HIT_IOU)
    by_iou = sensitivities(rules["iou"], weights, FALSE_MARKS)
    by_centre = sensitivities(rules[CENTRE], weights, FALSE_MARKS, groups)
    return np.concatenate(
        [
            precision[:, :1], precision.mean(axis=1, keepdims=True), overlap[:, None],
            by_iou.reshape(len(weights), -1), by_centre.reshape(len(weights), -1),
        ],
        axis=1,
    )  # fmt: skip
