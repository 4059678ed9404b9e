"""The history as one picture: who answered when, what was tried, and what was decided.

An SVG of lanes over time, coloured by the page's CSS variables. Distances grow with the
logarithm of the time between two events: months of quiet and the minutes of a rollback fit
beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any

from mammo.changes.history import Event, harm_of

LEFT, RIGHT, STEP, GROWTH = 12, 64, 18.0, 22.0
BAR, COLOURS = 26, 6
LANES = {"answers": 18, "trial": 66, "gate": 124, "people": 154, "episodes": 184}
"""Lane -> its y in pixels; the first two are bars, the others marks."""
WORDS = {
    "answers": "answers",
    "trial": "on trial",
    "gate": "gate",
    "people": "people",
    "episodes": "episodes",
}
LANE_OF = {"refused": "gate", "passed": "gate", "approval": "people", "episode": "episodes"}
MARKS = {"passed": "✓", "refused": "✕", "approval": "✎", "episode": "▲"}
HEIGHT, WIDTH, NAMES_WIDTH = 236, 850, 80
MOST_WIDER, LEAST_STEP = 5.0, 14.0
DAY, MINUTE = "%d %b", "%H:%M"
LABEL_WIDTH, LETTER = 46.0, 6.6


@dataclass
class Bar:
    """A release that answers, or is tried, from one place to another (pixels)."""

    lane: str
    release: str
    label: str
    start: float
    end: float
    stage: str = "champion"


@dataclass
class Bars:
    """Follows changes, oldest first, and leaves the bars of the two lanes."""

    done: list[Bar] = field(default_factory=list)
    open: dict[str, Bar] = field(default_factory=dict)

    def follow(self, record: Mapping[str, Any], x: float) -> None:
        """Take in one change at a place."""
        stage, release = record.get("stage", "champion"), record["release"]
        champion = record.get("champion", release)
        if self._answers() != champion:
            self._begin(Bar("answers", champion, champion, x, x))
        if stage in ("shadow", "canary"):
            share = f" {record['percent']}%" if stage == "canary" else ""
            self._begin(Bar("trial", release, f"{stage}{share}", x, x, stage))
        elif stage == "stopped" or record.get("rollback") or self._tried() == release:
            self._end("trial", x)

    def finish(self, x: float) -> list[Bar]:
        """End what goes on at the right edge, and return all bars."""
        for lane in list(self.open):
            self._end(lane, x)
        return self.done

    def _answers(self) -> str | None:
        return self.open["answers"].release if "answers" in self.open else None

    def _tried(self) -> str | None:
        return self.open["trial"].release if "trial" in self.open else None

    def _begin(self, bar: Bar) -> None:
        self._end(bar.lane, bar.start)
        self.open[bar.lane] = bar

    def _end(self, lane: str, x: float) -> None:
        bar = self.open.pop(lane, None)
        if bar is not None:
            bar.end = x
            self.done.append(bar)


def draw_timeline(events: Sequence[Event]) -> str:
    """Return the SVG of events, oldest first; nothing where there are none."""
    if not events:
        return ""
    places = _places(events)
    width = places[-1] + RIGHT
    bars = Bars()
    for event, x in zip(events, places, strict=True):
        if event.record is not None:
            bars.follow(event.record, x)
    drawn = bars.finish(width - 8)
    names = dict.fromkeys(one.release for one in sorted(drawn, key=lambda bar: bar.start))
    colours = {name: at % COLOURS for at, name in enumerate(names)}
    parts = [
        *(_lane(name, y, width) for name, y in LANES.items()),
        *(_bar(one, colours[one.release]) for one in drawn),
        *_marks(events, places),
        *_dates(events, places),
    ]
    lanes = "".join(_name(name, y) for name, y in LANES.items())
    return (
        f'<svg class="timeline names" viewBox="0 0 {NAMES_WIDTH} {HEIGHT}" width="{NAMES_WIDTH}" '
        f'height="{HEIGHT}" aria-hidden="true">{lanes}</svg><div class="frame">'
        f'<svg class="timeline" viewBox="0 0 {width:.0f} {HEIGHT}" width="{width:.0f}" '
        f'height="{HEIGHT}" role="img" aria-label="Which release answered when, what was tried, '
        f'and what gate and people decided; the list below says the same in words">'
        f"{''.join(parts)}</svg></div>"
    )


def _places(events: Sequence[Event]) -> list[float]:
    x, places = 0.0, [0.0]
    for before, event in pairwise(events):
        minutes = max(0.0, (event.at - before.at).total_seconds() / 60)
        x += STEP + GROWTH * math.log10(1 + minutes)
        places.append(x)
    # a history fills the page, and is scrolled only where its events would lie too close
    room = max(WIDTH - LEFT - RIGHT, LEAST_STEP * (len(events) - 1))
    wider = min(room / x, MOST_WIDER) if x else 1.0
    return [LEFT + wider * one for one in places]


def _middle(name: str, y: int) -> float:
    return y + BAR / 2 if name in ("answers", "trial") else y


def _name(name: str, y: int) -> str:
    return f'<text class="lane" x="10" y="{_middle(name, y) + 4:.0f}">{WORDS[name]}</text>'


def _lane(name: str, y: int, width: float) -> str:
    middle = f"{_middle(name, y):.0f}"
    return f'<line class="rail" x1="0" x2="{width - 8:.0f}" y1="{middle}" y2="{middle}"/>'


def _bar(bar: Bar, colour: int) -> str:
    y, width = LANES[bar.lane], max(bar.end - bar.start, 3.0)
    label = bar.label if bar.lane == "answers" else f"{bar.label} · {bar.release}"
    shorter = _short(bar.release) if bar.lane == "answers" else bar.label.split()[-1]
    labels = (label, bar.label, shorter)
    fits = next((one for one in labels if LETTER * len(one) + 10 < width), "")
    return (
        f"<g><title>{escape(bar.release)}, {escape(bar.label)}</title>"
        f'<rect class="bar c{colour} {bar.stage}" x="{bar.start:.1f}" y="{y}" '
        f'width="{width:.1f}" height="{BAR}" rx="4"/>'
        f'<text class="label" x="{bar.start + 6:.1f}" y="{y + 17}">{escape(fits)}</text></g>'
    )


def _short(release: str) -> str:
    return release.rsplit("-", 1)[-1]


def _marks(events: Sequence[Event], places: Sequence[float]) -> Iterator[str]:
    for event, x in zip(events, places, strict=True):
        told = f"<title>{escape(event.title)} {escape(event.text)}</title>"
        if event.record is None:
            y = LANES[LANE_OF[event.kind]]
            mark, kind = MARKS[event.kind], event.kind
            yield f'<text class="mark {kind}" x="{x:.1f}" y="{y + 5}">{told}{mark}</text>'
        elif word := harm_of(event.record):
            yield (
                f'<g class="back">{told}<line x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="104"/>'
                f'<text x="{x - 4:.1f}" y="112" text-anchor="end">{word}</text></g>'
            )


def _dates(events: Sequence[Event], places: Sequence[float]) -> Iterator[str]:
    """Yield times below, where there is room, and the day where it changes."""
    free, day = -math.inf, ""
    for event, x in zip(events, places, strict=True):
        if x < free:
            continue
        today = event.at.strftime(DAY)
        if today != day:
            yield f'<text class="date day" x="{x:.1f}" y="{HEIGHT - 6}">{today}</text>'
        yield f'<text class="date" x="{x:.1f}" y="{HEIGHT - 22}">{event.at.strftime(MINUTE)}</text>'
        day, free = today, x + LABEL_WIDTH
