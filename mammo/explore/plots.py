"""How every figure of the report looks; matplotlib is imported when one is drawn.

Figures are SVG with text as text, no address outside, ids that do not clash with
those of another figure of the page, and equal bytes for equal numbers. Colours
are Okabe and Ito's, which colour-blind readers tell apart; nothing is told by
colour alone.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mammo.explore.section import Plot
from mammo.foreign_text import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mammo.explore.counts import Share

WIDTH = 8.0  # inches; shown 800 px wide, so that 9 points are 12.5 px
INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e8ec"
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SERIES = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", RED, "#7f7f7f")
POSITIVE, NEGATIVE, UNLABELLED = RED, BLUE, "#b0b7bf"
ROW_INCHES = 0.3
FONTS = ["DejaVu Sans", "Verdana", "Arial", "sans-serif"]


def new_figure(height: float, columns: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure of the report's width with ``columns`` axes side by side, styled."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="white", layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False, **grid)[0])
    for one in axes:
        style(one)
    return figure, axes


def style(axes: Axes, x_label: str = "", y_label: str = "") -> None:
    """Give axes the report's look and labels (with units)."""
    axes.set_xlabel(x_label, color=INK, fontsize=9)
    axes.set_ylabel(y_label, color=INK, fontsize=9)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0, labelsize=8.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def to_plot(figure: Figure, key: str, title: str, alt: str) -> Plot:
    """Return the figure as a Plot; ``key`` is unique on the page and begins its ids."""
    import matplotlib

    written = io.StringIO()
    options: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": key, "font.family": FONTS}
    with matplotlib.rc_context(options):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(title, _inline(written.getvalue(), key, alt), alt)


def interval_plot(
    key: str,
    title: str,
    alt: str,
    rows: Sequence[tuple[str, Share]],
    x_label: str,
    unit: str = "patients",
    reference: float | None = None,
) -> Plot:
    """Draw one share with its interval per row, n at the right, the total as a dashed line."""
    figure, (axes,) = new_figure(1.0 + ROW_INCHES * len(rows))
    usable = [(name, share) for name, share in rows if share.total]
    for y, (_, share) in enumerate(usable):
        axes.hlines(y, 100 * share.low, 100 * share.high, color=BLUE, lw=2.2)
        axes.plot(100 * share.rate, y, "o", color=BLUE, ms=5.5, clip_on=False, zorder=3)
        text = f"{share.positive:,} of {share.total:,} {unit}"
        axes.annotate(
            text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8,
            color=MUTED,
        )  # fmt: skip
    axes.set_xlim(0, 100 * min(1.0, _furthest([share for _, share in usable])))
    if reference is not None:
        axes.axvline(100 * reference, color=INK, lw=1, ls=(0, (4, 3)))
        axes.annotate(
            f"all: {100 * reference:.1f}%", (100 * reference, 1), xytext=(3, 2),
            xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=8, color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(usable)), [clip(name) for name, _ in usable])
    axes.set_ylim(len(usable) - 0.4, -0.6)
    axes.set_xlabel(x_label, color=INK, fontsize=9)
    return to_plot(figure, key, title, alt)


def _furthest(shares: Sequence[Share]) -> float:
    """Return how far the axis goes: a level of a few patients does not flatten the others."""
    large = [one for one in shares if one.total >= 0.01 * sum(each.total for each in shares)]
    rates = [one.rate for one in shares]
    return 1.12 * max([one.high for one in large or shares] + rates + [1e-3])


def bar_plot(
    key: str, title: str, alt: str, rows: Sequence[tuple[str, float, str]], x_label: str
) -> Plot:
    """Draw one horizontal bar per row of (name, length, words beside the bar)."""
    figure, (axes,) = new_figure(0.75 + ROW_INCHES * len(rows))
    axes.barh(range(len(rows)), [length for _, length, _ in rows], color=BLUE, height=0.62)
    for y, (_, length, words) in enumerate(rows):
        axes.annotate(
            words, (max(length, 0), y), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [clip(name) for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.28)
    axes.set_xlim(left=min(0.0, *(length for _, length, _ in rows)))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(x_label, color=INK, fontsize=9)
    return to_plot(figure, key, title, alt)


def share_grid(
    key: str,
    title: str,
    alt: str,
    rows: Sequence[str],
    columns: Sequence[str],
    shares: Sequence[Sequence[float]],
    label: str,
) -> Plot:
    """Draw a matrix of shares in [0, 1], each cell with its percentage (NaN is left blank)."""
    import numpy as np

    cells = np.array(shares, dtype=float)
    figure, (axes,) = new_figure(1.3 + ROW_INCHES * len(rows))
    picture = axes.imshow(100 * cells, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), value in np.ndenumerate(cells):
        if np.isfinite(value):
            axes.text(
                x, y, cell_text(value), ha="center", va="center", fontsize=8,
                color="white" if value > 0.55 else INK,
            )  # fmt: skip
    axes.set_xticks(range(len(columns)), [clip(name, 18) for name in columns], rotation=35,
                    ha="right", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(len(rows)), [clip(name, 52) for name in rows])
    axes.grid(visible=False)
    bar = figure.colorbar(picture, ax=axes, fraction=0.035, pad=0.02)
    bar.set_label(label, fontsize=8.5, color=INK)
    bar.ax.tick_params(labelsize=8, colors=MUTED, length=0)
    bar.outline.set_visible(False)
    return to_plot(figure, key, title, alt)


def cell_text(rate: float) -> str:
    """Return a rate in [0, 1] for a small cell: whole percents, never 0 or 100 by rounding."""
    if rate in (0.0, 1.0):
        return f"{100 * rate:.0f}"
    return "<1" if rate < 0.01 else ">99" if rate > 0.99 else f"{100 * rate:.0f}"


def clip(name: str, length: int = 34) -> str:
    """Return a name short enough for an axis, to be drawn letter for letter."""
    return figure_text(name if len(name) <= length else name[: length - 1] + "…")


def _inline(svg: str, key: str, alt: str) -> str:
    """Return the SVG element alone, as wide as its column, its ids begun with ``key``."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.S)
    element = re.sub(r'\bid="', f'id="{key}-', element)
    element = re.sub(r"url\(#", f"url(#{key}-", element)
    element = re.sub(r'href="#', f'href="#{key}-', element)
    look = 'style="width:100%;max-width:800px;height:auto"'
    words = f'role="img" aria-label="{html.escape(alt, quote=True)}" {look}'
    return re.sub(  # the size in points would win over the page's
        r"<svg\b([^>]*)>", lambda found: f"<svg {words}{_unsized(found[1])}>", element, count=1
    )


def _unsized(attributes: str) -> str:
    return re.sub(r'\s(width|height)="[^"]*"', "", attributes)
