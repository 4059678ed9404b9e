"""Sections as Markdown: the same words and tables as the page, without its figures."""

from __future__ import annotations

from collections.abc import Sequence

from mammo.explore.section import Section, Table
from mammo.foreign_text import markdown_row, markdown_text


def render_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the sections as one Markdown document; a figure is told by its words."""
    return "\n\n".join([f"# {markdown_text(title)}", *(_section(one) for one in sections)]) + "\n"


def _section(section: Section) -> str:
    title = markdown_text(section.title)
    warnings = [f"**Warning:** {markdown_text(one)}" for one in section.warnings]
    told = [markdown_text(one) for one in section.sentences]
    figures = [f"*{one.title}.* {markdown_text(one.alt)}" for one in section.plots]
    tables = [_table(one) for one in section.tables]
    return "\n\n".join([f"## {title}", *warnings, *told, *figures, *tables])


def _table(table: Table) -> str:
    head = [markdown_row(table.columns), "|" + "---|" * len(table.columns)]
    rows = [markdown_row(row) for row in table.rows]
    return "\n".join([f"{markdown_text(table.caption)}:", "", *head, *rows])
