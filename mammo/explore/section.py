"""What one section of the exploration report is made of, and what it is told.

A section module has `build(query, context) -> Section | None` (None: there is nothing to tell).
It asks the index by SQL, never loads it whole, and returns sentences that follow from the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Plot:
    """One figure: inline SVG that refers to nothing outside, or a PNG where it is a picture.

    `alt` says in words what the figure shows, for a reader who cannot see it.
    """

    title: str
    svg: str
    alt: str
    png: bytes = b""


@dataclass(frozen=True)
class Table:
    """Rows of cells already put into words, as many cells as columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str


@dataclass(frozen=True)
class Section:
    """One chapter of the report; `warnings` are the sentences that the summary shows first."""

    key: str
    title: str
    sentences: tuple[str, ...]
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExploreContext:
    """What the sections are told besides the index.

    `name` is the set's name as the page shows it; `shards_dir` is where the pixels lie (None: a
    table without pixels); `seed` fixes every sample and bootstrap.
    """

    name: str
    shards_dir: Path | None
    seed: int
