"""How large the images are, and how large a pixel is: by scanner, and after preparation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mammo.explore.plots import MUTED, SERIES, clip, new_figure, style, to_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import count, listed, named, number, percent, verb

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

CALCIFICATION_MM = 0.5
"""Size of a microcalcification that a reader should still see."""
COARSE_MM, MIXED_RATIO = 0.2, 1.2
SHOWN = 7

_SIZES = """
    SELECT scanner, "rows", "columns", count(*) AS n FROM exams
    WHERE "rows" IS NOT NULL AND "columns" IS NOT NULL GROUP BY ALL
    ORDER BY n DESC, scanner, "rows", "columns"
"""
_SPACING = """
    SELECT scanner, count(*) AS n, count(spacing_mm) AS known, min(spacing_mm) AS low,
        median(spacing_mm) AS middle, max(spacing_mm) AS high,
        count(DISTINCT round(spacing_mm, 4)) AS kinds,
        median(spacing_mm / scale) AS prepared
    FROM (SELECT scanner, spacing_mm, "rows",
            try_cast(regexp_extract(geometry, '"scale": *([0-9.eE+-]+)', 1) AS DOUBLE) AS scale
          FROM exams)
    WHERE "rows" IS NOT NULL GROUP BY scanner ORDER BY n DESC, scanner
"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return sizes and spacings, or None where the index knows no sizes."""
    sizes: Any = query.frame(_SIZES)
    if sizes.empty:
        return None
    spacing: Any = query.frame(_SPACING)
    sentences = (*_size_sentences(sizes), *_spacing_sentences(spacing))
    tables = (_table(sizes, spacing),)
    one_size = len(sizes.drop_duplicates(["rows", "columns"])) == 1
    plots = () if one_size else (_plot(sizes),)
    return Section(
        "images", "Image sizes and pixel spacing", sentences, plots, tables,
        _warnings(spacing),
    )  # fmt: skip


def _size_sentences(sizes: Any) -> list[str]:
    kinds = sizes.groupby(["rows", "columns"])["n"].sum().sort_values(ascending=False)
    total = int(kinds.sum())
    height, width = kinds.index[0]
    if len(kinds) == 1:
        return [f"All {count(total, 'image')} are {number(height)} x {number(width)} pixels."]
    per_scanner = sizes.groupby("scanner", dropna=False).size()
    one = int((per_scanner == 1).sum())
    rows, columns = sizes["rows"], sizes["columns"]
    told = [
        f"The images have {count(len(kinds), 'size')}, {number(rows.min())} to "
        f"{number(rows.max())} rows by {number(columns.min())} to {number(columns.max())} columns; "
        f"the most frequent, {number(height)} x {number(width)}, is that of "
        f"{percent(kinds.iloc[0] / total)}."
    ]
    if len(per_scanner) > 1:
        told.append(
            f"{count(one, 'scanner').capitalize()} of {len(per_scanner)} "
            f"{verb(one, 'has')} one size only: "
            "the size of an image tells much about its scanner before any pixel is read."
            if one > len(per_scanner) / 2
            else "Most scanners write more than one size (detectors, or cut on export)."
        )
    return told


def _spacing_sentences(spacing: Any) -> list[str]:
    total, known = int(spacing["n"].sum()), int(spacing["known"].sum())
    if not known:
        return ["No pixel spacing is stated: no size in millimetres can be given."]
    low, high = spacing["low"].min(), spacing["high"].max()
    every = f"all {count(known, 'image')}"
    of = every if known == total else f"{number(known)} of {count(total, 'image')}"
    if low == high:
        told = [f"Pixels are {low:.3g} mm wide in {of}."]
    else:
        told = [f"Pixels are {low:.3g} to {high:.3g} mm wide, stated for {of}."]
    prepared = spacing["prepared"].dropna()
    if len(prepared):
        read = spacing[spacing["prepared"].notna()]
        middle = float((read["prepared"] * read["known"]).sum() / read["known"].sum())
        seen = CALCIFICATION_MM / middle
        told.append(
            f"After preparation a pixel covers {middle:.2g} mm on average: a calcification of "
            f"{CALCIFICATION_MM} mm is {seen:.1f} pixels wide in what the model sees"
            + (", so it can hardly be seen there." if seen < 2 else ".")
        )
    return told


