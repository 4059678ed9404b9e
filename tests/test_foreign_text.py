"""What a header says is shown as it stands, and does nothing."""

from __future__ import annotations

import html

import pytest
from markdown_it import MarkdownIt

from mammo.foreign_text import figure_text, markdown_row, markdown_text

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NAMES = {
    "plain": "HOLOGIC, Inc./Selenia Dimensions",
    "signs": "R&D < 3, p < 0.0001, a_b*c",
    "emphasis": "A*B*C `d` \\_e",
    "underscores": "_A_ a_b __c__ snake_case_",
    "escapes": "A\\*B \\\\ \\` \\[",
    "struck": "~~A~~ ~B~",
    "code": "``A` b``",
    "tag": "A<script>x</script>",
    "comment": "<!-- all that follows",
    "autolink": "<http://elsewhere/>",
    "entity": "&lt;b&gt; &#42;",
    "picture": "![seen](http://elsewhere/a.png)",
    "link": "[seen][1] [1]: http://elsewhere",
    "heading": "# Safe for patients",
    "quotation": "> said",
    "item": "- one",
    "stars": "* a * b",
    "star": "*",
    "number": "12. Maker",
    "line": "---",
    "minus": "-0.3",
    "formula": "ACME $\\x_$",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_markdown_shows_the_letters(name: str) -> None:
    shown = MARKDOWN.render(markdown_text(name))
    assert html.unescape(shown) == f"<p>{name}</p>\n"
    assert shown.count("<") == 2


@pytest.mark.parametrize("name", ["A|B\n", "<b>", "a\\|b", "`|`", "*|*", "*", "\\"])
def test_a_cell_shows_the_letters(name: str) -> None:
    rows = [markdown_row(("name", "n")), "|---|---|", markdown_row((name, "3"))]
    shown = MARKDOWN.render("\n".join(rows))
    assert html.unescape(shown.split("<td>", 1)[1]).startswith(f"{name.strip()}</td>\n<td>3</td>")
    assert shown.count("<td>") == 2


def test_lines_become_one() -> None:
    assert markdown_text("Maker\r\n\n# Safe for patients\n") == "Maker # Safe for patients"


def test_our_own_commands_stay_code() -> None:
    shown = MARKDOWN.render(markdown_text("A*: `mammo gate <RELEASE>` tells, `--all` more"))
    assert shown == (
        "<p>A*: <code>mammo gate &lt;RELEASE&gt;</code> tells, <code>--all</code> more</p>\n"
    )


def test_a_row_keeps_its_number_of_cells() -> None:
    assert markdown_row(("A|B\n", "<b>", "3")) == "| A\\|B | &lt;b> | 3 |"


@pytest.mark.parametrize("text", ["A $\\x_$", "$", "$$", "a\\$b$", "A $x$ \\$"])
def test_matplotlib_draws_the_letters(text: str) -> None:
    from matplotlib.text import Text

    drawn, is_formula = Text(text=figure_text(text))._preprocess_math(figure_text(text))
    assert (drawn, is_formula) == (text, False)
