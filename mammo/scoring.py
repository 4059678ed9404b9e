"""An exam between its files and its report: read, then scored with its heat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mammo.detection.carried import CarriedDetector
from mammo.exam_report import ExamReport, Refused
from mammo.findings import SourcedFinding, merge_findings
from mammo.geometry import Geometry
from mammo.heat_findings import HeatFinding, find_regions
from mammo.heat_map import Grid, HeatMap
from mammo.reading import ReadView


@dataclass(frozen=True, eq=False)
class ReadExam:
    """The files of one exam, read and prepared; ``started`` is when, on `time.perf_counter`.

    Any release that prepares images alike can score it (`Screener.same_preparation`).
    """

    views: tuple[ReadView, ...]
    refused: tuple[Refused, ...]
    started: float


@dataclass(frozen=True, eq=False)
class Scoring:
    """A report, and what its pictures and findings are made of.

    ``views`` are those of ``report.views``, in that order; ``heat`` (N, h, w)
    float32 in logits a cell, None where the release's graph does not tell it.
    ``grid`` says where its cells look. ``role`` is that of the log. ``network_seconds``
    is what the networks took for all views together.
    """

    report: ExamReport
    views: tuple[ReadView, ...]
    heat: np.ndarray | None
    grid: Grid | None
    role: str = "champion"
    network_seconds: float = 0.0

    def heat_map(self, place: int) -> HeatMap | None:
        """Return the heat of a view, in pixels of its original."""
        if self.heat is None or self.grid is None:
            return None
        return HeatMap(self.heat[place], self.views[place].prepared.geometry, self.grid)


def find_in_views(
    geometries: Sequence[Geometry], heat: np.ndarray | None, grid: Grid | None
) -> list[tuple[HeatFinding, ...]]:
    """Return the findings of each view by its heat; none where the graph tells no heat."""
    if heat is None or grid is None:
        return [()] * len(geometries)
    return [
        find_regions(HeatMap(one, geometry, grid))
        for one, geometry in zip(heat, geometries, strict=True)
    ]


def add_marks(
    regions: Sequence[tuple[HeatFinding, ...]],
    detector: CarriedDetector,
    marks: np.ndarray,
    geometries: Sequence[Geometry],
) -> list[tuple[SourcedFinding, ...]]:
    """Return the findings of each view by its heat and the detector's marks (N, 50, 5)."""
    return [
        merge_findings(of_view, detector.findings(one, geometry))
        for of_view, one, geometry in zip(regions, marks, geometries, strict=True)
    ]
