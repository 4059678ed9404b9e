"""Sections as Markdown: the same words and tables as the page, without its figures."""

from __future__ import annotations

from collections.abc import Sequence

from mammo.explore.section import Section, Table


def render_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the sections as one Markdown document; a figure is told by its words."""
    return "\n\n".join([f"# {title}", *(_section(one) for one in sections)]) + "\n"


def _section(section: Section) -> str:
    warnings = [f"**Warning:** {one}" for one in section.warnings]
    figures = [f"*{one.title}.* {one.alt}" for one in section.plots]
    tables = [_table(one) for one in section.tables]
    return "\n\n".join([f"## {section.title}", *warnings, *section.sentences, *figures, *tables])


def _table(table: Table) -> str:
    head = [_row(table.columns), "|" + "---|" * len(table.columns)]
    return "\n".join([f"{table.caption}:", "", *head, *(_row(row) for row in table.rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
