"""What each calibration costs and mends on logits whose true probability is known.

python -m benchmarks.calibration_curves     (about two minutes of one core)

Writes the tables of docs/calibration.md and its picture. Simulated logits, no model.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy import special

from benchmarks.written import Cells, markdown_table, write_between
from mammo.evaluation.bootstrap import wilson_bounds
from mammo.evaluation.calibration import (
    calibration_slope_intercept,
    expected_calibration_error,
    log_loss,
    reliability,
)
from mammo.evaluation.calibration_choice import choose_calibration, fit_calibration
from mammo.evaluation.calibration_fit import FITS

DOCS = Path(__file__).parents[1] / "docs"
SIZES = (60, 120, 250, 500, 1000, 3000)
DRAWS = 40
LATER = 20_000
SHOWN = 2000
INK, BEFORE, AFTER = "#1f2933", "#c9822b", "#2a6f97"


def line(x: np.ndarray) -> np.ndarray:
    """Too certain, and learnt at another prevalence: what a line mends."""
    return np.asarray(0.6 * x - 1.5)


def bend(x: np.ndarray) -> np.ndarray:
    """The logit tells much above zero and little below."""
    return np.where(x < 0, 0.3 * x, 2.0 * x) - 2.0


def steps(x: np.ndarray) -> np.ndarray:
    """Two steps: neither a line nor one bend."""
    return np.asarray(1.7 * np.tanh(3 * (x + 0.7)) + 2.0 * np.tanh(4 * (x - 1.2)) - 1.5)


TRUTHS = {"line": line, "bend": bend, "steps": steps}


def draw(rng: np.random.Generator, truth: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and outcomes (rows,) of the truth."""
    x = rng.normal(0, 1.2, rows)
    return x, rng.random(rows) < special.expit(TRUTHS[truth](x))


def excess(truth: str, rows: int) -> Cells:
    """Return the mean excess log loss of each method in millinats, and how often auto took it."""
    losses, chosen = [], []
    for seed in range(DRAWS):
        rng = np.random.default_rng([seed, rows])
        x, y = draw(rng, truth, rows)
        later, outcome = draw(rng, truth, LATER)
        best = log_loss(outcome, special.expit(TRUTHS[truth](later)))
        losses.append([log_loss(outcome, fit(x, y).apply(later)) - best for fit in FITS.values()])
        free = choose_calibration(x, y, np.arange(rows) // 2, candidates=tuple(FITS))
        chosen.append(list(FITS).index(free.method))
    auto = np.mean([row[place] for row, place in zip(losses, chosen, strict=True)])
    counts = np.bincount(chosen, minlength=len(FITS))
    means = [f"{1000 * value:.1f}" for value in (*np.mean(losses, axis=0), auto)]
    taken = [f"{name} {n}" for name, n in zip(FITS, counts, strict=True) if n]
    return [truth, str(rows), *means, ", ".join(taken)]


def mended(truth: str) -> Cells:
    """Return what is left of the miscalibration after each method, on ``SHOWN`` rows."""
    rng = np.random.default_rng(7)
    x, y = draw(rng, truth, SHOWN)
    later, outcome = draw(rng, truth, LATER)
    cells = [truth]
    for p in (special.expit(later), *(fit(x, y).apply(later) for fit in FITS.values())):
        slope, intercept = calibration_slope_intercept(outcome, p)
        error = expected_calibration_error(outcome, p)
        cells.append(f"{error:.3f} / {slope:.2f} / {intercept:+.2f}")
    return cells


def draw_reliability(axes: Axes, truth: str) -> None:
    """Draw the rates before and after ``auto`` on one panel."""
    rng = np.random.default_rng(7)
    x, y = draw(rng, truth, SHOWN)
    later, outcome = draw(rng, truth, 3000)
    calibration, choice = fit_calibration(x, y, np.arange(SHOWN) // 2)
    pairs = (
        ("before", BEFORE, special.expit(later)),
        (f"after ({choice.method})", AFTER, calibration.apply(later)),
    )
    axes.plot([0, 1], [0, 1], color="#6b7785", lw=1, ls=(0, (4, 4)))
    for name, colour, p in pairs:
        predicted, observed, rows = reliability(outcome, p)
        pairs_of = zip(observed, rows, strict=True)
        bounds = np.array([wilson_bounds(rate, n, 0.95) for rate, n in pairs_of]).T
        axes.vlines(predicted, *bounds, color=colour, alpha=0.4, lw=1.5)
        error = expected_calibration_error(outcome, p)
        axes.plot(predicted, observed, "o-", color=colour, ms=4, label=f"{name}: ECE {error:.3f}")
    axes.set_title(f"true shape: {truth}", loc="left", fontsize=10, color=INK)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="predicted probability")
    axes.legend(loc="upper left", fontsize=8, frameon=False)


def main() -> None:
    """Write the picture and the tables."""
    figure, panels = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
    for axes, truth in zip(panels, TRUTHS, strict=True):
        draw_reliability(axes, truth)
    panels[0].set_ylabel("observed rate")
    figure.savefig(DOCS / "pictures/calibration.png", dpi=110)
    page = DOCS / "calibration.md"
    head = ["true shape", "before", *FITS]
    write_between(page, "mended", markdown_table(head, map(mended, TRUTHS)))
    head = ["true shape", "breasts", *FITS, "auto", f"chosen, of {DRAWS}"]
    cells = (excess(truth, rows) for truth in TRUTHS for rows in SIZES)
    write_between(page, "excess", markdown_table(head, cells))


if __name__ == "__main__":
    main()
