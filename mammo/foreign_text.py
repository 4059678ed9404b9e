"""Words from outside, a scanner's name in a header say, as they stand: in figures and in Markdown.

figure_text("A $x$")           # no formula
markdown_text("A <b>")         # no tag
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SIGN = re.compile(
    r"(?P<ours>`(?:mammo|--)[^`]*`)"  # a command or an option of ours in a sentence: it stays code
    r"|[\\`\[~$]|(?<=\S)\*|\*(?=\S)"
    r"|(?<![^\W_])_|_(?![^\W_])"  # between letters it is none
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)"
)
"""What Markdown takes for itself anywhere in a line."""
BLOCK = re.compile(r"^(\d{0,9})(?=[.)](?:\s|$)|[#>=]|[-+*](?:[\s-]|$))")
"""What begins a heading, a quotation, a list or a line, at the beginning of a line alone."""
ENTITIES = {"<": "&lt;", "&": "&amp;"}


def figure_text(text: str) -> str:
    """Return text that matplotlib draws letter for letter: ``$`` begins no formula."""
    return text.replace("$", r"\$")


def markdown_text(text: str) -> str:
    """Return one line that Markdown shows letter for letter: nothing in it is a sign of Markdown's.

    Runs of white space become one space; `mammo …` and `--…` between backticks stay code.
    """
    return BLOCK.sub(r"\1\\", _letters(text))


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table, as many cells as given whatever is in them."""
    return "| " + " | ".join(_letters(cell).replace("|", "\\|") for cell in cells) + " |"


def _letters(text: str) -> str:
    return SIGN.sub(_shown, " ".join(text.split()))


def _shown(found: re.Match[str]) -> str:
    return found["ours"] or ENTITIES.get(found[0], f"\\{found[0]}")