def _warnings(spacing: Any) -> tuple[str, ...]:
    told = []
    mixed = spacing[spacing["kinds"] > 1]
    ratio = spacing["high"].max() / spacing["low"].min() if spacing["known"].sum() else 1.0
    if ratio >= MIXED_RATIO:
        told.append(
            f"Pixel spacings differ by up to {ratio:.1f} times between images: a lesion of one "
            "size covers other numbers of pixels, and sizes in pixels must not be compared."
        )
    if len(mixed):
        names = [named(name) for name in mixed["scanner"]]
        told.append(
            f"{listed(names)} {verb(len(names), 'has')} more than one pixel spacing: magnified "
            "views, binned detectors, or a header that states the wrong element."
        )
    coarse = spacing[spacing["middle"] >= COARSE_MM]
    if len(coarse):
        share = int(coarse["known"].sum()) / int(spacing["n"].sum())
        of = "All" if share == 1 else f"{percent(share)} of the"
        told.append(
            f"{of} images have pixels of {COARSE_MM} mm or more, two to four times "
            "those of digital mammography: microcalcifications are partly lost already."
        )
    return tuple(told)


def _plot(sizes: Any) -> Plot:
    figure, (axes,) = new_figure(3.8)
    order = sizes.groupby("scanner", dropna=False)["n"].sum().sort_values(ascending=False).index
    largest = sizes["n"].max()
    for place, scanner in enumerate(order):
        mine = sizes[sizes["scanner"].fillna("") == ("" if scanner != scanner else scanner)]
        named_one = place < SHOWN - 1 or len(order) <= SHOWN
        axes.scatter(
            mine["columns"].astype(float), mine["rows"].astype(float),
            s=(20 + 480 * mine["n"] / largest).astype(float), alpha=0.65, linewidths=0.8,
            color=SERIES[place] if named_one else MUTED, edgecolors="white",
            label=clip(named(scanner)) if named_one else "_",
        )  # fmt: skip
    style(axes, "columns (pixels)", "rows (pixels)")
    axes.set_xlim(0, 1.12 * float(sizes["columns"].max()))
    axes.set_ylim(0, 1.12 * float(sizes["rows"].max()))
    legend: Any = axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    others = "" if len(order) <= SHOWN else "; grey: the other scanners"
    alt = (
        f"Each bubble is one size of image, its area the number of images, its colour the scanner"
        f"{others}. Sizes run from {number(sizes['rows'].min())} x {number(sizes['columns'].min())}"
        f" to {number(sizes['rows'].max())} x {number(sizes['columns'].max())}."
    )
    return to_plot(figure, "images", "Sizes of the original images", alt)


def _table(sizes: Any, spacing: Any) -> Table:
    rows = []
    for one in spacing.itertuples():
        mine = sizes[sizes["scanner"].fillna("") == (one.scanner or "")]
        rows.append(
            (named(one.scanner), number(one.n), number(len(mine)),
             _range(mine["rows"]), _range(mine["columns"]), _millimetres(one.low, one.high),
             f"{one.prepared:.2g}" if one.prepared == one.prepared else "-")
        )  # fmt: skip
    columns = ("scanner", "images", "sizes", "rows", "columns", "spacing (mm)", "prepared (mm)")
    return Table(columns, tuple(rows), "Sizes and spacings by scanner")


def _range(values: Any) -> str:
    low, high = int(values.min()), int(values.max())
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _millimetres(low: float, high: float) -> str:
    if low != low:
        return "-"
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
