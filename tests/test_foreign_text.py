"""What a header says is shown as it stands, and does nothing."""

from __future__ import annotations

import pytest

from mammo.foreign_text import figure_text, markdown_row, markdown_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("HOLOGIC, Inc./Selenia Dimensions", "HOLOGIC, Inc./Selenia Dimensions"),
        ("R&D < 3, p < 0.0001, a_b*c", "R&D < 3, p < 0.0001, a_b*c"),
        ("A<script>x</script>", "A&lt;script>x&lt;/script>"),
        ("<!-- all that follows", "&lt;!-- all that follows"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("![seen](http://elsewhere/a.png)", "![seen]\\(http://elsewhere/a.png)"),
        ("Maker\r\n\n# Safe for patients\n", "Maker # Safe for patients"),
    ],
    ids=["plain", "signs", "tag", "comment", "entity", "picture", "lines"],
)
def test_markdown_shows_the_letters(text: str, shown: str) -> None:
    assert markdown_text(text) == shown


def test_a_row_keeps_its_number_of_cells() -> None:
    assert markdown_row(("A|B\n", "<b>", "3")) == "| A\\|B | &lt;b> | 3 |"


@pytest.mark.parametrize("text", ["A $\\x_$", "$", "$$", "a\\$b$", "A $x$ \\$"])
def test_matplotlib_draws_the_letters(text: str) -> None:
    from matplotlib.text import Text

    drawn, is_formula = Text(text=figure_text(text))._preprocess_math(figure_text(text))
    assert (drawn, is_formula) == (text, False)
