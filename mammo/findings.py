"""Findings of a view from two sources as one list: the classifier's heat and a detector.

A place that both name is one finding with both sources. Both name it when the
centre of one box lies in the other: the heat's boxes are as coarse as its grid, so
that intersection over union says how coarse the grid is and not whether the place
is the same. The detector's marks choose first, the surest before the others; each
takes the region of those left that fits it best. A finding of both has the
detector's box, which is the finer one.

The list begins with what both name, then what the detector alone names, each by its
score, then what the heat alone names, by its share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.detection.boxes import boxes_of, centres_in, overlaps
from mammo.exam import Finding
from mammo.heat_findings import KIND, HeatFinding

HEAT, DETECTOR = "heat", "detector"
BOTH = (HEAT, DETECTOR)


@dataclass(frozen=True, slots=True)
class SourcedFinding:
    """A half-open box in pixels of the original image (x right, y down), and who named it.

    ``sources`` holds `HEAT`, `DETECTOR` or both, in that order. ``share`` in (0, 1] and
    ``logit`` are the heat's (`HeatFinding`), None where it does not name the place;
    ``score`` in [0, 1] is the detector's, None where that does not. A score is no
    probability: detectors are not calibrated.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    sources: tuple[str, ...]
    share: float | None = None
    logit: float | None = None
    score: float | None = None
    kind: str = KIND

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, places rounded to a tenth of a pixel; ``source`` is all in one."""
        edges = {name: round(getattr(self, name), 1) for name in ("x_min", "y_min")}
        edges |= {name: round(getattr(self, name), 1) for name in ("x_max", "y_max")}
        named = {"sources": list(self.sources), "source": "+".join(self.sources)}
        return asdict(self) | edges | named


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far heat and detector agree on the places of one breast.

    ``both``, ``heat_only`` and ``detector_only`` count places in all of its pooled views.
    ``share`` is the part of all places that both name, None where there is none at all.
    ``top`` says, of the view in which the detector is surest, whether its first place and
    the strongest of the heat are one; None where one of the two names nothing in the breast.
    """

    laterality: str
    both: int
    heat_only: int
    detector_only: int
    share: float | None
    top: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields without the breast's, as its answer has them."""
        told = asdict(self)
        del told["laterality"]
        return told


def merge_findings(
    regions: Sequence[HeatFinding], marks: Sequence[Finding]
) -> tuple[SourcedFinding, ...]:
    """Return the places that the heat's regions and the detector's marks of one view name.

    Both are in pixels of the original. Each region and each mark is in one finding.
    """
    ordered = sorted(marks, key=lambda mark: -mark.score)
    fits = _fits(ordered, regions)
    free = np.ones(len(regions), bool)
    shared, alone = [], []
    for mark, fit in zip(ordered, fits, strict=True):
        place = _best(fit, free)
        if place is None:
            alone.append(_of_mark(mark))
        else:
            free[place] = False
            shared.append(_of_both(mark, regions[place]))
    left = [one for one, is_free in zip(regions, free, strict=True) if is_free]
    rest = sorted(left, key=lambda one: -one.share)
    return (*shared, *alone, *(_of_region(one) for one in rest))


def measure_agreement(laterality: str, views: Iterable[Sequence[SourcedFinding]]) -> Agreement:
    """Return how far the sources agree on a breast, given the findings of each pooled view."""
    views = list(views)
    named = [one.sources for findings in views for one in findings]
    both, heat, detector = (named.count(one) for one in (BOTH, (HEAT,), (DETECTOR,)))
    share = both / len(named) if named else None
    top = _same_top(views) if both + heat and both + detector else None
    return Agreement(laterality, both, heat, detector, share, top)


def tell_sources(finding: Mapping[str, Any], decimals: int = 0) -> str:
    """Return what an answer's finding rests on, in words.

    For example ``62% of the evidence``, ``detector 0.41``, or both.
    """
    told = []
    if finding.get("share") is not None:
        told.append(f"{finding['share']:.{decimals}%} of the evidence")
    if finding.get("score") is not None:
        told.append(f"detector {finding['score']:.2f}")
    return ", ".join(told)


def _same_top(views: Sequence[Sequence[SourcedFinding]]) -> bool:
    surest = max(views, key=lambda findings: max((one.score or 0.0 for one in findings), default=0))
    mark = max(surest, key=lambda one: one.score or 0.0)
    region = max(surest, key=lambda one: one.share or 0.0)
    return mark is region and mark.sources == BOTH


def _fits(marks: Sequence[Finding], regions: Sequence[HeatFinding]) -> NDArray[np.float64]:
    """Return (M, R) the overlap of pairs whose centres lie within each other; else -1."""
    first, second = boxes_of(marks), boxes_of(regions)
    within = centres_in(first, second) | centres_in(second, first).T
    return np.where(within, overlaps(first, second), -1.0)


def _best(fit: NDArray[np.float64], free: NDArray[np.bool_]) -> int | None:
    candidates = np.where(free, fit, -1.0)
    if not candidates.size or candidates.max() < 0:
        return None
    return int(candidates.argmax())


def _of_mark(mark: Finding) -> SourcedFinding:
    box = (mark.x_min, mark.y_min, mark.x_max, mark.y_max)
    return SourcedFinding(*box, (DETECTOR,), score=mark.score)


def _of_region(region: HeatFinding) -> SourcedFinding:
    box = (region.x_min, region.y_min, region.x_max, region.y_max)
    return SourcedFinding(*box, (HEAT,), region.share, region.logit)


def _of_both(mark: Finding, region: HeatFinding) -> SourcedFinding:
    return replace(_of_mark(mark), sources=BOTH, share=region.share, logit=region.logit)
