"""The FROC curves of one detector or several, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mammo.appraisal.detection import DetectionSummary
from mammo.detection.matching import CENTRE

TOLD = (0.1, 0.25, 0.5, 1, 2, 5)
MOST_MARKS = 10.0


def draw_froc(path: Path, summaries: Mapping[str, DetectionSummary]) -> None:
    """Draw sensitivity over false marks an image, by the centre rule, as a PNG.

    ``summaries`` are by the detector's name; all of the same images.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for name, one in summaries.items():
        marks, found = one.curves[CENTRE]
        last = max(MOST_MARKS, marks[-1])
        axes.step([*marks, last], [*found, found[-1]], where="post", label=name)
    first = next(iter(summaries.values()))
    axes.set(
        xscale="log", xlim=(0.03, MOST_MARKS), ylim=(0, 1), xlabel="false marks an image",
        ylabel="findings marked (middle of the box within)",
        title=f"{first.findings} findings in {first.images} images of {first.patients} patients",
    )  # fmt: skip
    axes.set_xticks(TOLD, [f"{one:g}" for one in TOLD])
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=110)
