"""How well a detector finds: all measures, each with an interval that resamples patients.

summary = summarise_detections(images)
summary.froc["centre"][0.25]      # sensitivity at a quarter false mark an image
summary.by_kind["calcification"]  # how many of these, and how often they are marked
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.appraisal.detection_draws import DetectionDraws
from mammo.detection.boxes import require_boxes
from mammo.detection.finding_groups import by_kind, by_size
from mammo.detection.froc import froc_curve
from mammo.detection.matching import CENTRE, ImageDetections
from mammo.evaluation.bootstrap import Interval

RESAMPLES = 1000
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class FoundOf:
    """How many findings a group has, and the share marked by false marks an image."""

    findings: int
    sensitivity: dict[float, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers."""
        told = {str(marks): _plain(one) for marks, one in self.sensitivity.items()}
        return {"findings": self.findings, "sensitivity": told}


@dataclass(frozen=True, eq=False)
class DetectionSummary:
    """Measures of one detector on one set.

    ``map50`` and ``map50_95`` by COCO's rule; ``mean_iou`` of the boxes that hit at 0.5.
    ``froc`` is by rule (``iou`` at 0.5, ``centre``) and by false marks an image.
    ``curves`` are false marks an image and sensitivity, by rule. ``by_kind`` and
    ``by_size`` are by the centre rule, at the threshold of all findings.
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
    by_kind: dict[str, FoundOf]
    by_size: dict[str, FoundOf]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers; the curves stay out."""
        counts = ("images", "patients", "findings", "detections")
        told: dict[str, Any] = {name: getattr(self, name) for name in counts}
        told |= {name: _plain(getattr(self, name)) for name in ("map50", "map50_95", "mean_iou")}
        told["froc"] = {
            rule: {str(marks): _plain(one) for marks, one in rates.items()}
            for rule, rates in self.froc.items()
        }
        for name in ("by_kind", "by_size"):
            told[name] = {group: one.to_dict() for group, one in getattr(self, name).items()}
        return told


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
    kinds, sizes = by_kind(images), by_size(images)
    groups = {f"kind {name}": one for name, one in kinds.items()} | sizes
    drawn = DetectionDraws.of(images, groups, resamples=resamples, seed=seed)

    def found_of(name: str) -> FoundOf:
        return FoundOf(int(groups[name].sum()), drawn.sensitivity(CENTRE, name))

    return DetectionSummary(
        images=len(images),
        patients=len({one.patient_id for one in images}),
        findings=sum(len(one.truth) for one in images),
        detections=sum(len(one.found) for one in images),
        map50=drawn.precision(0),
        map50_95=drawn.precision(1),
        mean_iou=drawn.overlap(),
        froc={rule: drawn.sensitivity(rule) for rule in ("iou", CENTRE)},
        curves={rule: froc_curve(drawn.matches[rule]) for rule in ("iou", CENTRE)},
        by_kind={name: found_of(f"kind {name}") for name in kinds},
        by_size={name: found_of(name) for name in sizes},
    )
