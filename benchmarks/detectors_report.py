"""The table and the picture that benchmarks/detectors.py writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.written import markdown_table, write_between
from mammo.appraisal.detection import DetectionSummary
from mammo.detection.matching import ImageDetections
from mammo.exam import Finding, parse_findings

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "detectors.md"
HEAD = [
    "Detector", "Set", "mAP@50", "mAP@50–95", "IoU of hits",
    "Found at 0.1", "0.25", "0.5", "1 false mark an image",
]  # fmt: skip
RULE = "centre"


@dataclass(frozen=True, eq=False)
class Measured:
    """What a detector found in a set, with the prepared images (N, H, W) of ``rows``."""

    detector: str
    kind: str
    rows: pd.DataFrame
    images: NDArray[np.uint16]
    found: list[ImageDetections]
    summary: DetectionSummary


def image_detections(
    rows: pd.DataFrame, found: Mapping[str, list[list[float]]]
) -> list[ImageDetections]:
    """Return the rows that were looked at with the readers' findings and the detector's."""
    return [
        ImageDetections(
            str(row.image_id),
            str(row.patient_id),
            parse_findings(str(row.findings)),
            tuple(Finding(*box[:4], "finding", score=box[4]) for box in found[str(row.image_id)]),
        )
        for row in rows.itertuples()
        if str(row.image_id) in found
    ]


def write_page(results: Mapping[str, Any]) -> None:
    """Replace the tables of docs/detectors.md."""
    write_between(PAGE, "detectors", measures_table(results["detectors"]))
    write_between(PAGE, "detectors-cost", cost_table(results["detectors"]))


def measures_table(detectors: Mapping[str, Any]) -> str:
    """Return the table of measures with 95% intervals, by set and detector."""
    rows = []
    for kind in ("phantoms", "mini-mias"):
        for name, told in detectors.items():
            one = told[kind]
            froc = [one["froc"][RULE][marks] for marks in ("0.1", "0.25", "0.5", "1.0")]
            cells = [one["map50"], one["map50_95"], one["mean_iou"], *froc]
            rows.append([name, kind, *map(_interval, cells)])
    return markdown_table(HEAD, rows)


def cost_table(detectors: Mapping[str, Any]) -> str:
    """Return the table of size, latency and training time."""
    rows = [
        [name, f"{one['size_mb']:.1f}", f"{one['view_ms']:.0f}", f"{one['train_s']:.0f}"]
        for name, one in detectors.items()
    ]
    return markdown_table(["Detector", "Weights, MB", "A view, ms", "All training, s"], rows)


def _interval(told: Mapping[str, float]) -> str:
    if not np.isfinite(told["value"]):
        return "not defined"
    return f"{told['value']:.3f} ({told['low']:.3f}–{told['high']:.3f})"
