"""The picture of the control, as SVG: every node's CUSUM and e-process over its exams.

Written by hand rather than by a plotting library: a run of the monitor takes a
few seconds, and importing one would double them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from monitoring.conformal import Floats
from monitoring.features import channel_group
from monitoring.pictures import COLORS, GREY, INK, RED, text
from monitoring.words import STATES, channel_words

if TYPE_CHECKING:
    from monitoring.watch import Watch

MOST_PANELS = 12
WIDTH, HEIGHT = 680, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 44, 38
QUIET = "#5a6a7a"
SHORT = {"population": "age", "embedding": "embedding"}


class WatchedNode(Protocol):
    """What is drawn of a node of the programme: a version, a scanner, a site, or all.

    ``trace`` is (m, 2 + C): the exam's number at this node, each channel's highest
    CUSUM as a part of its threshold (1 raises the alert), and the e-process as a part of its
    own (1 confirms). ``lead`` is the channel that alerted, or that is highest.
    """

    @property
    def name(self) -> str:
        """What people read of it."""

    @property
    def codes(self) -> Sequence[str]:
        """What is special about what it is compared with."""

    @property
    def state(self) -> str:
        """One of ``learning``, ``in_control``, ``alert`` and ``confirmed``."""

    @property
    def channels(self) -> Sequence[str]:
        """Names of the C channels."""

    @property
    def lead(self) -> str | None:
        """The channel that alerted."""

    @property
    def alert_at(self) -> int | None:
        """Number of the exam that raised the alert."""

    @property
    def change_at(self) -> int | None:
        """Number of the last exam before the change."""

    @property
    def confirmed_at(self) -> int | None:
        """Number of the exam that confirmed."""

    @property
    def evidence(self) -> float:
        """The e-process as a part of its threshold."""

    @property
    def trace(self) -> Floats:
        """What is drawn, (m, 2 + C)."""


def plot_nodes(
    nodes: Sequence[WatchedNode], path: Path, title: str = "Control", most: int = MOST_PANELS
) -> Path | None:
    """Draw the nodes into a file; None when nothing was tested yet."""
    drawn = draw_nodes(nodes, title, most)
    if not drawn:
        return None
    path.write_text(f"{drawn}\n")
    return path


def draw_nodes(
    nodes: Sequence[WatchedNode], title: str = "Control", most: int = MOST_PANELS
) -> str:
    """Return the nodes as SVG, those in alarm first; "" when nothing was tested yet.

    CUSUM and log e-process are drawn as parts of their thresholds: 1 is the alarm.
    """
    tested = sorted((one for one in nodes if len(one.trace)), key=_urgency)
    shown = tested[:most]
    if not shown:
        return ""
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    left_out = f" ({len(tested) - len(shown)} quieter ones left out)" if tested != shown else ""
    parts = [text(LEFT, 20, f"{title}{left_out}", size=14), *_legend(shown)]
    for place, one in enumerate(shown):
        x, y = WIDTH * (place % columns), 48 + HEIGHT * (place // columns)
        parts.append(f"<g transform='translate({x},{y})'>{_panel(one)}</g>")
    width, height = max(WIDTH, WIDTH * columns), 56 + HEIGHT * rows
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' font-family='system-ui,sans-serif'>"
        f"<rect width='100%' height='100%' fill='white'/>{''.join(parts)}</svg>"
    )


def plot_control(watch: Watch, path: Path) -> Path | None:
    """Draw every node of a watch, those in alarm first; None when nothing was tested yet."""
    return plot_nodes(watch.nodes(), path, f"Control of {watch.release_id}")


def _urgency(one: WatchedNode) -> tuple[bool, float]:
    peak = float(np.asarray(one.trace)[-1, 1:-1].max())
    return one.confirmed_at is None, -max(peak, one.evidence)


def _panel(one: WatchedNode) -> str:
    trace = np.asarray(one.trace, dtype=float)
    exams, paths, evidence = trace[:, 0], trace[:, 1:-1], trace[:, -1]
    names = list(one.channels)
    lead = names.index(one.lead) if one.lead in names else int(paths[-1].argmax())
    top = float(np.clip(1.1 * max(paths.max(), evidence.max()), 1.35, 4.0))
    scale = _Scale(exams[0] - 1, max(exams[-1], exams[0] + 20), top)
    lines = [*_axes(scale)]
    for column in [*(c for c in range(len(names)) if c != lead), lead]:
        color = COLORS[channel_group(names[column])]
        lines.append(scale.line(exams, paths[:, column], color, 2.2 if column == lead else 0.9))
    lines.append(scale.line(exams, evidence, INK, 1.3, dash="5 3"))
    lines += _events(one, scale)
    codes = f" [{', '.join(one.codes)}]" if one.codes else ""
    told = f"{STATES.get(one.state, one.state)}; highest: {channel_words(names[lead]).lower()}"
    return "".join(
        [
            text(LEFT, 14, f"{one.name}{codes}", size=12),
            text(LEFT, 30, told, size=11, color=QUIET),
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
        text(right, scale.y(1) - 4, "threshold", size=10, color=RED, anchor="end"),
        text(LEFT - 6, scale.y(1) + 3, "1", size=10, anchor="end"),
        text(LEFT - 6, base + 3, "0", size=10, anchor="end"),
        text(right, base + 30, "exam here", size=10, color=QUIET, anchor="end"),
    ]
    ticks = _ticks(scale.first, scale.last)
    return parts + [text(scale.x(at), base + 15, f"{at}", 10, anchor="middle") for at in ticks]


def _events(one: WatchedNode, scale: _Scale) -> list[str]:
    parts = []
    for row, (at, word, color) in enumerate(
        (
            (one.change_at, "change after", QUIET),
            (one.alert_at, "alert", "#b06f00"),
            (one.confirmed_at, "confirmed", RED),
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
        parts.append(text(place[0], TOP + 10 + 13 * row, label, 10, color, place[1], halo=True))
    return parts


def _ticks(first: float, last: float) -> Sequence[int]:
    step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 10**9) if (last - first) / s <= 10)
    return range(int(-(-first // step)) * step, int(last) + 1, step)


def _legend(nodes: Sequence[WatchedNode]) -> list[str]:
    """Name the groups that are drawn, in the order of the palette."""
    drawn = {channel_group(name) for one in nodes for name in one.channels}
    entries = [(SHORT.get(w, w), c, "") for w, c in COLORS.items() if w in drawn]
    parts, x = [], LEFT
    for word, color, dash in [*entries, ("e-process", INK, "5 3")]:
        parts.append(
            f"<path d='M{x} 36h20' stroke='{color}' stroke-width='2' stroke-dasharray='{dash}'/>"
        )
        parts.append(text(x + 24, 40, word, size=11))
        x += 38 + 6 * len(word)
    return parts
