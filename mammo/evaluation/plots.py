"""Pictures of a model's skill and of the exams it scored.

Matplotlib is imported when a picture is drawn, and without pyplot: no global
state, no display, safe in threads. Every function writes a PNG and returns its path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mammo.evaluation.bootstrap import wilson_bounds
from mammo.evaluation.calibration import expected_calibration_error, reliability
from mammo.evaluation.metrics import as_labels, as_scores, require_classes, roc_auc
from mammo.foreign_text import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LEFT, RIGHT = 12.0, 0.065, 0.985  # inches, and fractions of the width
INK, MUTED, GRID = "#1f2933", "#6b7785", "#e4e8ec"
RECALLED, NOT_RECALLED = "#d1495b", "#8fa9c1"
SERIES = ("#2a6f97", "#c9822b", "#5b8c5a", "#7b5ea7", "#a44a3f", "#4a4e57")
MARKERS = "o^sDvP"
EVENT_COLORS = {"info": MUTED, "alarm": "#b3261e", "action": "#b7791f", "release": "#2f6b3c"}
LEGEND_COLUMNS = 6
LABEL_POINTS = 16  # height of one row of event labels
CHARACTER_POINTS = 6.1  # mean width of a bold character at 9.5 points


@dataclass(frozen=True)
class Event:
    """A moment to mark: ``at`` is a time or an exam number, as in the frame.

    ``kind`` is info, alarm, action or release.
    """

    at: datetime | pd.Timestamp | float
    label: str
    kind: str = "info"


def roc_plot(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], path: Path, *, title: str = ""
) -> Path:
    """Draw one ROC curve for each name -> (labels, scores), its AUC in the legend."""
    figure, axes = _square("1 - specificity", "sensitivity", title)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 4)))
    for color, (name, (labels, scores)) in zip(_cycle(len(curves)), curves.items(), strict=True):
        y = as_labels(labels)
        s = as_scores(scores, len(y))
        require_classes(y)
        order = np.argsort(-s, kind="stable")
        last = np.r_[np.flatnonzero(np.diff(s[order])), len(s) - 1]  # a tie is one straight step
        hits, alarms = np.cumsum(y[order])[last], np.cumsum(~y[order])[last]
        label = f"{name}: AUC {roc_auc(y, s):.3f} ({int(y.sum())} of {len(y)})"
        axes.plot(
            np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]], color=color, lw=2, label=label
        )
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    return _save(figure, path)


def calibration_plot(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    path: Path,
    *,
    bins: int = 10,
    title: str = "",
) -> Path:
    """Draw observed against predicted for each name -> (labels, probabilities).

    Equal-mass bins with Wilson intervals; the calibration error is in the legend.
    """
    figure, axes = _square("predicted probability", "observed rate", title)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 4)))
    for color, (name, (labels, values)) in zip(_cycle(len(curves)), curves.items(), strict=True):
        predicted, observed, rows = reliability(labels, values, bins)
        bounds = np.array(
            [wilson_bounds(rate, n, 0.95) for rate, n in zip(observed, rows, strict=True)]
        ).T
        axes.vlines(predicted, *bounds, color=color, alpha=0.35, lw=1.5)
        error = expected_calibration_error(labels, values, bins)
        axes.plot(
            predicted, observed, color=color, marker="o", ms=5, lw=1.5,
            label=f"{name}: calibration error {error:.3f}",
        )  # fmt: skip
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    return _save(figure, path)


def score_timeline(
    frame: pd.DataFrame,
    events: Sequence[Event],
    path: Path,
    *,
    window: int = 25,
    target_recall_rate: float | None = None,
    title: str = "Exam scores over time",
) -> Path:
    """Draw every exam's score over time, the events, and the rolling recall rate.

    Parameters
    ----------
    frame : DataFrame
        One row per exam: ``at`` (datetime or exam number), ``score`` (calibrated
        probability), ``recalled`` (bool), ``scanner`` (str); optional ``label``
        (0, 1 or missing; a cancer gets a ring) and ``threshold`` (drawn as a line).
    events : sequence of Event
        Vertical lines, labelled above the picture.
    window : int
        Exams of a scanner in its rolling recall rate.
    """
    _require_columns(frame)
    exams = frame.sort_values("at", kind="stable").reset_index(drop=True)
    x, dated = _positions(exams["at"])
    at = _positions(pd.Series([event.at for event in events], dtype=None if dated else float))[0]
    span = np.concatenate([x, at])
    low, high = span.min(), span.max()
    margin = 0.015 * ((high - low) or 1.0)
    low, high = low - margin, high + margin
    points = WIDTH * 72 * (RIGHT - LEFT)
    slots = _label_slots(
        (at - low) / (high - low) * points, [event.label for event in events], points
    )
    figure, top, below = _panels(1 + max((level for level, _ in slots), default=0), title)
    _time_axis(below, dated)
    top.set_xlim(low, high)
    scanners = list(dict.fromkeys(exams["scanner"].astype(str)))
    _draw_scores(top, exams, x, scanners)
    _draw_recall(below, exams, x, scanners, window, target_recall_rate)
    _draw_events((top, below), events, at, slots)
    _legend(figure, scanners, exams, window)
    return _save(figure, path)


def _panels(rows: int, title: str) -> tuple[Figure, Axes, Axes]:
    """Return the figure and its two panels, with room for ``rows`` of event labels."""
    from matplotlib.figure import Figure

    header, body, footer = (58 + LABEL_POINTS * rows) / 72, 5.4, 1.05
    height = header + body + footer
    figure = Figure(figsize=(WIDTH, height), dpi=130, facecolor="white")
    grid = figure.add_gridspec(
        2, 1, height_ratios=(2.3, 1), hspace=0.09, left=LEFT, right=RIGHT,
        bottom=footer / height, top=1 - header / height,
    )  # fmt: skip
    top = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=top)
    y = 1 - 0.2 / height
    figure.text(LEFT, y, figure_text(title), fontsize=15, color=INK, weight="bold", va="top")
    return figure, top, below


def _require_columns(frame: pd.DataFrame) -> None:
    missing = {"at", "score", "recalled", "scanner"} - set(frame.columns)
    if missing or frame.empty:
        raise ValueError(
            f"a timeline needs exams with at, score, recalled and scanner; "
            f"found {len(frame)} exams, missing columns {sorted(missing)}"
        )


def _draw_scores(axes: Axes, exams: pd.DataFrame, x: np.ndarray, scanners: list[str]) -> None:
    recalled, score = exams["recalled"].to_numpy(bool), exams["score"].to_numpy(float)
    for marker, name in zip(_markers(len(scanners)), scanners, strict=True):
        rows = (exams["scanner"].astype(str) == name).to_numpy()
        if "threshold" in exams:
            threshold = exams["threshold"].to_numpy(float)[rows]
            axes.step(x[rows], threshold, where="post", color=INK, lw=1, alpha=0.45, zorder=2)
        for flag, color in ((False, NOT_RECALLED), (True, RECALLED)):
            part = rows & (recalled == flag)
            axes.scatter(
                x[part], score[part], s=34, marker=marker, c=color, alpha=0.85,
                edgecolors="white", linewidths=0.6, zorder=3,
            )  # fmt: skip
    if "label" in exams:
        cancer = pd.to_numeric(exams["label"]).fillna(0).to_numpy(float) == 1
        axes.scatter(
            x[cancer], score[cancer], s=95, facecolors="none", edgecolors=INK, linewidths=0.9,
            zorder=4,
        )  # fmt: skip
    _style(axes, "calibrated score of the exam")
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(labelbottom=False)


def _draw_recall(
    axes: Axes,
    exams: pd.DataFrame,
    x: np.ndarray,
    scanners: list[str],
    window: int,
    target: float | None,
) -> None:
    for color, name in zip(_cycle(len(scanners)), scanners, strict=True):
        rows = (exams["scanner"].astype(str) == name).to_numpy()
        rolling = exams.loc[rows, "recalled"].astype(float).rolling(
            window, min_periods=min(window, 8)
        )  # fmt: skip
        rate, count = rolling.mean().to_numpy(), rolling.count().to_numpy()
        known = np.isfinite(rate)
        if not known.any():
            continue
        pairs = zip(rate[known], count[known], strict=True)
        low, high = np.array([wilson_bounds(r, n, 0.95) for r, n in pairs]).T
        axes.fill_between(x[rows][known], low, high, color=color, alpha=0.13, lw=0)
        axes.plot(x[rows][known], rate[known], color=color, lw=2)
    if target is not None:
        axes.axhline(target, color=INK, lw=1, ls=(0, (4, 3)))
        axes.annotate(
            f"target {target:.0%}", (0, target), xycoords=("axes fraction", "data"),
            xytext=(4, 4), textcoords="offset points", fontsize=9, color=INK,
        )  # fmt: skip
    _style(axes, "recall rate")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _draw_events(
    axes: Sequence[Axes], events: Sequence[Event], at: np.ndarray, slots: list[tuple[int, bool]]
) -> None:
    """Mark each event with a line through both panels and its label above them."""
    for event, x, (level, flip) in zip(events, at, slots, strict=True):
        color = EVENT_COLORS.get(event.kind, MUTED)
        for panel in axes:
            panel.axvline(x, color=color, lw=1.3, alpha=0.9, zorder=1)
        above: dict[str, Any] = {"xy": (x, 1), "textcoords": "offset points"}
        above["xycoords"] = ("data", "axes fraction")
        stem = {"arrowstyle": "-", "color": color, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
        axes[0].annotate("", xytext=(0, 20 + LABEL_POINTS * level), arrowprops=stem, **above)
        axes[0].annotate(
            figure_text(event.label), xytext=(-4 if flip else 4, 9 + LABEL_POINTS * level),
            va="bottom", ha="right" if flip else "left", fontsize=9.5, color=color, weight="bold",
            **above,
        )  # fmt: skip


def _label_slots(at: np.ndarray, labels: Sequence[str], width: float) -> list[tuple[int, bool]]:
    """Return (level, written to the left) of each label so that no line crosses a label.

    ``at`` and ``width`` are in points. A label is one level above every event
    whose line stands in its extent, so that clusters become stairs that fall to the
    right; a label that would leave the picture is written to the left of its line.
    """
    lengths = [CHARACTER_POINTS * len(label) + 10 for label in labels]
    flips = [bool(x + length > width) for x, length in zip(at, lengths, strict=True)]
    spans = [
        (x - length, x) if flip else (x, x + length)
        for x, length, flip in zip(at, lengths, flips, strict=True)
    ]
    levels = [0] * len(labels)
    order = np.argsort(at, kind="stable")[::-1].tolist()
    placed: list[int] = []
    for i in [i for i in order if not flips[i]] + [i for i in order[::-1] if flips[i]]:
        near = [k for k in placed if spans[k][0] <= spans[i][1] and spans[k][1] >= spans[i][0]]
        levels[i] = max((levels[k] + 1 for k in near), default=0)
        placed.append(i)
    return list(zip(levels, flips, strict=True))


def _legend(figure: Figure, scanners: list[str], exams: pd.DataFrame, window: int) -> None:
    from matplotlib.lines import Line2D

    def dot(label: str, **style: Any) -> Line2D:
        look: dict[str, Any] = {"ls": "", "marker": "o", "ms": 7} | style
        return Line2D([], [], label=label, **look)

    entries = [dot("recalled", color=RECALLED), dot("not recalled", color=NOT_RECALLED)]
    if "label" in exams:
        ring = {"mfc": "none", "mec": INK, "ms": 10}
        entries.append(dot("cancer (outcome known)", **ring))
    if "threshold" in exams:
        entries.append(Line2D([], [], color=INK, alpha=0.45, lw=1, label="threshold"))
    styles = zip(scanners, _markers(len(scanners)), _cycle(len(scanners)), strict=True)
    entries += [
        dot(figure_text(name), ls="-", marker=marker, color=color) for name, marker, color in styles
    ]
    # a second row rather than names beyond the edge
    columns = len(entries) if len(entries) <= LEGEND_COLUMNS else -(-len(entries) // 2)
    figure.legend(
        handles=entries, loc="lower left", bbox_to_anchor=(0.055, 0.005), ncols=columns,
        frameon=False, fontsize=9.5, handletextpad=0.5, columnspacing=1.6, labelcolor=INK,
    )  # fmt: skip
    figure.text(
        RIGHT, 1 - 0.27 / figure.get_figheight(),
        f"recall rate: last {window} exams of a scanner, 95% interval",
        ha="right", va="top", fontsize=9, color=MUTED,
    )  # fmt: skip


def _positions(at: pd.Series) -> tuple[np.ndarray, bool]:
    """Return float positions on the axis, and whether they are dates (days since 1970, UTC)."""
    if pd.api.types.is_numeric_dtype(at):
        return at.to_numpy(float), False
    since = pd.to_datetime(at, utc=True) - pd.Timestamp(0, tz="UTC")
    return (since / pd.Timedelta(days=1)).to_numpy(float), True


def _time_axis(axes: Axes, dated: bool) -> None:
    if not dated:
        axes.set_xlabel("exam")
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )


def _square(x_label: str, y_label: str, title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.6), dpi=130, facecolor="white", layout="tight")
    axes = figure.add_subplot()
    _style(axes, y_label)
    axes.set(xlabel=x_label, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.xaxis.label.set_color(INK)
    axes.set_title(title, loc="left", color=INK, fontsize=12, weight="bold")
    return figure, axes


def _style(axes: Axes, y_label: str) -> None:
    axes.set_ylabel(y_label, color=INK)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def _cycle(n: int) -> list[str]:
    return [SERIES[i % len(SERIES)] for i in range(n)]


def _markers(n: int) -> list[str]:
    return [MARKERS[i % len(MARKERS)] for i in range(n)]


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
