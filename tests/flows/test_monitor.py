"""What a person is told of an episode that asks for a decision."""

from __future__ import annotations

from markdown_it import MarkdownIt

from flows import monitor


def test_a_person_is_told_what_is_asked_and_where_the_evidence_is() -> None:
    told = {
        "key": "r-1:site-1:act:1",
        "stratum": "site-1",
        "reason": "Two things at once.",
        "report_url": "http://host/drift/x/",
    }
    text = monitor.question_of([told])
    assert "[evidence](http://host/drift/x/episode-r-1-site-1-act-1.html)" in text
    assert "mammo retrain --episode r-1:site-1:act:1" in text
    assert "mammo close r-1:site-1:act:1" in text


def test_a_scanner_of_any_name_adds_nothing_to_the_question() -> None:
    told = {
        "key": "r-1:s:act:1",
        "stratum": "Maker/![x](http://elsewhere/x.png)<img src=y>",
        "reason": "Scores moved.\n# Close it",
        "report_url": "http://host/drift/x/",
    }
    text = monitor.question_of([told])
    shown = MarkdownIt().render(text)
    assert "Maker/![x](http://elsewhere/x.png)&lt;img src=y&gt;" in shown
    assert "<img" not in shown and 'href="http://elsewhere' not in shown
    assert shown.count("<h") == 1 and "<h1" not in shown
