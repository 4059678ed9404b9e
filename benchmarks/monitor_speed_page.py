"""Record, page and picture of `benchmarks.monitor_speed`.

python -m benchmarks.monitor_speed_page      # writes page and picture from the record again
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.report import describe_run
from benchmarks.written import markdown_table, write_between

RECORD = Path(__file__).with_name("monitor_speed.json")
DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "monitor_speed.md", DOCS / "pictures/monitor_speed.png"
INK, OURS, USUAL = "#1f2933", "#2a6f97", "#c9822b"
AIM_EXAMS = 100_000
RUN = ("commit", "date", "machine", "python")


def write_record(measured: Mapping[str, Any]) -> None:
    """Write the record with where it was measured, then the page and the picture."""
    run = describe_run("", 1)
    record = {**measured, **{name: run[name] for name in RUN}}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    write_page(record)


def write_page(record: Mapping[str, Any]) -> None:
    """Write the page's tables and its picture."""
    draw(record, PICTURE)
    write_between(PAGE, "beside", beside_tables(record))
    write_between(PAGE, "growth", growth_table(record["growth"]))
    write_between(PAGE, "run", ", ".join(str(record[name]) for name in RUN) + ".")


def beside_table(beside: Mapping[str, Any]) -> str:
    """Return the table of the ratio as Markdown."""
    ours, log, usual = (beside[f"{name}_s"] for name in ("ours", "log", "evidently"))
    rows = [
        ["Evidently, `Report([DataDriftPreset()])` with its page", _seconds(usual), "1"],
        ["ours: channels and control", _seconds(ours), f"{beside['ratio']:.0f}"],
        ["ours, with reading the SQLite log", _seconds(ours + log),
         f"{beside['ratio_with_log']:.0f}"],
    ]  # fmt: skip
    head = [f"{beside['exams']:,} exams x {beside['columns']} columns", "CPU time", "times faster"]
    return (
        f"{markdown_table(head, rows)}\n\n{_verdict(beside)}"
        f"{beside['channels']} channels of each exam and two of blocks, in {beside['nodes']} "
        f"nodes; {beside['confirmed']} confirmed. Once for each release, with its "
        f"{beside['reference_exams']:,} reference exams: {_seconds(beside['begin_s'])} "
        "to fit the channels and set the thresholds."
    )


def _verdict(beside: Mapping[str, Any]) -> str:
    """Say whether the aim is reached; it is for so many exams or more."""
    if beside["exams"] < AIM_EXAMS:
        return ""
    reached = "Reached" if beside["ratio"] >= beside["aim"] else "MISSED"
    return f"Aim: {beside['aim']:g} times. **{reached}.** "


def beside_tables(record: Mapping[str, Any]) -> str:
    """Return a table for each number of exams that was measured."""
    return "\n\n".join(map(beside_table, record["beside"]))


def growth_table(growth: Mapping[str, Any]) -> str:
    """Return the table of the growth as Markdown."""
    by_size: dict[int, list[float]] = {}
    for point in growth["points"]:
        by_size.setdefault(point["exams"], []).append(point["seconds"])
    rows = [
        [f"{size:,}", _seconds(min(all_)), f"{1e6 * min(all_) / size:.1f}"]
        for size, all_ in sorted(by_size.items())
    ]
    return (
        markdown_table(["exams", "CPU time", "microseconds an exam"], rows)
        + f"\n\nSlope of the logarithms: {growth['slope']:.3f} "
        f"(95% interval {growth['slope_low']:.3f} to {growth['slope_high']:.3f}); 1 is linear."
    )


def print_record(record: Mapping[str, Any]) -> None:
    """Print both tables."""
    print(beside_tables(record), growth_table(record["growth"]), sep="\n\n")


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draw what Evidently and ours take, and ours by number of exams."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(1, 1.3))
    _draw_beside(left, record["beside"][-1])
    _draw_growth(right, record["growth"], record["beside"])
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_beside(axes: Axes, beside: Mapping[str, Any]) -> None:
    ours, log, usual = (beside[f"{name}_s"] for name in ("ours", "log", "evidently"))
    axes.barh([1], [usual], color=USUAL, height=0.5)
    axes.barh([0], [ours], color=OURS, height=0.5)
    axes.barh([0], [log], left=[ours], color=OURS, alpha=0.4, height=0.5)
    axes.set_yticks([0, 1], ["ours (pale:\nreading the log)", "Evidently's\nreport"])
    axes.text(ours + log, 0, f"  {ours:.2f} + {log:.2f} s", va="center", color=INK)
    axes.text(usual / 2, 1, f"{usual:.1f} s", va="center", ha="center", color="white")
    axes.set_xlabel(f"CPU seconds for {beside['exams']:,} exams")
    axes.set_title(f"{beside['ratio']:.0f} times faster (aim {beside['aim']:g})", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_growth(
    axes: Axes, growth: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]
) -> None:
    exams = np.array([one["exams"] for one in growth["points"]])
    seconds = np.array([one["seconds"] for one in growth["points"]])
    axes.loglog(exams, seconds, "o", color=OURS, markersize=4, label="ours, each turn")
    line = np.array([exams.min(), exams.max()])
    middle = np.exp(np.log(seconds).mean() - np.log(exams).mean())
    axes.loglog(line, middle * line, color=INK, linewidth=0.8, label="linear")
    told = [[one[name] for one in beside] for name in ("exams", "evidently_s")]
    axes.loglog(*told, "s", color=USUAL, label="Evidently")
    axes.set_xlabel("logged exams")
    axes.set_ylabel("CPU seconds")
    title = f"slope {growth['slope']:.2f} ({growth['slope_low']:.2f} to {growth['slope_high']:.2f})"
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


if __name__ == "__main__":
    write_page(json.loads(RECORD.read_text()))
