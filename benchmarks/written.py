"""Tables in the docs that a script writes: between two comments, everything else by hand.

<!-- written: NAME -->
(replaced)
<!-- end: NAME -->
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

Cells = list[str]


def markdown_table(head: Cells, rows: Iterable[Cells]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(one) + " |" for one in (head, ["---"] * len(head), *rows))


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's two comments of that name.

    Raises ValueError where the page has not exactly one such pair.
    """
    start, end = f"<!-- written: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    made, found = pattern.subn(lambda _: f"{start}\n{text}\n{end}", page.read_text())
    if found != 1:
        raise ValueError(f"{page.name} has {found} pairs of {start} and {end}; one is needed")
    page.write_text(made)
