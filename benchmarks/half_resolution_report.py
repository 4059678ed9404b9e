"""Tables and figure of `half_resolution.json`.

python -m benchmarks.half_resolution_report
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from benchmarks.half_resolution import RESULTS, SEED, SIZES, phantom_cases, prepare_ways

FIGURE = Path(__file__).parents[1] / "docs/pictures/half_resolution.png"
BANDS = ((0.0, 0.25), (0.25, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.4))
"""Prepared pixels per original pixel."""
DRAWS = 2000
EXAMPLE_MM, FIELD_MM = 0.1, 27.0
Row = dict[str, Any]


def ratio(rows: Iterable[Row], measure: str) -> tuple[float, float, float]:
    """Return half over exact, geometric mean over images, with its 95% interval over patients."""
    logs: dict[str, list[float]] = {}
    for row in rows:
        change = np.log(row["half"][measure] / row["exact"][measure])
        logs.setdefault(row["patient"], []).append(float(change))
    patients = [np.array(values) for values in logs.values()]
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(patients), size=(DRAWS, len(patients)))
    means = [np.concatenate([patients[index] for index in one]).mean() for one in drawn]
    low, high = np.quantile(means, (0.025, 0.975))
    middle = float(np.concatenate(patients).mean())
    return float(np.exp(middle)), float(np.exp(low)), float(np.exp(high))


def table_by_scale(rows: list[Row], measure: str) -> str:
    """Return a Markdown table: bands of scale down, diameters across."""
    diameters = sorted({row["diameter_mm"] for row in rows})
    head = ["prepared per original pixel", "images", *(f"{one:g} mm" for one in diameters)]
    lines = [_line(head), _line(["---"] * len(head))]
    for low, high in BANDS:
        band = [row for row in rows if low <= row["scale"] < high]
        if band:
            cells = [
                _cell([r for r in band if r["diameter_mm"] == one], measure) for one in diameters
            ]
            lines.append(_line([f"{low:g} to {high:g}", str(len(band) // len(diameters)), *cells]))
    return "\n".join(lines)


def table_by_size(rows: list[Row]) -> str:
    """Return a Markdown table: pixel and output size down; PSNR, speed and d' across."""
    head = ["pixel, mm", "prepared at", "scale", "PSNR, dB", "faster", "d' of 0.2 mm", "of 0.3 mm"]
    lines = [_line(head), _line(["---"] * len(head))]
    keys = sorted({(row["spacing_mm"], row["height"]) for row in rows})
    for spacing, height in keys:
        mine = [row for row in rows if (row["spacing_mm"], row["height"]) == (spacing, height)]
        seconds = np.array([row["seconds"] for row in mine])
        detected = [_pair(mine, diameter) for diameter in (0.2, 0.3)]
        lines.append(
            _line(
                [
                    f"{spacing:g}",
                    f"{height} x {height // 2}",
                    _span(row["scale"] for row in mine),
                    f"{np.median([row['psnr_db'] for row in mine]):.1f}",
                    f"{np.median(seconds[:, 0] / seconds[:, 1]):.1f} times",
                    *detected,
                ]
            )
        )
    return "\n".join(lines)


def _pair(rows: list[Row], diameter: float) -> str:
    mine = [row for row in rows if row["diameter_mm"] == diameter]
    exact, half = (np.mean([r[way]["detectability"] for r in mine]) for way in ("exact", "half"))
    return f"{exact:.2f} → {half:.2f}"


def _span(values: Iterable[float]) -> str:
    listed = list(values)
    return f"{min(listed):.2f} to {max(listed):.2f}"


def _cell(rows: list[Row], measure: str) -> str:
    middle, low, high = ratio(rows, measure)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw(rows: list[Row], path: Path) -> None:
    """Draw contrast and d' kept against the scale, and below how it looks."""
    figure = plt.figure(figsize=(11, 8), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 0.85))
    axes = above.subplots(1, 2, sharey=True)
    titles = {"contrast": "contrast kept", "detectability": "detectability d' kept"}
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        _draw_measure(axis, rows, lambda row, m=measure: row["half"][m] / row["exact"][m])
        axis.set_title(f"{title}: half resolution / exact", fontsize=10)
    above.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    _draw_examples(below)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_examples(figure: SubFigure) -> None:
    """Show the same field of a phantom of 0.1 mm pixels, exact above and half below."""
    case = next(phantom_cases(1, [EXAMPLE_MM]))
    middle = case.places[len(case.places) // 2]
    axes = figure.subplots(2, len(SIZES))
    for row, (name, pairs) in enumerate(zip(("exact", "half"), prepare_ways(case), strict=True)):
        for column, way in enumerate(pairs):
            prepared = way.pair[1]
            x, y = prepared.geometry.to_prepared(*middle)
            reach = FIELD_MM / EXAMPLE_MM * prepared.geometry.scale / 2
            field = prepared.pixels[round(y - reach / 3) : round(y + reach / 3), :]
            field = field[:, round(x - reach) : round(x + reach)]
            axis = axes[row, column]
            axis.imshow(field, cmap="gray", interpolation="nearest")
            axis.set_axis_off()
            title = f"{name}, {SIZES[column][0]} x {SIZES[column][1]}"
            axis.set_title(f"{title}, scale {prepared.geometry.scale:.2f}", fontsize=9)


def _draw_measure(axis: Axes, rows: list[Row], value: Callable[[Row], float]) -> None:
    colours = plt.get_cmap("viridis")
    diameters = sorted({row["diameter_mm"] for row in rows})
    for number, diameter in enumerate(diameters):
        for kind, mark in (("phantom", "o"), ("real", "^")):
            mine = [r for r in rows if r["diameter_mm"] == diameter and r["kind"] == kind]
            axis.plot(
                [row["scale"] for row in mine],
                [value(row) for row in mine],
                mark,
                color=colours(0.9 * number / (len(diameters) - 1)),
                markersize=4,
                alpha=0.7,
                label=f"{diameter:g} mm, {kind}",
            )
    axis.axhline(1, color="grey", linewidth=0.8)
    axis.axvline(0.5, color="grey", linewidth=0.8, linestyle="--")
    axis.set_xlabel("prepared pixels per original pixel")


def main() -> None:
    """Print the tables and write the figure."""
    rows = json.loads(RESULTS.read_text())
    for kind in ("phantom", "real"):
        mine = [row for row in rows if row["kind"] == kind]
        if not mine:
            continue
        for measure in ("contrast", "cnr", "detectability"):
            print(f"\n{kind}, {measure}, half over exact:\n\n{table_by_scale(mine, measure)}")
        print(f"\n{kind}:\n\n{table_by_size(mine)}")
        print("same crop:", sum(r["same_crop"] for r in mine) / len(mine))
    draw(rows, FIGURE)


if __name__ == "__main__":
    main()
