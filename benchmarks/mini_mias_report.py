"""Tables and picture of `mini_mias.json`.

python -m benchmarks.mini_mias_report

Writes docs/pictures/mini_mias.png, and the tables of docs/mini_mias.md between
their marks; the words around them are written by hand. The picture shows
curves only: the terms of mini-MIAS do not allow its images here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from benchmarks.mini_mias import RESULTS, TARGETS
from benchmarks.written import markdown_table, write_between
from mammo.evaluation.plots import INK, MUTED, SERIES

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "mini_mias.md", DOCS / "pictures/mini_mias.png"
NAMES = {"abnormal": "any abnormality", "cancer": "malignant", "dense": "dense tissue"}
PROBE = {"abnormal": (0.593, 0.015), "cancer": (0.506, 0.021), "dense": (0.871, 0.003)}
"""A linear probe on frozen lite0 features at 512 x 512, as the task states it."""
WAYS = {
    "recipe": "the recipe",
    "view_alone": "without the other breast",
    "image_labels": "without places: mean tissue, image labels",
    "dealt_labels": "the recipe, labels dealt to other patients",
}


def write(results: dict[str, Any]) -> None:
    """Write the tables and the picture."""
    write_between(PAGE, "result", _result_table(results))
    write_between(PAGE, "parts", _parts_table(results))
    draw(results, PICTURE)


def _result_table(results: dict[str, Any]) -> str:
    rows = []
    for target in TARGETS:
        told = results["targets"][target]["recipe"]
        between = told["averaged"]
        rows.append(
            [
                NAMES[target],
                f"{told['ordered_labels'].count('1')} of {results['images']}",
                f"{PROBE[target][0]:.3f} ± {PROBE[target][1]:.3f}",
                f"**{told['mean']:.3f} ± {told['sd']:.3f}**",
                f"{between['value']:.3f} ({between['low']:.3f} to {between['high']:.3f})",
            ]
        )
    head = ["target", "positive breasts", "linear probe", "recipe: mean ± SD of five shuffles"]
    table = markdown_table([*head, "averaged scores (95 % interval, patients resampled)"], rows)
    spent = sum(results["seconds"].values()) / 60
    return f"{table}\n\nThe whole run took {spent:.0f} minutes on one thread."


def _parts_table(results: dict[str, Any]) -> str:
    rows = []
    for way, name in WAYS.items():
        told = [results["targets"][target].get(way) for target in TARGETS]
        rows.append(
            [name, *("" if t is None else f"{t['mean']:.3f} ± {t['sd']:.3f}" for t in told)]
        )
    return markdown_table(["", *NAMES.values()], rows)


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the ROC curve of each target, of the scores averaged over the shuffles."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    for place, (axes, target) in enumerate(zip(figure.subplots(1, 3), TARGETS, strict=True)):
        ways = results["targets"][target]
        _curve(axes, ways["dealt_labels"], MUTED, "labels dealt to other patients", "--")
        _curve(axes, ways["view_alone"], SERIES[5], "without the other breast", "-")
        _curve(axes, ways["recipe"], SERIES[place], "the recipe", "-")
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=(0, (2, 4)))
        axes.set_title(NAMES[target], color=INK)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=9)
    figure.suptitle("mini-MIAS, 224 breasts of 112 patients, out of fold, five shuffles averaged")
    figure.savefig(path, dpi=150)


def _curve(axes: Axes, told: dict[str, Any], colour: str, name: str, style: str) -> None:
    labels = np.array([int(one) for one in told["ordered_labels"]])
    fpr, tpr, _ = roc_curve(labels, -np.arange(len(labels)))
    width = 1.1 if style == "--" else 1.6
    auc = told["averaged"]["value"]
    axes.plot(fpr, tpr, color=colour, lw=width, ls=style, label=f"{name}: {auc:.3f}")


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
