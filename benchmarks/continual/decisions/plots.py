"""The pictures of a run, from its record alone: docs/pictures/continual_decisions_*.png."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from mammo.evaluation.plots import GRID, INK, MUTED, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
COLORS = {
    "ours": SERIES[0], "resealed": "#1b9e8f", "yearly": SERIES[1], "quarterly": SERIES[1],
    "no_gate": SERIES[4], "higher": SERIES[3], "no_replay": SERIES[2],
    "never": MUTED, "frozen": MUTED,
}  # fmt: skip
DASHES = {
    "quarterly": (0, (4, 2)),
    "frozen": (0, (1, 2)),
    "resealed": (0, (3, 3)),
    "higher": (0, (6, 2)),
}
PANELS = {
    "auc_quarters": "AUC within scanners, mean",
    "worst_quarters": "AUC of the worst scanner",
    "recall_quarters": "recall rate / target",
}
TOLERANCE = (0.9, 1.1)


def draw_all(record: Mapping[str, Any], folder: Path = PICTURES) -> list[Path]:
    """Draw the record; return the files."""
    return [
        draw_years(record, folder / "continual_decisions_years.png"),
        draw_trade(record, folder / "continual_decisions_trade.png"),
    ]


def draw_years(record: Mapping[str, Any], path: Path) -> Path:
    """Draw AUC and recall rate over the years, a line a policy, the band of ours."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(15, 5.2))
    for axis, (name, title) in zip(axes, PANELS.items(), strict=True):
        _draw_panel(axis, record, name)
        axis.set_title(title, loc="left", color=INK, fontsize=11)
        axis.set_xlabel("years in service")
        axis.grid(color=GRID, lw=0.6)
    axes[2].axhspan(*TOLERANCE, color=GRID, zorder=0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(
        f"Mean of {record['programmes']} simulated programmes; shaded: 95 % of ours",
        x=0.01, ha="left", color=INK,
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.16, 1, 1))
    return _save(figure, path)


def _draw_panel(axis: Axes, record: Mapping[str, Any], name: str) -> None:
    for policy, title in record["titles"].items():
        points = record["quarters"][policy][name]
        years = [0.25 * place + 0.125 for place in range(len(points))]
        values = [one["value"] for one in points]
        style: dict[str, Any] = {"color": COLORS[policy], "ls": DASHES.get(policy, "-")}
        wide, over = (2.8, 1) if policy == "ours" else (1.4, 2)  # others may lie on ours
        axis.plot(years, values, lw=wide, zorder=over, label=title, **style)
        if policy == "ours":
            low, high = ([one[side] for one in points] for side in ("low", "high"))
            axis.fill_between(years, low, high, color=COLORS[policy], alpha=0.15, lw=0)


def draw_trade(record: Mapping[str, Any], path: Path) -> Path:
    """Draw what each policy gains in AUC at the end against the bad releases that it serves."""
    figure, axis = plt.subplots(figsize=(8.5, 5.4))
    for policy, row in record["policies"].items():
        if policy == "frozen":
            continue
        x, y = row["bad_served"], row["auc_end"]
        axis.errorbar(
            [x["value"]], [y["value"]], xerr=_sides(x), yerr=_sides(y),
            fmt="o", ms=8 if policy == "ours" else 6, color=COLORS[policy], capsize=3,
            label=record["titles"][policy], alpha=0.9,
        )  # fmt: skip
    axis.set(xlabel="bad releases put into service a year", ylabel="AUC at the end of the years")
    axis.grid(color=GRID, lw=0.6)
    axis.legend(frameon=False, fontsize=8)
    axis.set_title("Gain and harm; 95 % intervals over programmes", loc="left", color=INK)
    figure.tight_layout()
    return _save(figure, path)


def _sides(measure: Mapping[str, float]) -> list[list[float]]:
    """Return how far the interval reaches to either side; rounding makes none negative."""
    value = measure["value"]
    return [[max(value - measure["low"], 0.0)], [max(measure["high"] - value, 0.0)]]


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
