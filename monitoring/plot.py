"""The picture of the control, as SVG: every stratum's CUSUM and e-process over its exams.

Written by hand rather than by a plotting library: a run of the monitor takes a
few seconds, and importing one would double them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.features import channel_group
from monitoring.watch import Watch, WatchedStratum

COLORS = {
    "score": "#1b5fa8",
    "recall": "#57a0d3",
    "missing": "#8e44ad",
    "image": "#d98e04",
    "embedding": "#3a7d44",
}
RED, GREY, INK = "#b23a48", "#8a97a5", "#1c2733"
MOST_PANELS = 12
WIDTH, HEIGHT = 680, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 44, 38


def plot_control(watch: Watch, path: Path) -> Path | None:
    """Draw the strata, those in alarm first; None when nothing was tested yet.

    CUSUM and log e-process are drawn as parts of their thresholds: 1 is the alarm.
    """
    tested = [one for one in watch.strata.values() if one.control.trace]
    tested.sort(key=lambda one: (one.control.confirmed_at is None, -one.control.cusum.max()))
    shown = tested[:MOST_PANELS]
    if not shown:
        return None
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    left_out = f" ({len(tested) - len(shown)} quieter strata left out)" if tested != shown else ""
    parts = [_text(LEFT, 20, f"Control of {watch.release_id}{left_out}", size=14), *_legend()]
    for number, one in enumerate(shown):
        x, y = WIDTH * (number % columns), 48 + HEIGHT * (number // columns)
        parts.append(f"<g transform='translate({x},{y})'>{_panel(one, watch.config)}</g>")
    width, height = max(WIDTH, WIDTH * columns), 56 + HEIGHT * rows
    path.write_text(
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' font-family='system-ui,sans-serif'>"
        f"<rect width='100%' height='100%' fill='white'/>{''.join(parts)}</svg>\n"
    )
    return path


def _panel(one: WatchedStratum, config: MonitorConfig) -> str:
    control = one.control
    trace = np.array(control.trace, dtype=float)
    exams, paths = trace[:, 0], trace[:, 1:-1] / control.threshold
    evidence = trace[:, -1]
    lead = control.lead[1] if control.lead else int(paths[-1].argmax())
    top = float(np.clip(1.1 * max(paths.max(), evidence.max()), 1.35, 4.0))
    scale = _Scale(exams[0] - 1, max(exams[-1], exams[0] + 20), top)
    lines = [*_axes(scale)]
    for column in [*(c for c in range(paths.shape[1]) if c != lead), lead]:
        color = COLORS[channel_group(control.channels[column])]
        lines.append(scale.line(exams, paths[:, column], color, 2.2 if column == lead else 0.9))
    lines.append(scale.line(exams, evidence, INK, 1.3, dash="5 3"))
    lines += _events(one, scale)
    codes = f" [{', '.join(one.codes)}]" if one.codes else ""
    state = control.state(config).replace("_", " ")
    leader = control.channels[lead].replace("_", " ")
    return "".join(
        [
            _text(LEFT, 14, f"{one.stratum.name}{codes}", size=12),
            _text(LEFT, 30, f"{state}; highest channel: {leader}", size=11, color="#5a6a7a"),
            *lines,
        ]
    )


class _Scale:
    """From exams and parts of the threshold to the pixels of a panel."""

    def __init__(self, first: float, last: float, top: float) -> None:
        self.first, self.last, self.top = first, last, top

    def x(self, exam: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (exam - self.first) / (self.last - self.first)

    def y(self, part: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(part, self.top) / self.top

    def line(self, exams: Floats, parts: Floats, color: str, width: float, dash: str = "") -> str:
        points = " ".join(
            f"{self.x(exam):.1f},{self.y(part):.1f}"
            for exam, part in zip(exams, parts, strict=True)
        )
        return (
            f"<polyline fill='none' stroke='{color}' stroke-width='{width}' "
            f"stroke-dasharray='{dash}' stroke-linejoin='round' points='{points}'/>"
        )


def _axes(scale: _Scale) -> list[str]:
    base, right = scale.y(0), WIDTH - RIGHT
    parts = [
        f"<path d='M{LEFT} {TOP}V{base}H{right}' fill='none' stroke='{GREY}'/>",
        f"<path d='M{LEFT} {scale.y(1):.1f}H{right}' stroke='{RED}' stroke-width='1.2'/>",
        _text(right, scale.y(1) - 4, "threshold", size=10, color=RED, anchor="end"),
        _text(LEFT - 6, scale.y(1) + 3, "1", size=10, anchor="end"),
        _text(LEFT - 6, base + 3, "0", size=10, anchor="end"),
        _text(right, base + 30, "exam of this stratum", size=10, color="#5a6a7a", anchor="end"),
    ]
    ticks = _ticks(scale.first, scale.last)
    return parts + [_text(scale.x(at), base + 15, f"{at}", 10, anchor="middle") for at in ticks]


def _events(one: WatchedStratum, scale: _Scale) -> list[str]:
    control, parts = one.control, []
    for row, (at, word, color) in enumerate(
        (
            (control.change_at, "change after", "#5a6a7a"),
            (control.alert_at, "alert", "#b06f00"),
            (control.confirmed_at, "confirmed", RED),
        )
    ):
        if at is None or at < scale.first:
            continue
        x = scale.x(at)
        late = x > WIDTH * 0.8
        parts.append(
            f"<path d='M{x:.1f} {TOP}V{scale.y(0)}' stroke='{color}' stroke-dasharray='2 3'/>"
        )
        place = (x - 4, "end") if late else (x + 4, "start")
        label = f"{word} {at}"
        parts.append(_text(place[0], TOP + 10 + 13 * row, label, 10, color, place[1]))
    return parts


def _ticks(first: float, last: float) -> Sequence[int]:
    step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 10**9) if (last - first) / s <= 10)
    return range(int(-(-first // step)) * step, int(last) + 1, step)


def _legend() -> list[str]:
    parts, x = [], LEFT
    for word, color, dash in [(w, c, "") for w, c in COLORS.items()] + [("e-process", INK, "5 3")]:
        parts.append(
            f"<path d='M{x} 36h22' stroke='{color}' stroke-width='2' stroke-dasharray='{dash}'/>"
        )
        parts.append(_text(x + 27, 40, word, size=11))
        x += 100
    return parts


def _text(
    x: float, y: float, text: str, size: int = 11, color: str = INK, anchor: str = "start"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{color}' "
        f"text-anchor='{anchor}'>{escape(text)}</text>"
    )
