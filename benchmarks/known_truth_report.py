"""Picture and tables of `known_truth.json`.

python -m benchmarks.known_truth_report

Writes docs/pictures/known_truth.png, and the numbers of docs/known_truth.md
between its two marks; the words around them are written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from benchmarks.known_truth import RESULTS, TASK, TEST_SEED
from mammo.evaluation.plots import GRID, INK, MARKERS, MUTED, SERIES

DOCS = Path(__file__).parents[1] / "docs"
PAGE, FIGURE = DOCS / "known_truth.md", DOCS / "pictures/known_truth.png"
MARKS = ("<!-- numbers -->", "<!-- end of numbers -->")
AIM = 0.8
EXAMPLES = 4
NAMES = {
    "baseline_cnn": "baseline CNN, from scratch",
    "tf_efficientnet_lite0": "EfficientNet-lite0, from ImageNet",
}
Row = dict[str, Any]


def draw(results: dict[str, Any]) -> None:
    """Draw examples above, AUC and efficiency against the number of training images below."""
    figure = plt.figure(figsize=(11, 9.4), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.35))
    above, below = halves
    _draw_examples(above.subplots(2, EXAMPLES + 1, width_ratios=[1] * EXAMPLES + [0.9]))
    left, right = below.subplots(1, 2)
    for place, model in enumerate(_models(results)):
        rows = _rows(results, model)
        _draw_curve(left, rows, "auc", place)
        _draw_curve(right, rows, "efficiency", place)
    ideal = results["ideal"]["auc"]
    left.axhline(ideal, color=INK, lw=1.2)
    left.text(0.02, ideal, f"ideal observer {ideal:.3f}", va="bottom", transform=_mixed(left))
    left.axhline(0.5, color=MUTED, lw=1, ls=(0, (4, 4)))
    left.text(0.02, 0.5, "chance", va="bottom", color=MUTED, transform=_mixed(left))
    left.set(title="AUC", ylim=(0.48, 0.92))
    right.axhline(1, color=INK, lw=1.2)
    right.axhline(AIM, color=MUTED, lw=1, ls=(0, (4, 4)))
    right.text(0.02, AIM, f"aim {AIM}", va="bottom", color=MUTED, transform=_mixed(right))
    right.set(title="efficiency: (d' of the model / d' of the ideal observer)²", ylim=(-0.03, 1.05))
    left.legend(loc="lower right", bbox_to_anchor=(1, 0.08), frameon=False)
    sizes = sorted({row["size"] for row in results["runs"]})
    for axes in (left, right):
        _style(axes, sizes)
    figure.savefig(FIGURE, dpi=110)


def _draw_examples(grid: np.ndarray) -> None:
    drawn = TASK.draw(64, (TEST_SEED, 0))
    ratio = TASK.log_likelihood_ratio(drawn.images)
    for label, line in enumerate(grid):
        chosen = np.flatnonzero(drawn.labels == label)[:EXAMPLES]
        for axes, number in zip(line[:-1], chosen, strict=True):
            axes.imshow(drawn.images[number], cmap="gray", vmin=0.15, vmax=0.75)
            axes.set_title(f"log likelihood ratio {ratio[number]:+.1f}", fontsize=9)
            if label:
                y, x = drawn.places[number]
                axes.add_patch(Circle((x, y), 7, fill=False, color="#ffb000", lw=1.3))
        for axes in line:
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel("with a lesion" if label else "without")
    lesion = np.roll(TASK.lesion, (TASK.side_px // 2,) * 2, axis=(0, 1))
    grid[0, -1].imshow(lesion, cmap="gray")
    grid[0, -1].set_title("the lesion alone", fontsize=9)
    per_mm = np.fft.fftfreq(TASK.side_px, TASK.spacing_mm)[1 : TASK.side_px // 2]
    spectrum = grid[1, -1]
    spectrum.loglog(per_mm, TASK.spectrum[0, 1 : TASK.side_px // 2], color=SERIES[0])
    spectrum.set_title("power of the field", fontsize=9)
    spectrum.set_xlabel("frequency, 1/mm", fontsize=9)
    spectrum.set_xticks([0.1, 1], ["0.1", "1"])


def _draw_curve(axes: Axes, rows: list[Row], name: str, place: int) -> None:
    sizes = np.array([row["size"] for row in rows]) * (1 + 0.03 * place)  # bars side by side
    values = np.array([[row[name][one] for one in ("value", "low", "high")] for row in rows]).T
    axes.errorbar(
        sizes,
        values[0],
        yerr=np.abs(values[1:] - values[0]),
        color=SERIES[place],
        marker=MARKERS[place],
        capsize=3,
        label=NAMES.get(rows[0]["model"], rows[0]["model"]),
    )


def _style(axes: Axes, sizes: list[int]) -> None:
    axes.set(xscale="log", xlabel="training images, each a patient")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _mixed(axes: Axes) -> Any:
    """Return coordinates: share of the width across, values upwards."""
    return axes.get_yaxis_transform()


def table(results: dict[str, Any]) -> str:
    """Return the runs as a Markdown table."""
    head = "| model | training images | epochs | AUC | efficiency | CPU min |"
    lines = [head, "|---|---|---|---|---|---|"]
    for model in _models(results):
        lines += [
            f"| {NAMES.get(model, model)} | {row['size']:,} | {row['epochs']} "
            f"| {_cell(row['auc'])} | {_cell(row['efficiency'])} | {row['cpu_s'] / 60:.1f} |"
            for row in _rows(results, model)
        ]
    ideal, paired = results["ideal"], results["runs"][0]["ideal_auc"]
    lines += [
        "",
        f"The ideal observer: {_cell(paired)} on the same {paired['n_patients']:,} test images, "
        f"{ideal['auc']:.4f} (standard error {ideal['standard_error']:.4f}) on "
        f"{ideal['images']:,} others.",
    ]
    return "\n".join(lines)


def _cell(interval: dict[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _models(results: dict[str, Any]) -> list[str]:
    return sorted({row["model"] for row in results["runs"]})


def _rows(results: dict[str, Any], model: str) -> list[Row]:
    rows = [row for row in results["runs"] if row["model"] == model]
    return sorted(rows, key=lambda row: int(row["size"]))


def main() -> None:
    """Draw the picture and put the numbers into the page."""
    results = json.loads(RESULTS.read_text())
    draw(results)
    numbers = "\n".join((MARKS[0], table(results), MARKS[1]))
    between = re.compile(f"{re.escape(MARKS[0])}.*?{re.escape(MARKS[1])}", re.DOTALL)
    page = PAGE.read_text()
    if not between.search(page):
        raise SystemExit(f"{PAGE.name} lacks the marks {' and '.join(MARKS)}")
    PAGE.write_text(between.sub(lambda _: numbers, page))


if __name__ == "__main__":
    main()
