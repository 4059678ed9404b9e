"""Write the cards: Markdown and HTML of a release, or of a data version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mammo
from mammo.appraisal import card
from mammo.data.durable import write_text
from mammo.data.query import open_index, open_indexes
from mammo.data.version import current_version, find_version
from mammo.data.version_files import version_file
from mammo.errors import IndexMissing
from mammo.explore import dataset_card
from mammo.explore.markdown import render_markdown
from mammo.explore.page import Origin, render_page, summarise
from mammo.explore.section import ExploreContext, Section
from mammo.release import Release
from mammo.settings import Settings

SEED = 7


@dataclass(frozen=True)
class CardFiles:
    """A card: its files, what to know first, and every section for a program to read."""

    html: Path
    markdown: Path
    warnings: tuple[str, ...]
    leads: tuple[str, ...]
    sections: tuple[Section, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the figures as plain JSON values."""
        return {
            "html": str(self.html),
            "markdown": str(self.markdown),
            "warnings": list(self.warnings),
            "sentences": list(self.leads),
            "sections": {one.key: _plain(one) for one in self.sections},
        }


def write_model_card(
    settings: Settings,
    directory: Path,
    *,
    html: Path | None = None,
    to: Path | None = None,
    command: str = "mammo card",
) -> CardFiles:
    """Write the card of the release in ``directory``; raises as `mammo.appraisal.card`.

    ``html`` names the page; ``to`` a folder for both files, by default among the reports.
    """
    release = Release.read(directory)
    folder = to or (html.absolute().parent if html else settings.reports_dir / "cards")
    page = html or folder / f"{release.id}.html"
    name = f"Release {release.id}"
    sections = card.model_card(directory)
    origin = _origin(release.data_version, command)
    return _write(name, card.SUBJECT, card.LEADS, sections, origin, page)


def write_dataset_card(
    settings: Settings,
    *,
    version: str | None = None,
    html: Path | None = None,
    to: Path | None = None,
    command: str = "mammo card data",
) -> CardFiles:
    """Write the card of the index as it is, or as it was in a data version.

    Raises IndexMissing where nothing was ingested, VersionUnknown where there is no such version.
    """
    name = find_version(settings, version) if version else current_version(settings)
    sections = _dataset_sections(settings, name if version else None)
    if not sections:
        raise IndexMissing("the exam index has no rows: run `mammo ingest` first")
    folder = to or settings.reports_dir / "cards"
    page = html or folder / f"data-{name or 'unversioned'}.html"
    title = f"Data version {name}" if name else "The exam index"
    origin = _origin(name, command)
    return _write(title, dataset_card.SUBJECT, dataset_card.LEADS, sections, origin, page)


def _dataset_sections(settings: Settings, version: str | None) -> list[Section]:
    if version is None:
        context = ExploreContext("The exam index", settings.shards_dir, SEED)
        with open_index(settings.index_path) as query:
            return dataset_card.build_dataset_card(query, context)
    context = ExploreContext(f"Data version {version}", None, SEED)
    path = version_file(settings, version, settings.index_path.name).cached
    with open_indexes({"exams": path}, settings.data_dir) as query:
        return dataset_card.build_dataset_card(query, context)


def _write(
    name: str,
    subject: str,
    leads: Sequence[str],
    sections: Sequence[Section],
    origin: Origin,
    page: Path,
) -> CardFiles:
    markdown = page.with_suffix(".md")
    drafts = page.absolute().parent
    text = render_page(name, sections, origin, subject=subject, leads=leads)
    write_text(page, text, drafts=drafts)
    write_text(markdown, render_markdown(f"{name}: {subject}", sections), drafts=drafts)
    return CardFiles(page, markdown, *summarise(sections, leads), tuple(sections))


def _plain(section: Section) -> dict[str, Any]:
    tables = [
        {"caption": one.caption, "columns": list(one.columns), "rows": [list(r) for r in one.rows]}
        for one in section.tables
    ]
    told = {"title": section.title, "warnings": list(section.warnings)}
    return told | {"sentences": list(section.sentences), "tables": tables}


def _origin(data_version: str, command: str) -> Origin:
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return Origin(data_version, command, now, mammo.__version__)
