"""The pictures of a run, from its record alone: docs/pictures/continual_*.png."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from mammo.evaluation.plots import GRID, INK, MARKERS, MUTED, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
OURS_COLOR, PEER_COLORS = SERIES[0], SERIES[1:]
PANELS = {
    "shift_all": "0.25 SD on all exams",
    "shift_half": "0.25 SD on half of them (site 2)",
    "shift_fifth": "1 SD on a random fifth",
}
FEWEST = 0.02
"""False alarms a year where none was seen are drawn here."""
LATEST_DAYS = 300.0
RATIOS = (0.2, 0.5, 1.0, 2.0, 4.0)
CURVES = {"psi": "daily PSI, other limits", "ks": "daily KS, other levels"}
REFERENCE_LINES = {0.5: "budget", 12.0: "one a month"}


def draw_all(results: Mapping[str, Any], folder: Path = PICTURES) -> list[Path]:
    """Draw what the record has figures for; return the files."""
    drawn = [draw_trade(results, folder / "continual_trade.png")]
    if any(one.get("delays") for one in results["scenarios"].values()):
        drawn.append(draw_delays(results, folder / "continual_delays.png"))
    if results["confusion"]:
        drawn.append(draw_names(results, folder / "continual_names.png"))
    if any(one.get("recalls") for one in results["scenarios"].values()):
        drawn.append(draw_recalls(results, folder / "continual_recalls.png"))
    return drawn


def draw_trade(results: Mapping[str, Any], path: Path) -> Path:
    """Draw false alarms a year against the median delay: ours, peers, and the limit."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 5.2), sharey=True, sharex=True)
    for place, (axis, (scenario, title)) in enumerate(zip(axes, PANELS.items(), strict=True)):
        _draw_panel(axis, results, scenario)
        axis.set_title(title, loc="left", color=INK, fontsize=11)
        axis.set_xlabel("median delay, days")
        if place == 0:
            axis.set_ylabel("false alarms a year, whole programme")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(
        "How often a rule is wrong, and how soon it is right", x=0.01, ha="left", color=INK
    )
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return _save(figure, path)


