"""A detector that a release carries: an ONNX graph, and what its marks are used for.

    detector.onnx  image (N, 1, H, W) float32 in [0, 1] -> boxes (N, P, 4) in prepared
                   pixels and scores (N, P), float32, before any of them is suppressed
    detector.json  `CarriedDetector`

The service has no PyTorch: suppression is done here, in numpy, by the detectors' own
rule. Nothing in the two files says whom the detector was trained on; that stands in
the files of the release that are kept for training alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mammo.detection.boxes import centres_in, findings_of, has_size, overlaps
from mammo.errors import SourceInvalid
from mammo.exam import Finding
from mammo.geometry import Geometry

GRAPH, FACTS = "detector.onnx", "detector.json"
OUTPUTS = ("boxes", "scores")
LEAST_SCORE, CANDIDATES, OVERLAP, MOST_MARKS = 0.001, 200, 0.5, 50
"""Suppression as the detectors do it in PyTorch: boxes below the first are none, of the
best 200 those that overlap a better one by more than a half go, at most 50 stay."""
MOST_FINDINGS = 3
"""Marks of a view that become findings at most; the heat has as many."""
Marks = NDArray[np.float32]
"""(N, 50, 5): x0, y0, x1, y1 in prepared pixels and the score, best first; zeros fill up.
All NaN for a view of which the graph gave anything that is no finite number."""


@dataclass(frozen=True, slots=True)
class JointScore:
    """A breast's logit from the classifier's and from the best mark of its pooled views.

    ``offset + classifier * logit + detector * log-odds of the best score``, in logits. Both
    weights are at least 0: a surer mark or a higher logit never lowers the score. A view
    without a mark counts as one of score `LEAST_SCORE`.
    """

    classifier: float
    detector: float
    offset: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.classifier, self.detector, self.offset))):
            raise ValueError(f"weights are {self}; they have to be finite")
        if self.classifier < 0 or self.detector < 0:
            raise ValueError(f"weights are {self}; none may be below 0")

    def logit(self, logit: float, best: float) -> float:
        """Return the joint logit; ``best`` is the highest score in [0, 1], 0 without a mark."""
        return self.offset + self.classifier * logit + self.detector * mark_logit(best)


@dataclass(frozen=True, slots=True)
class CarriedDetector:
    """What a release does with its detector.

    ``name`` is the detector's, ``weights_sha256`` of the weights that the graph was made of.
    Marks of at least ``least_score`` are findings. ``joint`` is None where the breast's score
    is the classifier's alone. ``golden_best`` is the best score on the golden image.
    """

    name: str
    weights_sha256: str
    least_score: float
    joint: JointScore | None = None
    golden_best: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `FACTS` of a release; SourceInvalid where it is none."""
        try:
            values = json.loads((folder / FACTS).read_text())
            joint = values.pop("joint")
            return cls(**values, joint=None if joint is None else JointScore(**joint))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceInvalid(f"{FACTS} of release {folder.name} is none: {error}") from error

    def write(self, folder: Path) -> None:
        """Write `FACTS` into a release's folder, before it is sealed."""
        (folder / FACTS).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    def findings(self, marks: Marks, geometry: Geometry) -> tuple[Finding, ...]:
        """Return the marks (50, 5) of one view that are findings, best first, original pixels.

        Marks at one place, the centre of one in the other's box, are one: the surest.
        """
        sure = marks[(marks[:, 4] >= self.least_score) & (marks[:, 4] > 0)]
        return findings_of(sure[distinct(sure)][:MOST_FINDINGS], geometry)

    def breast_logits(
        self, logits: Mapping[str, float], lateralities: Sequence[str], marks: Marks
    ) -> dict[str, float]:
        """Return laterality -> joint logit of breasts whose pooled views have these marks."""
        if self.joint is None:
            return dict(logits)
        best: dict[str, float] = {}
        for side, score in zip(lateralities, best_scores(marks), strict=True):
            # not `max`, by which NaN would count as no mark
            best[side] = float(np.maximum(best.get(side, 0.0), float(score)))
        return {side: self.joint.logit(logit, best[side]) for side, logit in logits.items()}

    def view_logits(self, logits: NDArray[Any], marks: Marks) -> NDArray[np.float64]:
        """Return (N,) what a breast of each view alone would have."""
        if self.joint is None:
            return np.asarray(logits, np.float64)
        pairs = zip(logits, best_scores(marks), strict=True)
        return np.array([self.joint.logit(float(one), float(best)) for one, best in pairs])


def mark_logit(score: float) -> float:
    """Return the log-odds of a score in [0, 1], bounded as that of `LEAST_SCORE` and its mirror."""
    bounded = min(max(score, LEAST_SCORE), 1.0 - LEAST_SCORE)
    return math.log(bounded / (1.0 - bounded))


def best_scores(marks: Marks) -> NDArray[np.float32]:
    """Return the highest score of each view, (N,); 0 without a mark."""
    return marks[:, 0, 4]


def distinct(marks: Marks) -> list[int]:
    """Return which of the marks (N, 5), best first, are not at the place of a surer one."""
    boxes = marks[:, :4].astype(np.float64)
    within = centres_in(boxes, boxes)
    near = within | within.T
    kept: list[int] = []
    for number in range(len(boxes)):
        if not near[number, kept].any():
            kept.append(number)
    return kept


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Marks:
    """Return the marks (50, 5) of one view, from its boxes (P, 4) and scores (P,).

    All are NaN where any box or score is no finite number: compared with a threshold it
    would be no mark, and nobody would hear of it. `mammo.exam_scores.require_finite`
    refuses them.
    """
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        return np.full((MOST_MARKS, 5), np.nan, np.float32)
    exact = boxes.astype(np.float64)
    kept = has_size(exact) & (scores >= LEAST_SCORE)
    exact, scores = exact[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    exact, scores = exact[order], scores[order]
    crossing = overlaps(exact, exact) > OVERLAP
    free = np.ones(len(exact), bool)
    chosen: list[int] = []
    for place in range(len(exact)):
        if free[place] and len(chosen) < MOST_MARKS:
            chosen.append(place)
            free &= ~crossing[place]
    marks = np.zeros((MOST_MARKS, 5), np.float32)
    marks[: len(chosen), :4], marks[: len(chosen), 4] = exact[chosen], scores[chosen]
    return marks
