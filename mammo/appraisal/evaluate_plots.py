"""The figures of an evaluation: ROC and PR curve, calibration, scores, confusion, subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from mammo.appraisal.evaluate import Evaluation, LevelEvaluation, plural
from mammo.appraisal.evaluate_words import Words
from mammo.appraisal.metric_names import show
from mammo.evaluation.curves import CalibrationBin
from mammo.evaluation.subgroups import SubgroupResult
from mammo.explore.plots import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    NEGATIVE,
    ORANGE,
    POSITIVE,
    ROW_INCHES,
    clip,
    new_figure,
    style,
    to_plot,
)
from mammo.explore.section import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
MARKERS = "sD^vP*X"


def curves_plot(found: Evaluation, words: Words) -> Plot:
    """Draw the ROC curve and the precision-recall curve with bands and operating points."""
    main = found.main
    figure, (roc, pr) = new_figure(4.3, 2)
    _draw_roc(roc, found)
    _draw_pr(pr, found)
    points = "the point at which the release decides" if words.has_points else "the point at 0.5"
    alt = (
        f"ROC and precision-recall curve of {words.described(main)} with their 95% bands "
        f"(patients resampled, pointwise); marked is {points}. Shaded: specificity of 0.8 and more."
    )
    if main.metrics["average_precision"].corrected is not None:
        alt += f" Precision is at {words.prevalence}."
    return to_plot(figure, "plot-curves", f"Curves by {found.level}", alt)


def _draw_roc(axes: Axes, found: Evaluation) -> None:
    main = found.main
    assert main.roc is not None
    style(axes, "1 - specificity", "sensitivity")
    axes.axvspan(0, 0.2, color=MUTED, alpha=0.08, lw=0)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 4)))
    axes.fill_between(main.roc.at, main.roc.low, main.roc.high, color=BLUE, alpha=0.18, lw=0)
    auc = show("auc", main.metrics["auc"].interval)
    axes.plot(main.roc.x, main.roc.y, color=BLUE, lw=1.8, label=f"AUC {auc}")
    points = _scanner_points(found)
    for marker, (name, x, y) in zip(MARKERS, points if len(points) > 1 else (), strict=False):
        axes.plot(x, y, marker, color=ORANGE, mec=INK, mew=0.6, ms=5.5, label=clip(name, 26))
    x, y = _at(main, "specificity", "sensitivity")
    axes.plot(1 - x, y, "o", color=POSITIVE, mec=INK, ms=7, label="operating points, all")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.legend(loc="lower right", frameon=False, fontsize=7.5)


def _draw_pr(axes: Axes, found: Evaluation) -> None:
    main = found.main
    assert main.precision_recall is not None
    curve, metric, ppv = (
        main.precision_recall,
        main.metrics["average_precision"],
        main.metrics["ppv"],
    )
    style(axes, "sensitivity (recall)", "PPV (precision)")
    axes.fill_between(curve.at, curve.low, curve.high, color=GREEN, alpha=0.18, lw=0)
    shown = show("average_precision", metric.corrected or metric.interval)
    axes.plot(curve.x, curve.y, color=GREEN, lw=1.8, label=f"average precision {shown}")
    corrected = metric.corrected is not None and ppv.corrected is not None
    share = _weighted_prevalence(found) if corrected else float(main.rows.labels.mean())
    axes.axhline(share, color=MUTED, lw=1, ls=(0, (4, 4)), label=f"chance: {100 * share:.2g}%")
    y = ppv.corrected.value if corrected and ppv.corrected else ppv.interval.value
    x = main.metrics["sensitivity"].interval.value
    if np.isfinite(y):
        axes.plot(x, y, "o", color=POSITIVE, mec=INK, ms=7, label="operating points, all")
    top = min(1.02, 1.15 * max(float(np.nanmax(curve.y)), share)) if corrected else 1.02
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02 * top, top))
    axes.legend(loc="upper right", frameon=False, fontsize=7.5)


def _at(level: LevelEvaluation, first: str, second: str) -> tuple[float, float]:
    return level.metrics[first].interval.value, level.metrics[second].interval.value


def _weighted_prevalence(found: Evaluation) -> float:
    labels = found.main.rows.labels
    if found.weights is None:
        return float(labels.mean())
    weight = found.weights[found.draws.codes(found.main.rows.patients)]
    return float(np.average(labels, weights=weight))


def _scanner_points(found: Evaluation) -> list[tuple[str, float, float]]:
    """Return (scanner, 1 - specificity, sensitivity) where both classes are there."""
    units = found.units[found.level]
    points = []
    for name, rows in units.groupby(units["scanner"].fillna("not stated").astype(str)):
        y, r = rows["label"].to_numpy(bool), rows["recalled"].to_numpy(bool)
        if y.any() and (~y).any():
            points.append((str(name), float(r[~y].mean()), float(r[y].mean())))
    return points


def calibration_plot(found: Evaluation, words: Words) -> Plot:
    """Draw observed against predicted in equal-mass bins, beside a histogram of probabilities."""
    main = found.main
    figure, (curve, histogram) = new_figure(3.7, 2)
    style(curve, "predicted probability", "observed rate")
    curve.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 4)))
    _draw_bins(curve, main.calibration, BLUE, "o-", "as the set is")
    if main.calibration_corrected:
        stated = f"at {100 * (found.prevalence or 0):.3g}% of exams"
        _draw_bins(curve, main.calibration_corrected, ORANGE, "s--", stated)
        curve.legend(frameon=False, fontsize=8, loc="upper left")
    limit = _far(main)
    bounds = (-0.02 * limit, 1.02 * limit)
    curve.set(xlim=bounds, ylim=bounds, aspect="equal")
    _draw_histogram(histogram, main, limit, plural(found.level))
    carried = f"; squares carry it to {words.prevalence}" if found.prevalence is not None else ""
    alt = (
        f"Observed rate against predicted probability of {words.described(main)} in "
        f"{len(main.calibration)} bins of equally many, with 95% intervals{carried}. At the right, "
        f"how many {plural(found.level)} have which probability (logarithmic)."
    )
    return to_plot(figure, "plot-calibration", f"Calibration by {found.level}", alt)


def _draw_bins(
    axes: Axes, bins: Sequence[CalibrationBin], color: str, line: str, label: str
) -> None:
    predicted = [one.predicted for one in bins]
    axes.vlines(predicted, [b.low for b in bins], [b.high for b in bins], color=color, alpha=0.45)
    axes.plot(predicted, [b.observed for b in bins], line, color=color, ms=4.5, lw=1.3, label=label)


def _far(main: LevelEvaluation) -> float:
    """Return how far the axes go: to 1, unless every bin is near 0 as in screening."""
    far = max(max(one.predicted, one.observed) for one in main.calibration)
    return 1.0 if far > 0.4 else 1.4 * max(far, 0.01)


def _draw_histogram(axes: Axes, main: LevelEvaluation, limit: float, units: str) -> None:
    style(axes, "predicted probability", f"{units} (logarithmic)")
    edges = np.linspace(0, limit, 26)
    rows = main.rows
    for label, color, name in ((False, NEGATIVE, "negative"), (True, POSITIVE, "positive")):
        kept = np.clip(rows.probability[rows.labels == label], 0, limit)
        axes.hist(kept, edges.tolist(), color=color, alpha=0.6, label=name, log=True)
    axes.set_ylim(bottom=0.7)
    axes.tick_params(which="minor", length=0)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def scores_plot(found: Evaluation, words: Words) -> Plot:
    """Draw the distribution of scores of positives and negatives, on the logit scale."""
    rows = found.main.rows
    figure, (axes,) = new_figure(2.9)
    style(axes, "calibrated probability (logit scale)", "share of the class, %")
    low, high = np.quantile(rows.scores, (0.001, 0.999)) if len(rows.scores) > 1000 else (
        rows.scores.min(), rows.scores.max())  # fmt: skip
    pad = 0.05 * max(high - low, 1e-6)
    edges = np.linspace(low - pad, high + pad, 36).tolist()
    for label, color, name in ((False, NEGATIVE, "negative"), (True, POSITIVE, "positive")):
        kept = np.clip(rows.scores[rows.labels == label], edges[0], edges[-1])
        weights = np.full(len(kept), 100 / max(len(kept), 1))
        axes.hist(kept, edges, weights=weights, color=color, alpha=0.55,
                  label=f"{name} ({len(kept):,})")  # fmt: skip
    thresholds = {
        float(one) for one in found.units[found.level]["threshold"].unique() if 0 < one < 1
    }
    what = "threshold" if len(thresholds) == 1 else "thresholds of the scanners"
    for place, threshold in enumerate(sorted(thresholds)):
        named = what if place == 0 else None
        axes.axvline(special.logit(threshold), color=INK, lw=1, ls=(0, (3, 3)), label=named)
    ticks = [t for t in TICKS if edges[0] <= special.logit(t) <= edges[-1]]
    if len(ticks) > 1:
        axes.set_xticks([special.logit(t) for t in ticks], [f"{t:g}" for t in ticks])
    else:  # all scores within a hair's breadth
        axes.xaxis.set_major_formatter(lambda x, _: f"{special.expit(x):.4f}")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    alt = (
        f"Distribution of the calibrated probability of {words.described(found.main)}, positives "
        "and negatives apart, each as shares of its class."
    )
    return to_plot(figure, "plot-scores", f"Scores by outcome, by {found.level}", alt)


def confusion_plot(found: Evaluation, words: Words) -> Plot:
    """Draw the confusion matrix of every level, counts with their share of the outcome."""
    figure, panels = new_figure(2.35, len(found.levels))
    for axes, (name, level) in zip(panels, found.levels.items(), strict=True):
        c = level.confusion
        cells = np.array([[c["tp"], c["fn"]], [c["fp"], c["tn"]]])
        shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
        # cells as shapes: two equal images would have one id
        axes.pcolormesh([-0.5, 0.5, 1.5], [-0.5, 0.5, 1.5], shares, cmap="Blues", vmin=0, vmax=1.3)
        axes.invert_yaxis()
        for (y, x), cell in np.ndenumerate(cells):
            color = "white" if shares[y, x] > 0.75 else INK
            axes.text(x, y, f"{cell:,}\n{100 * shares[y, x]:.0f}%", ha="center", va="center",
                      fontsize=8.5, color=color)  # fmt: skip
        axes.set_title(plural(name), fontsize=9.5, color=INK, loc="left")
        axes.set_xticks([0, 1], ["recalled", "not recalled"], fontsize=7.5)
        axes.set_yticks([0, 1], ["positive", "negative"] if name == "image" else ["", ""],
                        fontsize=8, rotation=90, va="center")  # fmt: skip
        axes.grid(visible=False)
    alt = (
        "Confusion matrices by image, breast, exam and patient; rows are outcomes, columns "
        f"decisions {words.decided}, percentages are of the outcome."
    )
    return to_plot(figure, "plot-confusion", "Confusion matrices", alt)


def forest_plot(results: Sequence[SubgroupResult]) -> Plot:
    """Draw AUC and sensitivity of every subgroup; the first result is the total."""
    shown = [one for one in results if {"auc", "sensitivity"} & set(one.metrics)]
    figure, panels = new_figure(1.1 + 0.72 * ROW_INCHES * len(shown), 2, sharey=True)
    for axes, metric in zip(panels, ("auc", "sensitivity"), strict=True):
        _draw_forest(axes, shown, metric)
    names = [one.name if place == 0 else f"{one.attribute}: {clip(one.name, 30)}"
             for place, one in enumerate(shown)]  # fmt: skip
    panels[0].set_yticks(range(len(shown)), names, fontsize=8)
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    alt = (
        "AUC and sensitivity with 95% intervals in every subgroup; dashed is the total, at the "
        "right patients with a positive outcome and all patients."
    )
    return to_plot(figure, "plot-forest", "Subgroups beside the total", alt)


def _draw_forest(axes: Axes, shown: Sequence[SubgroupResult], metric: str) -> None:
    style(axes, "AUC" if metric == "auc" else "sensitivity")
    total = shown[0].metrics[metric].value
    axes.axvspan(total.low, total.high, color=BLUE, alpha=0.08, lw=0)
    axes.axvline(total.value, color=INK, lw=1, ls=(0, (4, 3)))
    for y, one in enumerate(shown):
        found = one.metrics.get(metric)
        if found is not None:
            sure = found.p_holm is not None and found.p_holm < 0.05
            color = POSITIVE if sure else BLUE
            axes.hlines(y, found.value.low, found.value.high, color=color, lw=2)
            axes.plot(found.value.value, y, "D" if sure else "o", color=color, ms=4.5)
        if metric == "sensitivity":
            axes.annotate(
                f"{one.positive_patients:,} of {one.n_patients:,}", (1.02, y), fontsize=7.5,
                xycoords=("axes fraction", "data"), va="center", color=MUTED,
            )  # fmt: skip
    bounds = [one.metrics[metric].value.low for one in shown if metric in one.metrics]
    axes.set_xlim(max(0.0, min(bounds) - 0.05), 1.02)
