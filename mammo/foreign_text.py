"""Words from outside, a scanner's name in a header say, as they stand: in figures and in Markdown.

figure_text("A $x$")           # no formula
markdown_text("A <b>")         # no tag
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TAG = re.compile(r"<(?=[A-Za-z/!?])")
ENTITY = re.compile(r"&(?=#?\w+;)")


def figure_text(text: str) -> str:
    """Return text that matplotlib draws letter for letter: ``$`` begins no formula."""
    return text.replace("$", r"\$")


def markdown_text(text: str) -> str:
    """Return one line that Markdown shows as it is: no tag, link, picture or new block in it."""
    line = " ".join(text.split())
    return TAG.sub("&lt;", ENTITY.sub("&amp;", line)).replace("](", "]\\(")


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table, as many cells as given whatever is in them."""
    return "| " + " | ".join(markdown_text(cell).replace("|", "\\|") for cell in cells) + " |"
