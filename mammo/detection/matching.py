"""Which of a detector's boxes hit which of the readers', image by image.

Boxes are taken by score, the highest first; each takes the finding that it fits
best of those not taken yet, as COCO does (Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48).
Done once: a resample of patients only weighs what was matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammo.detection.boxes import boxes_of, centres_in, overlaps
from mammo.errors import BoxInvalid
from mammo.exam import Finding

CENTRE = "centre"
"""Rule of a hit: the middle of the box lies in the finding's, as marks of CAD are judged."""
IOU_STEPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""COCO's thresholds of intersection over union, 0.5 to 0.95."""
Rule = float | str
"""An intersection over union that is reached, or `CENTRE`."""


@dataclass(frozen=True)
class ImageDetections:
    """What was marked in an image, and what a detector found; original pixels."""

    image_id: str
    patient_id: str
    truth: tuple[Finding, ...]
    found: tuple[Finding, ...]

    def __post_init__(self) -> None:
        if not all(np.isfinite(one.score) and 0 <= one.score <= 1 for one in self.found):
            raise BoxInvalid("a detection's score is no number in [0, 1]")


@dataclass(frozen=True, eq=False)
class Matches:
    """All detections of a set by score, the highest first; arrays of (D,).

    ``image`` is the place of the detection's image, ``hit`` that it took a finding and
    ``finding`` which of the set's, -1 without one; ``again`` that it took none but fits
    one that was taken, and ``overlap`` its intersection over union with the finding
    taken, 0 without one. ``findings`` (I,) are how many the readers have in each image,
    ``owner`` (findings,) the image of each.
    """

    score: NDArray[np.float64]
    image: NDArray[np.int64]
    hit: NDArray[np.bool_]
    finding: NDArray[np.int64]
    again: NDArray[np.bool_]
    overlap: NDArray[np.float64]
    findings: NDArray[np.int64]
    owner: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Detections of an image by score, the highest first, against its findings.

    ``order`` (F,) are their places in ``found``; ``shared`` and ``centred`` (F, T) the
    overlap of each pair, and whether the middle of the one lies in the other.
    """

    order: NDArray[np.int64]
    shared: NDArray[np.float64]
    centred: NDArray[np.bool_]

    def fits(self, rule: Rule) -> NDArray[np.bool_]:
        """Return (F, T) which pairs may match."""
        if rule == CENTRE:
            return self.centred
        return np.asarray(self.shared >= min(float(rule), 1 - 1e-10))


def match_images(images: Sequence[ImageDetections], rule: Rule) -> Matches:
    """Match the detections of every image by one rule."""
    return match_rules(images, (rule,))[rule]


def match_rules(images: Sequence[ImageDetections], rules: Sequence[Rule]) -> dict[Rule, Matches]:
    """Match the detections of every image by each rule; the order of detections is one."""
    scores = [np.array([one.score for one in image.found], np.float64) for image in images]
    pairs = [_pairs(image, score) for image, score in zip(images, scores, strict=True)]
    falling = [own[one.order] for own, one in zip(scores, pairs, strict=True)]
    score = np.concatenate([np.zeros(0), *falling])
    order = np.argsort(-score, kind="stable")
    return {rule: _matches(pairs, rule, score, order) for rule in rules}


def match_image(image: ImageDetections, rule: Rule) -> list[int | None]:
    """Return for each of ``found`` the place in ``truth`` that it takes, or None."""
    pairs = _pairs(image, np.array([one.score for one in image.found], np.float64))
    taken: list[int | None] = [None] * len(image.found)
    for place, finding in zip(pairs.order, _taken(pairs, rule), strict=True):
        taken[place] = int(finding) if finding >= 0 else None
    return taken


def second_marks(image: ImageDetections, rule: Rule) -> list[bool]:
    """Return for each of ``found`` that it takes no finding but fits one: not a false mark."""
    pairs = _pairs(image, np.array([one.score for one in image.found], np.float64))
    told = [False] * len(image.found)
    again = pairs.fits(rule).any(axis=1) & (_taken(pairs, rule) < 0)
    for place, one in zip(pairs.order, again, strict=True):
        told[place] = bool(one)
    return told


def _matches(
    pairs: Sequence[_Pairs], rule: Rule, score: NDArray[np.float64], order: NDArray[np.int64]
) -> Matches:
    findings = np.array([one.shared.shape[1] for one in pairs], np.int64)
    marks = [len(one.order) for one in pairs]
    first = np.repeat(np.cumsum(findings) - findings, marks)
    each = [_taken(one, rule) for one in pairs]
    taken = np.concatenate([np.zeros(0, np.int64), *each])
    fits = np.concatenate([np.zeros(0, bool), *(one.fits(rule).any(axis=1) for one in pairs)])
    overlap = np.concatenate([np.zeros(0), *map(_overlap, pairs, each)])
    hit = taken >= 0
    return Matches(
        score=score[order],
        image=np.repeat(np.arange(len(pairs)), marks)[order],
        hit=hit[order],
        finding=np.where(hit, taken + first, -1)[order],
        again=(fits & ~hit)[order],
        overlap=overlap[order],
        findings=findings,
        owner=np.repeat(np.arange(len(pairs)), findings),
    )


def _pairs(image: ImageDetections, score: NDArray[np.float64]) -> _Pairs:
    order = np.argsort(-score, kind="stable")
    found, truth = boxes_of(image.found)[order], boxes_of(image.truth)
    return _Pairs(order, overlaps(found, truth), centres_in(found, truth))


def _taken(pairs: _Pairs, rule: Rule) -> NDArray[np.int64]:
    """Return the finding (F,) that each takes, -1 for none; the last of equally good ones."""
    fits = pairs.fits(rule)
    taken = np.full(len(fits), -1, np.int64)
    free = np.ones(fits.shape[1], bool)
    for row in np.flatnonzero(fits.any(axis=1)):
        candidates = np.where(fits[row] & free, pairs.shared[row], -np.inf)
        best = len(candidates) - 1 - int(np.argmax(candidates[::-1]))
        if np.isfinite(candidates[best]):
            taken[row] = best
            free[best] = False
    return taken


def _overlap(pairs: _Pairs, taken: NDArray[np.int64]) -> NDArray[np.float64]:
    overlap = np.zeros(len(taken))
    at = np.flatnonzero(taken >= 0)
    overlap[at] = pairs.shared[at, taken[at]]
    return overlap
