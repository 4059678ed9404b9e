"""Small pictures of one channel, reference beside recent exams, as SVG inside a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from monitoring.features import channel_group
from monitoring.words import channel_unit, channel_words

COLORS = {
    "score": "#1b5fa8",
    "recall": "#57a0d3",
    "missing": "#8e44ad",
    "image": "#d98e04",
    "embedding": "#3a7d44",
    "header": "#a0522d",
    "population": "#c2418a",
}
"""Group of channels -> its colour, in every picture."""
RED, GREY, INK, PALE = "#b23a48", "#8a97a5", "#1c2733", "#d5dbe2"
WIDTH, HEIGHT = 300, 120
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 8, 30
SMALLEST = 1e-9
"""What is nearer to 0 came from rounding."""


def draw_channel(name: str, shift: Mapping[str, Any]) -> str:
    """Return the picture of a channel from `ChannelShift.to_dict()`; empty without values.

    A channel that is yes or no is drawn as two rates, any other as two histograms:
    the reference filled and grey, recent exams as a coloured line.
    """
    histogram = shift.get("histogram")
    if not histogram:
        return ""
    values = list(histogram["values"])
    is_flag = bool(values) and set(values) <= {0.0, 1.0}
    body = _rates(name, shift) if is_flag else _histograms(name, histogram)
    return (
        f"<svg class=channel viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' "
        f"role='img' font-family='system-ui,sans-serif'>"
        f"<title>{escape(channel_words(name))}: reference and recent exams</title>"
        f"{''.join(body)}</svg>"
    )


def _rates(name: str, shift: Mapping[str, Any]) -> list[str]:
    rates = [float(shift["reference_mean"] or 0.0), float(shift["mean"] or 0.0)]
    room = WIDTH - 150
    top = max(*rates, 0.02)
    colors, parts = (GREY, COLORS[channel_group(name)]), []
    for row, (rate, word) in enumerate(zip(rates, ("reference", "recent"), strict=True)):
        y = 22 + 38 * row
        parts += [
            text(LEFT, y + 14, word, 12),
            f"<rect x='76' y='{y}' width='{max(room * rate / top, 1):.1f}' height='20' "
            f"fill='{colors[row]}'/>",
            text(82 + room * rate / top, y + 14, f"{rate:.1%}", 12),
        ]
    return parts


def _histograms(name: str, histogram: Mapping[str, Any]) -> list[str]:
    edges = [float(edge) for edge in histogram["edges"]]
    span = edges[-1] - edges[0] or 1.0
    xs = [LEFT + (WIDTH - LEFT - RIGHT) * (edge - edges[0]) / span for edge in edges]
    top = max(*histogram["reference"], *histogram["recent"]) or 1.0
    base = HEIGHT - BOTTOM
    color, unit = COLORS[channel_group(name)], channel_unit(name)
    reference, recent = (_steps(xs, histogram[side], top) for side in ("reference", "recent"))
    middle = (edges[0] + edges[-1]) / 2
    return [
        f"<path d='M{xs[0]:.1f} {base}{reference}V{base}Z' fill='{PALE}' stroke='{GREY}'/>",
        f"<path d='M{xs[0]:.1f} {base}{recent}V{base}' fill='{color}' fill-opacity='.12' "
        f"stroke='{color}' stroke-width='2'/>",
        f"<path d='M{LEFT} {base}H{WIDTH - RIGHT}' stroke='{INK}'/>",
        text(xs[0], base + 14, number(edges[0]), 11),
        text((xs[0] + xs[-1]) / 2, base + 14, f"{number(middle)} {unit}", 11, anchor="middle"),
        text(xs[-1], base + 14, number(edges[-1]), 11, anchor="end"),
    ]


def _steps(xs: Sequence[float], shares: Sequence[float], top: float) -> str:
    tall = HEIGHT - TOP - BOTTOM
    return "".join(
        f"V{HEIGHT - BOTTOM - tall * share / top:.1f}H{right:.1f}"
        for share, right in zip(shares, xs[1:], strict=True)
    )


def number(value: float | None) -> str:
    """Return three significant digits, thousands with commas; a dash for nothing."""
    if value is None:
        return "–"
    if abs(value) < SMALLEST:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def text(
    x: float,
    y: float,
    words: str,
    size: int = 11,
    color: str = INK,
    anchor: str = "start",
    *,
    halo: bool = False,
) -> str:
    """Return one line of text, escaped; a ``halo`` keeps it readable over lines."""
    under = " paint-order='stroke' stroke='white' stroke-width='3'" if halo else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{color}' "
        f"text-anchor='{anchor}'{under}>{escape(words)}</text>"
    )
