"""Why six numbers of a phantom's image tell its cancer: with the lesion drawn, and without.

Every exam has a cancer on one side. That side is rendered twice, from the same
streams of random numbers, once without drawing the tumour; the other side once.
If anything but the tumour told the sides apart, it would without it as well.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mammo.appraisal.shortcuts import out_of_fold
from mammo.dicom.image import StoredImage, Window
from mammo.dicom.phantom_exam import (
    SCREENING_VIEWS,
    PhantomExam,
    draw_exam,
    exam_generator,
    render_view,
)
from mammo.dicom.phantom_profiles import SCANNER_PROFILES, ScannerProfile
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.metrics import auc_interval, roc_auc
from mammo.image_features import FEATURE_NAMES
from mammo.preprocess import PreprocessConfig, prepare

SEEDS = (5, 6)
FLIPS = 60
"""Random choices of the side, for what chance gives with nothing drawn."""
PROFILES = ("aurora", "borealis")
BITS = 12
DRAWN, BARE, OTHER = "tumour drawn", "tumour not drawn", "other side"
FAR_BOXES = 3.0
"""Boxes away from the tumour, beyond which no pixel may differ."""


@dataclass(frozen=True)
class PhantomCause:
    """AUC of the cancer's side against the other, by the six numbers, with and without it.

    ``chance`` is the middle 95 % of the AUCs when the side is chosen at random
    and no tumour is drawn; ``moved`` is what the tumour adds to each number, in
    standard deviations over images.
    """

    exams: int
    drawn: Interval
    bare: Interval
    chance: tuple[float, float]
    moved: dict[str, float]
    far_pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def measure_cause(exams: int, config: PreprocessConfig) -> PhantomCause:
    """Render that many exams of each seed, and tell the sides apart by the six numbers."""
    rows, far = [], 0
    for seed in SEEDS:
        for index in range(exams):
            made, differing = _rows(seed, index, config)
            rows += made
            far += differing
    frame = pd.DataFrame(rows)
    pairs = frame.pivot(index=["exam", "view"], columns="arm", values=list(FEATURE_NAMES))
    moved = {
        name: float((pairs[name][DRAWN] - pairs[name][BARE]).mean() / frame[name].std())
        for name in FEATURE_NAMES
    }
    arms = (_auc(frame, DRAWN), _auc(frame, BARE))
    return PhantomCause(exams * len(SEEDS), *arms, _chance(frame), moved, far)


def _auc(frame: pd.DataFrame, arm: str) -> Interval:
    """Return the AUC of that arm's images against the other side's."""
    mine = frame[frame["arm"].isin([arm, OTHER])]
    labels, exam = (mine["arm"] == arm).to_numpy(), mine["exam"].to_numpy()
    scores = out_of_fold(mine[list(FEATURE_NAMES)], labels, exam, 0)
    return auc_interval(labels, scores, exam)


def _chance(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the middle 95 % of the AUC when the side is drawn by lot; no tumour is drawn."""
    mine = frame[frame["arm"].isin([BARE, OTHER])]
    _, exam = np.unique(mine["exam"].to_numpy(), return_inverse=True)
    side, rng = (mine["arm"] == BARE).to_numpy(), np.random.default_rng(0)
    drawn = []
    for _ in range(FLIPS):
        labels = side ^ (rng.random(exam.max() + 1) < 0.5)[exam]
        drawn.append(roc_auc(labels, out_of_fold(mine[list(FEATURE_NAMES)], labels, exam, 0)))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _rows(seed: int, index: int, config: PreprocessConfig) -> tuple[list[dict[str, Any]], int]:
    profile = SCANNER_PROFILES[PROFILES[index % len(PROFILES)]]
    exam = draw_exam(seed, index, cancer=True)
    bare = _without_tumour(exam)
    rows, far = [], 0
    for number, view in enumerate(SCREENING_VIEWS):
        arms = {DRAWN: exam, BARE: bare} if view.laterality is exam.cancer_side else {OTHER: exam}
        shown = {}
        for arm, one in arms.items():
            rng = exam_generator(seed, index, 1 + number)
            shown[arm], boxes = render_view(one, view, profile, rng)
            facts = {"arm": arm, "exam": f"{seed}/{index}", "view": view.position.value}
            rows.append(facts | _numbers(shown[arm], profile, config))
            if arm == DRAWN:
                tumour = boxes[-1]  # drawn last
        if DRAWN in shown:
            size = FAR_BOXES * max(tumour.x_max - tumour.x_min, tumour.y_max - tumour.y_min)
            y, x = np.nonzero(shown[DRAWN] != shown[BARE])
            near = (x > tumour.x_min - size) & (x < tumour.x_max + size)
            near &= (y > tumour.y_min - size) & (y < tumour.y_max + size)
            far += int((~near).sum())
    return rows, far


def _without_tumour(exam: PhantomExam) -> PhantomExam:
    kept = {
        s: tuple(one for one in found if not one.malignant) for s, found in exam.lesions.items()
    }
    return replace(exam, lesions=kept)


def _numbers(
    stored: np.ndarray, profile: ScannerProfile, config: PreprocessConfig
) -> dict[str, float]:
    window = None if profile.window is None else Window(*profile.window)
    image = StoredImage(stored, bits_stored=BITS, inverted=profile.inverted, window=window)
    return prepare(image, config).features
