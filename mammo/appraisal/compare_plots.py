"""The figures of a comparison: curves over each other, differences of pairs, cost."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mammo.appraisal.compare import Comparison
from mammo.appraisal.compare_cost import Cost
from mammo.appraisal.evaluate import LevelEvaluation
from mammo.explore.plots import (
    INK,
    MUTED,
    ROW_INCHES,
    SERIES,
    new_figure,
    style,
    to_plot,
)
from mammo.explore.section import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
MARKERS = "osD^vP*X"


def curves_figure(found: Comparison) -> Figure:
    """Draw ROC and precision-recall curves over each other, a colour and a dash a run."""
    figure, (roc, pr) = new_figure(4.3, 2)
    style(roc, "1 - specificity", "sensitivity")
    style(pr, "sensitivity (recall)", "PPV (precision)")
    roc.axvspan(0, 0.2, color=MUTED, alpha=0.08, lw=0)
    roc.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (1, 3)))
    for look, (name, level) in _looks(found):
        assert level.roc is not None and level.precision_recall is not None
        auc, precision = (level.metrics[one].interval.value for one in ("auc", "average_precision"))
        roc.plot(level.roc.x, level.roc.y, label=f"{found.letter(name)}: AUC {auc:.3f}", **look)
        label = f"{found.letter(name)}: {precision:.3f}"
        pr.plot(level.precision_recall.x, level.precision_recall.y, label=label, **look)
    share = float(next(iter(found.evaluations.values())).main.rows.labels.mean())
    pr.axhline(share, color=MUTED, lw=1, ls=(0, (1, 3)))
    for axes in (roc, pr):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.legend(frameon=False, fontsize=7.5, loc="lower right" if axes is roc else "lower left")
    return figure


def differences_figure(found: Comparison) -> Figure:
    """Draw the AUC difference of every pair with its interval."""
    figure, (axes,) = new_figure(1.1 + ROW_INCHES * len(found.pairs))
    style(axes, "difference of AUC, second minus first")
    axes.axvline(0, color=INK, lw=1)
    for y, pair in enumerate(found.pairs):
        one = pair.difference("auc")
        sure = pair.p_holm["auc"] < 0.05
        axes.hlines(y, one.low, one.high, color=SERIES[0], lw=2.2)
        marker = "D" if sure else "o"
        fill = SERIES[0] if sure else "white"
        axes.plot(one.difference, y, marker, color=SERIES[0], mfc=fill, ms=6, zorder=3)
    names = [found.between(pair) for pair in found.pairs]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    return figure


def calibration_figure(found: Comparison) -> Figure:
    """Draw observed against predicted, the runs over each other."""
    figure, (axes, bars) = new_figure(4.0, 2)
    style(axes, "predicted probability", "observed rate")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (1, 3)))
    for place, (look, (name, level)) in enumerate(_looks(found)):
        bins = level.calibration
        axes.plot(
            [one.predicted for one in bins], [one.observed for one in bins],
            marker=MARKERS[place % len(MARKERS)], ms=4.5, label=found.letter(name), **look,
        )  # fmt: skip
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")
    style(bars, "Brier score (0 is best)")
    for place, (name, one) in enumerate(found.evaluations.items()):
        brier = one.main.metrics["brier"].interval
        bars.hlines(place, brier.low, brier.high, color=_colour(place), lw=2.2)
        bars.plot(brier.value, place, MARKERS[place % len(MARKERS)], color=_colour(place), ms=6)
        bars.annotate(
            found.letter(name), (brier.low, place), xytext=(0, 7), textcoords="offset points",
            fontsize=8, color=INK,
        )  # fmt: skip
    bars.set_ylim(len(found.evaluations) - 0.4, -0.7)
    bars.set_yticks([])
    return figure


def cost_figure(found: Comparison, costs: Sequence[Cost]) -> Figure:
    """Draw AUC against the time of a view; size and parameters in the legend."""
    figure, (axes,) = new_figure(3.2)
    style(axes, "time of a view, times that of the first run", "AUC")
    for place, cost in enumerate(costs):
        auc = found.evaluations[cost.run].main.metrics["auc"].interval
        axes.vlines(cost.ratio, auc.low, auc.high, color=_colour(place), lw=2)
        label = f"{found.letter(cost.run)}: {cost.graph_mb:.2f} MB, {cost.parameters / 1e6:.2f} M"
        marker = MARKERS[place % len(MARKERS)]
        axes.plot(cost.ratio, auc.value, marker, color=_colour(place), ms=8, label=label)
    axes.set_xscale("log")
    ticks = [one.ratio for one in costs]
    low, high = min(ticks), max(ticks)
    shown = [
        t
        for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
        if low / 1.6 <= t <= high * 1.6
    ]
    axes.set_xticks(shown, [f"{t:g}" for t in shown])
    axes.minorticks_off()
    axes.set_xlim(low / 1.4, high * 1.4)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG, for a notebook."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100, metadata={"Software": None})
    return written.getvalue()


def curves_plot(found: Comparison) -> Plot:
    """Return `curves_figure` for the page."""
    alt = (
        f"ROC and precision-recall curves by {found.level} of "
        f"{len(found.runs)} runs on the same exams; dotted is chance, shaded a specificity of 0.8 "
        "and more. Legends hold AUC and average precision."
    )
    return to_plot(curves_figure(found), "curves", f"Curves by {found.level}", alt)


def differences_plot(found: Comparison) -> Plot:
    """Return `differences_figure` for the page."""
    alt = (
        "Paired difference of AUC of every pair of runs with its 95% interval; a filled diamond is "
        "a difference that stands after Holm's adjustment over the pairs."
    )
    return to_plot(differences_figure(found), "differences", "Differences of pairs", alt)


def calibration_plot(found: Comparison) -> Plot:
    """Return `calibration_figure` for the page."""
    alt = (
        "Left, observed rate against predicted probability in bins of equally many, dotted is "
        "perfect; right, each run's Brier score with its 95% interval."
    )
    return to_plot(calibration_figure(found), "calibration", "Probabilities", alt)


def cost_plot(found: Comparison, costs: Sequence[Cost]) -> Plot:
    """Return `cost_figure` for the page."""
    alt = (
        "AUC with its 95% interval against the time of a view (logarithmic), by run; the legend "
        "has the size of the graph and millions of parameters."
    )
    return to_plot(cost_figure(found, costs), "cost", "Skill and cost", alt)


def _looks(found: Comparison) -> list[tuple[dict[str, Any], tuple[str, LevelEvaluation]]]:
    return [
        ({"color": _colour(place), "ls": LINES[place % len(LINES)], "lw": 1.8}, (name, one.main))
        for place, (name, one) in enumerate(found.evaluations.items())
    ]


def _colour(place: int) -> str:
    return SERIES[place % len(SERIES)]
