"""Numbers that somebody typed into a page that is made of results: there may be none.

What is filled in comes from a results file. What is left and allowed is in `ALLOWED`, each with
its reason: names, terms of a standard, days, aims, settings, the words of a method. Code within a
line, links, and the numbers of headings and lists are no measurements and are not looked at; a
block of code is: it may be what a run printed. Counts written in words are not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jinja2 import Environment, nodes

from benchmarks.paper.render import TEMPLATES
from benchmarks.paper.results import ROOT

GAP = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands where a figure is filled in, so that the text on both sides stays apart."""
README = ROOT / "README.md"
ALLOWED = {
    "aims, which were asked for before anything was measured": (
        "0.5 confirmed false alarms a year", "asked: 1.15", "asked 1.15", "asked: 80 %", "0.90 for",
    ),
    "sizes of a planted change, settings of a rule, points of a curve": (
        "0.25 SD", "0.25 standard", "daily PSI > 0.1", "0.5 false marks an image", "99 % at",
        "39,000 exams a year", "more in 1,000 on",
    ),
    "intervals": ("95 %",),
    "names and terms of standards": (
        "JPEG 2000", "TID 1500", "canvas at 1:1", "8 to 16 bits", "3328 x 2560 x 12 bits",
        "port 11112", "Python 3.11", "CC BY 3.0", "mAP@50", "Apache-2.0", "GPL-3.0",
    ),
    "days": ("1990s", "et al. 1994"),
}  # fmt: skip
"""Reason -> phrases that may hold a typed number."""
NOT_PROSE = (
    r"`[^`\n]*`",
    r"<!--.*?-->",
    r"\]\([^)\n]*\)",  # where a link goes
    r"\{:[^}\n]*\}",  # attributes of an element
    r"^#+ \d+(\.\d+)*\.? ",
    r"^\d+\. ",
)
# digits that a letter comes before are of a name: int8, ResNet50, PS3.15
NUMBER = re.compile(r"(?<![A-Za-z_\d.,])(?<![A-Za-z]-)\d+(?:[.,]\d+)*(?: ?%)?")


def typed_numbers(text: str) -> list[str]:
    """Return the numbers typed into a page of Markdown, in order, each with what is around it."""
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    for phrase in sorted((one for some in ALLOWED.values() for one in some), key=len, reverse=True):
        text = re.sub(rf"(?<![\d.,]){re.escape(phrase)}", " ", text)
    return [_around(text, found) for found in NUMBER.finditer(text)]


def typed_in_template(source: str) -> list[str]:
    """Return the numbers typed into a template: into its text, or as constants that it prints."""
    tree = Environment(trim_blocks=True, lstrip_blocks=True).parse(source)
    return [*typed_numbers("".join(_texts(tree))), *_printed_constants(tree)]


def all_typed() -> dict[str, list[str]]:
    """Return every typed number by page: the templates, and the README outside of them."""
    pages = {one.name: typed_in_template(one.read_text()) for one in sorted(TEMPLATES.iterdir())}
    return pages | {README.name: typed_numbers(by_hand_part(README.read_text()))}


def by_hand_part(page: str) -> str:
    """Return a page without what is written between its comments."""
    return re.sub(r"<!-- written: (.+?) -->.*?<!-- end: \1 -->", "", page, flags=re.DOTALL)


def _texts(tree: nodes.Node) -> Iterator[str]:
    for output in tree.find_all(nodes.Output):
        for part in output.nodes:
            yield part.data if isinstance(part, nodes.TemplateData) else GAP


def _printed_constants(tree: nodes.Node) -> Iterator[str]:
    """Give the numbers that a template prints without asking any results file."""
    for output in tree.find_all(nodes.Output):
        for part in output.nodes:
            if not isinstance(part, nodes.TemplateData) and not any(part.find_all(nodes.Name)):
                yield from _numbers([part, *part.find_all(nodes.Const)])
    yield from _numbers(pair.value for pair in tree.find_all(nodes.Pair))
    yield from _numbers(one.node for one in tree.find_all(nodes.Assign))
    for choice in tree.find_all(nodes.CondExpr):
        ends = (choice.expr1, choice.expr2)
        # a choice of two bare numbers is one of digits: interval(0 if days else 2)
        words = [one for one in ends if isinstance(one, nodes.Const) and isinstance(one.value, str)]
        yield from _numbers(words)


def _numbers(some: Iterable[nodes.Node | None]) -> Iterator[str]:
    for one in some:
        if isinstance(one, nodes.Const):
            yield from typed_numbers(str(one.value))


def _around(text: str, found: re.Match[str]) -> str:
    return " ".join(text[max(0, found.start() - 30) : found.end() + 20].split())
