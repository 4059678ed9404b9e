"""Slides from Markdown: one HTML file, arrow keys to go on, N for the speaker's notes.

A line of `---` ends a slide; what follows `Notes:` at the start of a line is for the speaker.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

import markdown

STYLE = Path(__file__).parent / "deck.css"
SCRIPT = Path(__file__).parent / "deck.js"


@dataclass(frozen=True)
class Slide:
    """One slide: what the audience sees, and what the speaker says; both Markdown."""

    shown: str
    said: str


def split_slides(text: str) -> list[Slide]:
    """Return the slides of a deck in Markdown.

    Raises ValueError where one has no notes: a deck without them is half a talk.
    """
    slides = []
    for part in re.split(r"^---$", text, flags=re.MULTILINE):
        shown, found, said = part.partition("\nNotes:")
        if not found or not said.strip():
            raise ValueError(f"no notes below the slide that begins {part.strip()[:40]!r}")
        slides.append(Slide(shown.strip(), said.strip()))
    return slides


def write_deck(text: str, to: Path, *, notes: bool = False) -> None:
    """Write the deck as one HTML file; with `notes` each slide has its notes below it."""
    slides = split_slides(text)
    title = slides[0].shown.splitlines()[0].lstrip("# ")
    body = "\n".join(_section(one, at, len(slides)) for at, one in enumerate(slides, 1))
    to.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE.read_text()}</style>"
        f'<body class="{"with-notes" if notes else "slides"}">{body}'
        f"<script>{SCRIPT.read_text()}</script></body></html>\n"
    )


def _section(slide: Slide, number: int, count: int) -> str:
    return (
        f'<section id="{number}"><div class=slide>{to_html(slide.shown)}'
        f"<footer>{number} / {count}</footer></div>"
        f'<aside class=notes aria-label="Speaker notes">{to_html(slide.said)}</aside></section>'
    )


def to_html(text: str) -> str:
    """Return Markdown as HTML, with tables."""
    return markdown.markdown(text, extensions=["tables", "attr_list", "md_in_html"])
