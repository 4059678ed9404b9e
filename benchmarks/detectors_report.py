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
COST_HEAD = [
    "Detector",
    "Starts from",
    "Epochs",
    "Weights, MB",
    "A view, ms",
    "All training, s",
    "Commit",
]
GROUP_HEAD = ["Set", "Findings", "How many"]
GROUP_MARKS = "0.5"
"""False marks an image at which groups of findings are told."""
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
    write_between(PAGE, "detectors-groups", groups_table(results["detectors"]))
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


def groups_table(detectors: Mapping[str, Any]) -> str:
    """Return the shares of each kind and size of finding that are found, by detector."""
    first = next(iter(detectors.values()))
    rows = []
    for kind in ("phantoms", "mini-mias"):
        for grouped in ("by_kind", "by_size"):
            for group, told in first[kind][grouped].items():
                each = [one[kind][grouped][group]["sensitivity"] for one in detectors.values()]
                shares = [_interval(one[GROUP_MARKS]) for one in each]
                rows.append([kind, group, str(told["findings"]), *shares])
    return markdown_table([*GROUP_HEAD, *detectors], rows)


def cost_table(detectors: Mapping[str, Any]) -> str:
    """Return the table of size, latency and training time."""
    rows = [
        [
            name,
            one["start"],
            str(one["epochs"]),
            f"{one['size_mb']:.1f}",
            f"{one['view_ms']:.0f}",
            f"{one['train_s']:.0f}",
            one["commit"],
        ]
        for name, one in detectors.items()
    ]
    return markdown_table(COST_HEAD, rows)


def _interval(told: Mapping[str, float | None]) -> str:
    if any(one is None for one in told.values()):
        return "not defined"
    return f"{told['value']:.3f} ({told['low']:.3f}–{told['high']:.3f})"