def _draw_panel(axis: Axes, results: Mapping[str, Any], scenario: str) -> None:
    axis.set(xscale="log", yscale="log", xlim=(0.8, 1.4 * LATEST_DAYS), ylim=(0.012, 500))
    axis.set_xticks([1, 3, 10, 30, 100, LATEST_DAYS], ["1", "3", "10", "30", "100", "never"])
    axis.set_yticks([FEWEST, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    axis.minorticks_off()
    for level, words in REFERENCE_LINES.items():
        axis.axhline(level, color=MUTED, lw=0.8, ls=(0, (4, 4)), zorder=1)
        axis.text(LATEST_DAYS, level * 1.08, words, color=MUTED, fontsize=8, ha="right")
    for place, (prefix, label) in enumerate(CURVES.items()):
        swept = [one for name, one in results["sweep"].items() if name.startswith(f"{prefix}@")]
        points = [_point(one, scenario) for one in swept if scenario in one["delay_days"]]
        color = PEER_COLORS[place]
        axis.plot(*zip(*points, strict=True), "-", color=color, lw=1, alpha=0.6, label=label)
    for place, one in enumerate(results["peers"].values()):
        if scenario in one["delay_days"]:
            style: dict[str, Any] = {"marker": MARKERS[place], "ls": "", "ms": 7}
            style |= {"color": PEER_COLORS[place % 5], "label": one["title"].replace("`", "")}
            axis.plot(*_point(one, scenario), **style)
    if scenario in results["ours"]["delay_days"]:
        _draw_ours(axis, results["ours"], scenario)
    if limit := results["limits"].get(scenario):
        axis.plot(
            [limit["confirmed_days"], limit["alert_days"]], [0.5, 12.0], "--x", color=INK, lw=1.2,
            label="limit: a CUSUM that knows the change",
        )  # fmt: skip
    axis.grid(color=GRID, which="major", lw=0.6)


def _draw_ours(axis: Axes, ours: Mapping[str, Any], scenario: str) -> None:
    x, y = _point(ours, scenario)
    delay, alarms = ours["delay_days"][scenario], ours["false_alarms_a_year"]
    across = [[x - _shown(delay["low"])], [_shown(delay["high"]) - x]]
    up = [[y - max(alarms["low"], 0.012)], [alarms["high"] - y]]
    axis.errorbar(
        [x], [y], np.maximum(up, 0), np.maximum(across, 0), fmt="*", ms=15, color=OURS_COLOR,
        capsize=3, label="mammo (95 % intervals)", zorder=5,
    )  # fmt: skip


def _point(rule: Mapping[str, Any], scenario: str) -> tuple[float, float]:
    rate = rule["false_alarms_a_year"]["value"]
    return _shown(rule["delay_days"][scenario]["value"]), max(rate or 0.0, FEWEST)


def _shown(days: float | None) -> float:
    """Return days to draw; a change that is never seen lies at the right edge."""
    return LATEST_DAYS if days is None else min(days, LATEST_DAYS)


def draw_delays(results: Mapping[str, Any], path: Path) -> Path:
    """Draw, scenario by scenario, what share of events is confirmed within so many days."""
    shown = {name: one for name, one in results["scenarios"].items() if one.get("delays")}
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(13, 2.3 * rows + 0.6), sharex=True, sharey=True, squeeze=False
    )
    for axis, (name, one) in zip(axes.flat, shown.items(), strict=False):
        _draw_waiting(axis, one["delays"], results["limits"].get(name))
        axis.set_title(name, loc="left", fontsize=10, color=INK)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    figure.supxlabel("days since the change (logarithmic)", fontsize=10)
    figure.supylabel("share of events confirmed", fontsize=10)
    figure.tight_layout()
    return _save(figure, path)


def _draw_waiting(
    axis: Axes, delays: Sequence[int | None], limit: Mapping[str, float] | None
) -> None:
    days = np.sort([np.inf if one is None else one for one in delays])
    seen = days[np.isfinite(days)]
    share = np.arange(1, len(seen) + 1) / len(days)
    ends = [[0.8], [*seen, 365.0], [0.0], [*share, share[-1] if len(share) else 0.0]]
    axis.step([*ends[0], *ends[1]], [*ends[2], *ends[3]], where="post", color=OURS_COLOR, lw=1.6)
    axis.axhline(0.5, color=MUTED, lw=0.8, ls=(0, (4, 4)))
    if limit:
        axis.plot([limit["confirmed_days"]], [0.5], "x", color=INK, ms=7, mew=1.6)
        axis.annotate(
            "limit", (limit["confirmed_days"], 0.5), (0, 6), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axis.set(xscale="log", xlim=(0.8, 365), ylim=(-0.02, 1.04))
    axis.set_xticks([1, 3, 10, 30, 100, 300], ["1", "3", "10", "30", "100", "300"])
    axis.minorticks_off()
    axis.grid(color=GRID, lw=0.6)


def draw_names(results: Mapping[str, Any], path: Path) -> Path:
    """Draw the confusion matrix: true causes down, what was named across, in shares of a row."""
    table = results["confusion"]
    causes = sorted(table)
    across = [*causes, *sorted({name for row in table.values() for name in row} - set(causes))]
    counts = np.array([[table[cause].get(name, 0) for name in across] for cause in causes])
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure, axis = plt.subplots(figsize=(1.35 * len(across) + 2.2, 0.75 * len(causes) + 1.8))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(*counts.shape):
        if counts[i, j]:
            color = "white" if shares[i, j] > 0.6 else INK
            text = f"{shares[i, j]:.0%}\n({counts[i, j]})"
            axis.text(j, i, text, ha="center", va="center", color=color, fontsize=9)
    for i, cause in enumerate(causes):
        place = (across.index(cause) - 0.5, i - 0.5)
        axis.add_patch(Rectangle(place, 1, 1, fill=False, ec=OURS_COLOR, lw=2))
    axis.set_xticks(range(len(across)), [name.replace("_", "\n") for name in across])
    axis.set_yticks(range(len(causes)), [name.replace("_", " ") for name in causes])
    axis.set(xlabel="named at the first confirmation", ylabel="true cause")
    figure.tight_layout()
    return _save(figure, path)


def draw_recalls(results: Mapping[str, Any], path: Path) -> Path:
    """Draw recall rates relative to their target, before and after recalibration."""
    shown = {
        name: one["recalls"] for name, one in results["scenarios"].items() if one.get("recalls")
    }
    figure, axis = plt.subplots(figsize=(min(1.9 * len(shown) + 2.5, 13), 4.6))
    axis.axhspan(0.9, 1.1, color=GRID, zorder=0)
    axis.axhline(1.0, color=MUTED, lw=0.8)
    rng = np.random.default_rng(0)
    for place, pairs in enumerate(shown.values()):
        for side, color, label in ((0, SERIES[1], "before"), (1, OURS_COLOR, "after")):
            values = np.clip(np.array(pairs)[:, side], RATIOS[0], RATIOS[-1])
            x = place + 0.4 * side - 0.2 + rng.uniform(-0.07, 0.07, len(values))
            axis.plot(
                x, values, "o", ms=4, alpha=0.5, color=color, label=label if not place else ""
            )
            centre = np.median(values)
            axis.plot(
                [place + 0.4 * side - 0.32, place + 0.4 * side - 0.08], [centre] * 2, color=INK
            )
    axis.set_xticks(range(len(shown)), [name.replace("_", "\n") for name in shown])
    axis.set(ylabel="recall rate / target", yscale="log", xlim=(-0.6, len(shown) - 0.4))
    axis.set_yticks(RATIOS, [f"{ratio:g}" for ratio in RATIOS])
    axis.minorticks_off()
    axis.legend(frameon=False, loc="upper right")
    axis.set_title(
        "grey: the aim, within 10 %; black: medians; cut off at 0.2 and 4",
        loc="left",
        fontsize=10,
        color=INK,
    )
    figure.tight_layout()
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
