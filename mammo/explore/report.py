"""The exploration report: every section that has something to tell, on one page.

explore_index(settings)                          # the index of this installation
explore_frame(tabulate("rsna", path, key), ...)  # a set's table alone
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import mammo
from mammo.data.durable import write_text
from mammo.errors import IndexMissing
from mammo.explore.page import Origin, render_page, summarise
from mammo.explore.section import ExploreContext, Section
from mammo.explore.sentences import listed

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery
    from mammo.settings import Settings

SEED = 7
REPORT_NAME = "explore/index.html"
CHAPTERS = (
    "overview", "labels", "people", "views", "machines", "readings", "missing", "conflicts",
    "annotations", "bias", "shortcut", "images", "intensity", "codes", "duplicates", "gallery",
)  # fmt: skip
"""Modules of this package, in reading order."""

NEED_PIXELS = {
    "images": "image sizes and pixel spacing",
    "intensity": "intensity by scanner",
    "codes": "quality codes",
    "duplicates": "duplicates",
    "gallery": "how the images look",
}
"""Chapters that need images that have been read -> what they are about."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ExploreReport:
    """What was written: the page, its chapters, and the summary's sentences."""

    path: Path
    chapters: tuple[str, ...]
    warnings: tuple[str, ...]
    leads: tuple[str, ...]
    bytes_written: int


def explore_index(
    settings: Settings,
    *,
    to: Path | None = None,
    command: str = "mammo explore",
    progress: Progress | None = None,
) -> ExploreReport:
    """Write the report of this installation's index.

    ``to`` is the page's file, ``explore/index.html`` among the reports by default.

    Raises
    ------
    IndexMissing
        Nothing has been ingested yet.
    """
    from mammo.data.query import open_index
    from mammo.data.version import current_version

    context = ExploreContext("The exam index", settings.shards_dir, SEED)
    version = current_version(settings)
    return _explore(
        open_index(settings.index_path),
        context,
        to or settings.reports_dir / REPORT_NAME,
        Origin(version, command, _now(), mammo.__version__),
        progress,
    )


def explore_frame(
    frame: pd.DataFrame,
    name: str,
    *,
    to: Path,
    version: str,
    command: str = "mammo explore",
    progress: Progress | None = None,
) -> ExploreReport:
    """Write the report of a table with the index's columns and no pixels."""
    from mammo.data.query import query_frame

    context = ExploreContext(name, None, SEED)
    origin = Origin(version, command, _now(), mammo.__version__)
    return _explore(query_frame(frame), context, to, origin, progress)


def explore_table(
    source: str, path: Path, settings: Settings, *, to: Path, progress: Progress | None = None
) -> ExploreReport:
    """Write the report of what a set's table alone tells (`mammo.data.sources.tabulate`).

    Raises
    ------
    SourceNotFound, SourceInvalid, TableInvalid
        There is no such set or table, or the table is wrong.
    """
    from mammo.data.sources.tabulate import tabulate

    frame = tabulate(source, path, settings.own_key())
    return explore_frame(
        frame,
        f"The table of {source}",
        to=to,
        version=_frame_version(frame),
        command=f"mammo explore --source {source} {path.name}",
        progress=progress,
    )


def _frame_version(frame: pd.DataFrame) -> str:
    """Name a table by its labels, since it is in no data version; ids depend on the site's key."""
    import pandas as pd

    names = [name for name in frame.columns if not name.endswith("_id")]
    digest = hashlib.sha256(
        pd.util.hash_pandas_object(frame[names], index=False).to_numpy().tobytes()
    )
    return f"none (a table of {len(frame):,} rows, sha256 {digest.hexdigest()[:12]})"


def _explore(
    opened: AbstractContextManager[IndexQuery],
    context: ExploreContext,
    to: Path,
    origin: Origin,
    progress: Progress | None,
) -> ExploreReport:
    with opened as query:
        sections = build_sections(query, context, progress)
    if not sections:
        raise IndexMissing("the index has no rows to explore: run `mammo ingest` first")
    page = render_page(context.name, sections, origin)
    write_text(to, page, drafts=to.parent)
    warnings, leads = summarise(sections)
    chapters = tuple(one.key for one in sections)
    return ExploreReport(to, chapters, warnings, leads, len(page.encode()))


def build_sections(
    query: IndexQuery, context: ExploreContext, progress: Progress | None = None
) -> list[Section]:
    """Return the sections that have something to tell, in reading order."""
    built: list[Section] = []
    untold: list[str] = []
    for done, chapter in enumerate(CHAPTERS, 1):
        module = importlib.import_module(f"mammo.explore.{chapter}")
        section = module.build(query, context)
        if section is not None:
            built.append(section)
        elif chapter in NEED_PIXELS:
            untold.append(NEED_PIXELS[chapter])
        if progress is not None:
            progress(chapter, done, len(CHAPTERS))
    return [*built, _left_out(untold)] if built and untold else built


def _left_out(untold: list[str]) -> Section:
    """Say what was not looked at, so that silence is not taken for a good result."""
    told = f"Without pixels nothing is said here of {listed(untold)}: ingest the images for that."
    return Section("left-out", "What this report does not tell", (told,))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
