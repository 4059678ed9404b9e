"""A split as Markdown and as a picture; ``docs/splits.md`` comes from RSNA's table.

python -m mammo.data.split_page ../shared/data/rsna/train.csv docs/splits.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mammo.data.durable import write_file, write_text
from mammo.data.split_report import SplitReport, balance_rows, brief_rows
from mammo.foreign_text import figure_text, markdown_row, markdown_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, ORANGE = "#1f5f99", "#9aa5b1", "#c8581a"
TITLES = {
    "folds": "Folds: how evenly they are spread",
    "machine": "One machine left out: what it does to prevalence",
    "period": "Periods: new patients to test on, and their prevalence",
}


def report_rows(report: SplitReport, *, brief: bool = False) -> list[dict[str, str]]:
    """Return the report's table for reading: one row per level, machine or period.

    ``brief`` fits a terminal: of the folds only counts, of machines no list of differences.
    """
    if report.by == "folds":
        return (brief_rows if brief else balance_rows)(report.table)
    if brief and report.by == "machine":
        return [_brief_machine_row(row) for row in report.table.to_dict("records")]
    make = _machine_row if report.by == "machine" else _period_row
    return [make(row) for row in report.table.to_dict("records")]


def to_markdown(reports: Sequence[SplitReport]) -> str:
    """Return the reports one below the other, each with its sentences, table and leak check."""
    parts = []
    for report in reports:
        facts = ", ".join(
            f"{name.replace('_', ' ')} {_fact(v)}" for name, v in report.facts.items()
        )
        rows = report_rows(report)
        parts += [f"## {TITLES[report.by]}", f"{facts[0].upper()}{facts[1:]}."]
        parts += [_list(report.sentences), _table(rows)]
        parts += ["Leak check:", _list(report.leak_sentences)]
    return "\n\n".join(parts) + "\n"


PREFACE = """# Splits of the RSNA table

How `mammo data split` splits, and what it does to the 54,706 images of RSNA's screening challenge.
Made by `python -m mammo.data.split_page ../shared/data/rsna/train.csv docs/splits.md`; every number
is of that run. Patients are the unit throughout: shares, intervals and differences count patients.

**Folds** come from scikit-learn's StratifiedGroupKFold by patient over outcome, site, machine, age
band, density and implant. A combination with fewer patients than folds drops its least important
attribute first (implant, then density, age, machine, site). Ten assignments are drawn and the best
balanced is kept. Then balance is checked: a level's share in a fold may differ from its share over
all by the largest of 0.05 standard deviations of the level, three standard deviations of what
chance gives (hypergeometric), and one patient; else `SPLIT_UNBALANCED`. Folds depend on the seed
and the patients' pseudonyms, so installations with different keys get different folds.

**Leave one machine out.** A patient imaged on two machines is on the held-out side whenever one
of them is held out, so that training sees neither her nor the machine; her images of the other
machine are set aside then. Intervals are Wilson's, 95 %, of patients. Machines with fewer than 20
positive patients are flagged. In this set machine, site and whether density is known go together,
so a machine left out is mostly a site left out in part.

