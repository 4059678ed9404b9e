"""No measured number is typed into README, report or slides; and a typed one would be found."""

from __future__ import annotations

import pytest

pytest.importorskip("markdown")

from benchmarks.continual.ours import YEAR
from benchmarks.paper.render import TEMPLATES
from benchmarks.paper.typed import (
    ALLOWED,
    README,
    all_typed,
    by_hand_part,
    typed_in_template,
    typed_numbers,
)


@pytest.mark.parametrize(("page", "typed"), all_typed().items())
def test_no_number_is_typed(page: str, typed: list[str]) -> None:
    assert typed == [], (
        f"{page}: fill it in from a results file, or say why it may stand in ALLOWED"
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("an AUC of 0.64, which", 1),
        ("98, 97 and 97 cancer patients", 3),
        ("some 650 files", 1),
        ("5.1 % of patients", 1),
        ("3,988 exams", 1),
        ("falls to -0.004", 1),
        ("```\nrequests: 473 sent\n```", 1),
        ("10.25 SD", 1),  # no allowed phrase begins within a number
        ("int8, ResNet50, YOLOv8, PS3.15, AGPL-3.0", 0),
        ("`torch==2.13.0` and `--canary 10`", 0),
        ("[page](docs/2026.md#v1-2)", 0),
        ("## 3.2 Real film\n\n1. first\n2. second", 0),
        ("a day of 0.25 SD, JPEG 2000, 95 %", 0),
    ],
)
def test_typed_numbers_are_found(text: str, count: int) -> None:
    assert len(typed_numbers(text)) == count


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("{{ gate.passed }} of 100", 1),
        ("{% for one in rows %}in 12 s{% endfor %}", 1),
        ("{{ 0.64 }}", 1),
        ("{{ '12 s' | upper }}", 1),
        ("{{ '12 s' if gate.passed else 'never' }}", 1),
        ("{% set aim = 0.5 %}", 1),
        ("{% set title = {'a': 'in 9 days'} %}", 1),
        ("{{ rows | row('size', 8000) | fixed(3) }}", 0),
        ("{{ 'missed' if step.ratio < 1.15 }}", 0),
        ("{{ delay | interval(0 if days else 2) }}", 0),
    ],
)
def test_numbers_typed_into_a_template_are_found(source: str, count: int) -> None:
    assert len(typed_in_template(source)) == count


def test_every_allowed_phrase_is_needed() -> None:
    pages = [one.read_text() for one in TEMPLATES.iterdir()] + [by_hand_part(README.read_text())]
    phrases = [phrase for some in ALLOWED.values() for phrase in some]
    assert [one for one in phrases if not any(one in page for page in pages)] == []


def test_the_year_of_the_simulation_is_the_one_that_is_told() -> None:
    assert f"{YEAR.exams_a_year:,} exams a year" == "39,000 exams a year"
