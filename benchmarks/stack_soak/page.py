"""The page and the picture of an hour of the whole stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.written import markdown_table, write_between
from mammo.evaluation.plots import GRID, SERIES

NAMES = {
    "memory_mib": "private memory, MiB",
    "open_files": "open files",
    "p50_s": "latency of an exam, median, s",
    "p99_s": "latency of an exam, 99 %, s",
    "disk_used_mib": "disk used",
}
DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "stack_soak.md", DOCS / "pictures" / "stack_soak.png"


def write_page(record: dict[str, Any]) -> None:
    """Write the table between the page's comments, and the picture."""
    run = record["run"]
    rows = [[_told(name), *_cells(one)] for name, one in record["slopes"].items()]
    head = ["series", "level", "growth an hour (95 %)", "flat"]
    disk = [[_told(name), *_halves(one)] for name, one in record["disk"].items()]
    disk_head = ["on disk", "first half, KiB an exam", "second half, KiB an exam", "even"]
    text = (
        f"{record['minutes']:g} minutes, {record['exams_a_second']:g} exams a second of "
        f"{record['megabytes_an_exam']} MB (phantoms, four views): {record['sent']:,} sent, "
        f"answers: {', '.join(f'{n:,} of {code}' for code, n in record['statuses'].items())}. "
        f"Commit {run['commit']}, {run['date']}, {run['machine']}. "
        f"Alerts that fired: {', '.join(record['alerts']) or 'none'}. "
        f"Services that ended: {', '.join(record['ended']) or 'none'}.\n\n"
        f"{markdown_table(head, rows)}\n\n{markdown_table(disk_head, disk)}"
    )
    write_between(PAGE, "hour", text)
    draw(record)


def _told(name: str) -> str:
    """Return a series' name in words, with its service."""
    series, _, service = name.partition(" ")
    return f"{service}: {NAMES[series]}" if service else NAMES[series]


def _cells(slope: dict[str, Any]) -> list[str]:
    # what a fit leaves of a constant is no growth
    an_hour, low, high = (
        one if abs(one) > 1e-6 * slope["level"] else 0.0
        for one in (slope["an_hour"], slope["low"], slope["high"])
    )
    growth = f"{an_hour:+.3g} ({low:+.3g} to {high:+.3g})" if an_hour or low or high else "0"
    return [f"{slope['level']:.4g}", growth, "yes" if slope["flat"] else "**no**"]


def _halves(growth: dict[str, Any]) -> list[str]:
    first, second = growth["first_kib"], growth["second_kib"]
    return [f"{first:,.0f}", f"{second:,.0f}", "yes" if growth["even"] else "**no**"]


def draw(record: dict[str, Any]) -> None:
    """Draw memory by service, disk, latency, and rate, one below the other."""
    figure, axes = plt.subplots(4, 1, figsize=(9, 10), sharex=True, layout="constrained")
    panels = {
        "private memory, MiB": ["memory_mib"],
        "disk used, MiB since begin": ["disk_used_mib"],
        "latency of an exam, s": ["p50_s", "p99_s"],
        "exams a second; waiting": ["exams_a_second", "waiting"],
    }
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            for place, one in enumerate(record["series"][name]):
                values = one["values"]
                if name == "disk_used_mib":
                    values = [value - values[0] for value in values]
                label = one["service"] or name
                axis.plot(one["minutes"], values, label=label, color=_colour(place, names, name))
        axis.set(ylabel=title, ylim=(0, None))
        axis.grid(color=GRID)
        axis.legend(frameon=False, ncols=4, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set(xlabel="minutes")
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def _colour(place: int, names: list[str], name: str) -> str:
    return SERIES[(place + names.index(name)) % len(SERIES)]
