"""Numbers in words."""

from __future__ import annotations

import pytest

from mammo.explore.counts import patient_share
from mammo.explore.sentences import (
    count,
    listed,
    named,
    one_in,
    p_value,
    percent,
    span,
    times,
    with_interval,
)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.0, "0%"), (1.0, "100%"), (0.5, "50%"), (0.0208, "2.1%"), (0.00068, "0.07%"),
        (0.00001, "under 0.01%"), (0.99999, "over 99.99%"), (0.9995, "99.95%"), (0.979, "97.9%"),
    ],
)  # fmt: skip
def test_percent_never_rounds_to_none_or_all(rate: float, words: str) -> None:
    assert percent(rate) == words


@pytest.mark.parametrize(
    ("n", "noun", "words"),
    [
        (0, "patient", "no patients"), (1, "breast", "1 breast"), (54706, "image", "54,706 images"),
        (2, "biopsy", "2 biopsies"), (3, "view", "3 views"), (2, "box", "2 boxes"),
    ],
)  # fmt: skip
def test_counts_have_the_right_form(n: int, noun: str, words: str) -> None:
    assert count(n, noun) == words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abc"), "a, b and c"),
        (list("abcdefgh"), "a, b, c, d, e and 3 more"),
    ],
)  # fmt: skip
def test_lists_end_with_and_and_count_what_they_leave_out(words: list[str], text: str) -> None:
    assert listed(words) == text


@pytest.mark.parametrize(
    ("p", "text"), [(1e-9, "p < 0.0001"), (0.0312, "p = 0.031"), (0.5, "p = 0.50")]
)
def test_p_values(p: float, text: str) -> None:
    assert p_value(p) == text


def test_rates_and_intervals() -> None:
    assert with_interval(patient_share(486, 11913)) == "4.1% (95% interval 3.7 to 4.4%)"
    assert with_interval(patient_share(0, 10)) == "0% (95% interval 0 to 28%)"
    assert span(0.001, 0.0045) == "0.10 to 0.45%"
    assert one_in(1 / 47) == "1 in 47"
    assert one_in(0.4) == "40%"
    assert times(1.64) == "1.6 times"
    assert named(None) == named(float("nan")) == named(" ") == "not stated"
