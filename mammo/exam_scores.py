"""From what the networks say of views to an exam: its views, breasts and codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mammo.breast_logits import aggregate_logits
from mammo.errors import MixedExams, NothingReadable, ScoreNotFinite
from mammo.exam import STANDARD_VIEWS, Laterality, OperatingPoint
from mammo.exam_report import BreastScore, Refused, ViewScore
from mammo.findings import SourcedFinding
from mammo.heat_findings import HeatFinding
from mammo.preferred import PART_VIEWS, suitable
from mammo.reading import ReadView


def score_breasts(
    logits: Iterable[tuple[str, float]], point: OperatingPoint
) -> tuple[BreastScore, ...]:
    """Average (laterality, view logit) pairs to breasts, sorted by laterality, and decide."""
    return decide_breasts(aggregate_logits(logits), point)


def decide_breasts(logits: Mapping[str, float], point: OperatingPoint) -> tuple[BreastScore, ...]:
    """Calibrate and decide the breasts of an exam, given laterality -> logit."""
    return tuple(
        BreastScore(side, logit, point.probability(logit), point.recalls(logit))
        for side, logit in sorted(logits.items())
    )


def score_views(
    views: Sequence[ReadView],
    logits: np.ndarray,
    point: OperatingPoint,
    findings: Sequence[tuple[HeatFinding | SourcedFinding, ...]],
    alone: np.ndarray,
) -> tuple[ViewScore, ...]:
    """Return each view's logit, and whether its breast's score pools it.

    ``alone`` (N,) are the logits that a breast of each view alone would have.
    """
    chosen = {id(one) for one in suitable([view.mammogram for view in views])}
    return tuple(
        ViewScore(
            one.mammogram.image_id,
            one.mammogram.view.laterality.value,
            one.mammogram.view.position.value,
            float(logit),
            one.mammogram.quality,
            id(one.mammogram) in chosen,
            point.probability(float(breast)),
            regions,
        )
        for one, logit, breast, regions in zip(views, logits, alone, findings, strict=True)
    )


def exam_quality(
    views: Sequence[ViewScore], scanner_known: bool, some_refused: bool
) -> tuple[str, ...]:
    """Return the exam's quality codes, sorted: the views' own and those of the whole."""
    codes = {code for view in views for code in view.quality}
    have = {
        (view.laterality, view.view)
        for view in views
        if view.pooled and PART_VIEWS.isdisjoint(view.quality)
    }
    sides = (Laterality.LEFT, Laterality.RIGHT)
    if not {(side.value, view.value) for side in sides for view in STANDARD_VIEWS} <= have:
        codes.add("MISSING_VIEW")
    if not scanner_known:
        codes.add("UNKNOWN_SCANNER")
    if some_refused:
        codes.add("FILE_REFUSED")
    return tuple(sorted(codes))


def require_one_exam(views: Sequence[ReadView], refused: tuple[Refused, ...]) -> None:
    """Raise NothingReadable where no view was read, MixedExams for those of several exams."""
    if not views:
        causes = "; ".join(f"file {i + 1}: {one.code}" for i, one in enumerate(refused))
        raise NothingReadable(f"None of the {len(refused)} files could be read: {causes}.", refused)
    exams = {view.mammogram.exam_id for view in views}
    if len(exams) > 1:
        raise MixedExams(f"The files belong to {len(exams)} exams; send one exam a request.")


def require_finite(release_id: str, **values: np.ndarray | None) -> None:
    """Raise ScoreNotFinite where a network's numbers hold NaN or infinity.

    ``values`` are by name, an array each; None was not asked for.
    """
    for name, numbers in values.items():
        if numbers is not None and not np.isfinite(numbers).all():
            bad = int(numbers.size - np.isfinite(numbers).sum())
            raise ScoreNotFinite(
                f"Release {release_id} gave {bad} of {numbers.size} {name} that are no finite "
                "number; nothing is told or logged of this exam. Roll the release back."
            )
