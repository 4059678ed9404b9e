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

from mammo.detection.boxes import Boxes, boxes_of, overlaps
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

    ``image`` is the place of the detection's image, ``hit`` that it took a finding,
    ``again`` that it took none but fits one that was taken, and ``overlap`` its
    intersection over union with the finding taken, 0 without one. ``findings`` (I,)
    are the readers' findings of each image.
    """

    score: NDArray[np.float64]
    image: NDArray[np.int64]
    hit: NDArray[np.bool_]
    again: NDArray[np.bool_]
    overlap: NDArray[np.float64]
    findings: NDArray[np.int64]


def match_images(images: Sequence[ImageDetections], rule: Rule) -> Matches:
    """Match the detections of every image by one rule."""
    parts = [_match(one, rule) for one in images]
    score = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0)
    image = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    hit, again, overlap = (
        np.concatenate([part[place] for part in parts]) if parts else np.zeros(0)
        for place in (1, 2, 3)
    )
    order = np.argsort(-score, kind="stable")
    findings = np.array([len(one.truth) for one in images], np.int64)
    return Matches(
        score[order], image[order], hit[order].astype(bool), again[order].astype(bool),
        overlap[order], findings,
    )  # fmt: skip


def match_image(image: ImageDetections, rule: Rule) -> list[int | None]:
    """Return for each of ``found`` the place in ``truth`` that it takes, or None."""
    fits, quality = _fits(image, rule)
    free = np.ones(len(image.truth), bool)
    taken: list[int | None] = [None] * len(image.found)
    for row in np.argsort([-one.score for one in image.found], kind="stable"):
        candidates = np.where(fits[row] & free, quality[row], -np.inf)
        if candidates.size and np.isfinite(best := candidates.max()):
            taken[row] = int(len(candidates) - 1 - np.argmax(candidates[::-1] == best))
            free[taken[row]] = False
    return taken


def _fits(image: ImageDetections, rule: Rule) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return (F, T) which pairs may match, and how well they do."""
    found, truth = boxes_of(image.found), boxes_of(image.truth)
    shared = overlaps(found, truth)
    if rule == CENTRE:
        return _centres_in(found, truth), shared
    return shared >= min(float(rule), 1 - 1e-10), shared


def _centres_in(found: Boxes, truth: Boxes) -> NDArray[np.bool_]:
    x, y = found[:, [0, 2]].mean(axis=1)[:, None], found[:, [1, 3]].mean(axis=1)[:, None]
    across = (truth[:, 0] <= x) & (x < truth[:, 2])
    return np.asarray(across & (truth[:, 1] <= y) & (y < truth[:, 3]))


def _match(
    image: ImageDetections, rule: Rule
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
    scores = np.array([one.score for one in image.found], np.float64)
    taken = match_image(image, rule)
    fits, quality = _fits(image, rule)
    hit = np.array([one is not None for one in taken], bool)
    again = ~hit & fits.any(axis=1) if len(scores) else hit
    overlap = np.array(
        [0.0 if one is None else quality[row, one] for row, one in enumerate(taken)], np.float64
    )
    return scores, hit, again, overlap