**Periods** (`--by period`) need dates, which this table lacks: refused, with the count of rows.
A patient belongs to the period of her first exam; her later exams are trained on in the steps after
them and never tested on.
"""


def write_markdown(report: SplitReport, path: Path) -> None:
    """Write one report as Markdown, in one step."""
    write_text(path, to_markdown([report]), path.parent)


def write_plot(report: SplitReport, path: Path) -> None:
    """Draw the report as a PNG: balance of the folds, or prevalence with its intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = _levels(report.table) if report.by == "folds" else len(report.table)
    figure = Figure(figsize=(9, 1.6 + 0.26 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    {"folds": _draw_folds, "machine": _draw_machines, "period": _draw_periods}[report.by](
        axes, report.table
    )
    axes.set_title(TITLES[report.by], loc="left", fontsize=12, fontweight="bold")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    write_file(path, lambda handle: figure.savefig(handle, format="png", dpi=130), path.parent)


def _draw_folds(axes: Axes, table: pd.DataFrame) -> None:
    """Each level's folds as points round 0, over the bands of chance and of what is allowed."""
    levels = [
        (f"{attribute}  {level}", group)
        for (attribute, level), group in table[table["attribute"] != "all"].groupby(
            ["attribute", "level"], sort=False
        )
    ]
    for place, (_, group) in enumerate(levels):
        allowed, chance = group["allowed_pp"].max(), group["chance_pp"].max()
        label = place == 0
        axes.barh(place, 2 * allowed, left=-allowed, height=0.8, color="#eef2f6",
                  label="allowed" if label else None)  # fmt: skip
        axes.barh(place, 2 * chance, left=-chance, height=0.8, color="#d3dce6",
                  label="one standard deviation of chance" if label else None)  # fmt: skip
        axes.plot(group["difference_pp"], [place] * len(group), "o", color=BLUE, ms=3.5,
                  label="a fold" if label else None)  # fmt: skip
    axes.set_yticks(range(len(levels)), [figure_text(name) for name, _ in levels], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color=GREY, lw=0.8)
    axes.use_sticky_edges = False
    axes.margins(x=0.02, y=0.01)
    axes.set_xlabel("share of the fold's patients less share of all, percentage points")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, frameon=False, fontsize=8)


def _draw_machines(axes: Axes, table: pd.DataFrame) -> None:
    for place, row in enumerate(table.to_dict("records")):
        colour = GREY if row["few_positives"] else BLUE
        _interval(axes, place - 0.15, row, "", colour, "held out" if place == 0 else None)
        _interval(axes, place + 0.15, row, "rest_", ORANGE, "the rest" if place == 0 else None)
    names = [figure_text(f"{row['machine']}  ({row['positives']} of {row['labelled']:,})")
             for row in table.to_dict("records")]  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(left=0, right=100 * _right_end(table))
    axes.set_xlabel(
        "positive patients, %, with 95 % interval (Wilson); grey: fewer than 20 positive patients"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False, fontsize=8)


def _draw_periods(axes: Axes, table: pd.DataFrame) -> None:
    for place, row in enumerate(table.to_dict("records")):
        _interval(axes, place, row, "", BLUE, None)
    names = [f"{row['period']}  ({row['positives']} of {row['labelled']:,})"
             for row in table.to_dict("records")]  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(left=0, right=100 * _right_end(table))
    axes.set_xlabel("positive among patients new in the period, %, with 95 % interval (Wilson)")


def _right_end(table: pd.DataFrame) -> float:
    """End the axis where most intervals end: four patients may have an interval up to half."""
    ends = table["high"].dropna()
    if ends.empty:
        return 1.0
    return float(min(1.0, 1.15 * max(table["prevalence"].max(), float(np.median(ends)) * 2.2)))


def _interval(
    axes: Axes, place: float, row: Mapping[Any, Any], prefix: str, colour: str, label: str | None
) -> None:
    low, middle, high = (100 * row[prefix + name] for name in ("low", "prevalence", "high"))
    axes.plot([low, high], [place, place], color=colour, lw=1.6)
    axes.plot([middle], [place], "o", color=colour, ms=4.5, label=label, clip_on=False)


def _levels(table: pd.DataFrame) -> int:
    return len(table.loc[table["attribute"] != "all", ["attribute", "level"]].drop_duplicates())


def _machine_row(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "machine": str(row["machine"]),
        "images": f"{row['images']:,}" + (f" (+{row['images_aside']} set aside)"
                                          if row["images_aside"] else ""),
        "patients": f"{row['patients']:,}",
        "positive": f"{row['positives']}" + (" (too few)" if row["few_positives"] else ""),
        "prevalence": _share(row, ""),
        "rest: patients": f"{row['rest_patients']:,}",
        "rest: positive": f"{row['rest_positives']}",
        "rest: prevalence": _share(row, "rest_"),
        "what else differs": "; ".join(row["shifts"]) or "-",
    }  # fmt: skip


def _brief_machine_row(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "machine": str(row["machine"]),
        "patients": f"{row['patients']:,}",
        "positive": f"{row['positives']}",
        "prevalence, %": _brief_share(row, ""),
        "of the rest, %": _brief_share(row, "rest_"),
        "": "too few" if row["few_positives"] else "",
    }


def _brief_share(row: Mapping[Any, Any], prefix: str) -> str:
    middle, low, high = (100 * row[prefix + name] for name in ("prevalence", "low", "high"))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})" if row[f"{prefix}labelled"] else "no label"


def _period_row(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "period": str(row["period"]),
        "new patients": f"{row['patients']:,}",
        "images": f"{row['images']:,}",
        "positive": f"{row['positives']}",
        "prevalence": _share(row, ""),
        "returning patients": f"{row['returning_patients']:,}",
        "their images": f"{row['returning_images']:,}",
        "trains on patients": f"{row['train_patients']:,}",
        "trains on images": f"{row['train_images']:,}",
    }


def _share(row: Mapping[Any, Any], prefix: str) -> str:
    if not row[f"{prefix}labelled"]:
        return "no label"
    middle, low, high = (row[prefix + name] for name in ("prevalence", "low", "high"))
    return f"{middle:.2%} ({low:.2%} to {high:.2%})"


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(words)}" for words in sentences)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row.get(name, "-") for name in names] for row in rows)]
    return "\n".join(map(markdown_row, lines))


def _fact(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _main() -> None:
    from mammo.data.sources.tabulate import tabulate
    from mammo.data.split_report import report_folds, report_machines

    table, page = Path(sys.argv[1]), Path(sys.argv[2])
    rows = tabulate("rsna", table, b"the key of the documentation")
    reports = [report_folds(rows, folds=5, seed=7), report_machines(rows)]
    write_text(page, f"{PREFACE}\n{to_markdown(reports)}", page.parent)


if __name__ == "__main__":
    _main()
