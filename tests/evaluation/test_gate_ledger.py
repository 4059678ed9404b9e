"""The account of a golden set, and its promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mammo.evaluation.ledger import Look, Spending, is_renewed, next_alpha

RULE = Spending(total=0.2, share=0.125)


def spend(passed):
    """Hold gates one after another; return their levels."""
    looks = []
    for one in passed:
        looks.append(Look(next_alpha(RULE, looks).alpha, one))
    return [look.alpha for look in looks]


def test_the_level_stays_while_challengers_pass_and_falls_with_each_refused():
    assert spend([True] * 6) == pytest.approx([0.025] * 6)
    assert spend([False] * 3) == pytest.approx([0.025, 0.025 * 0.875, 0.025 * 0.875**2])
    assert spend([False, True, True, False, True])[1:] == pytest.approx(
        [0.021875, 0.021875, 0.021875, 0.021875 * 0.875]
    )


def test_what_is_left_and_given_back_is_shown():
    found = next_alpha(RULE, [Look(0.025, False), Look(0.021875, True)])
    assert (found.number, found.carried) == (3, 0.021875)
    assert found.alpha + found.left == pytest.approx(0.175)
    assert found.to_dict()["left"] == found.left


@given(st.lists(st.booleans(), max_size=80))
def test_refused_gates_never_spend_more_than_the_account(passed):
    levels = spend(passed)
    refused = sum(level for level, one in zip(levels, passed, strict=True) if not one)
    assert refused < RULE.total
    assert all(0 < level <= RULE.total * RULE.share + 1e-12 for level in levels)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_a_challenger_that_passes_never_lowers_a_later_level(passed, data):
    """The proof of the ledger's promise rests on this."""
    changed = data.draw(st.integers(0, len(passed) - 1))
    more = [one or place == changed for place, one in enumerate(passed)]
    assert np.all(np.array(spend(more)) >= np.array(spend(passed)) - 1e-15)


@pytest.mark.parametrize("shared", [0.0, 0.6, 0.95], ids=["fresh", "alike", "one golden set"])
def test_the_chance_that_any_bad_challenger_passes_stays_below_the_total(shared):
    """Bad ones at the margin itself, good ones that mostly pass; errors shared by the set."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(400):
        bad = rng.random(50) < 0.6
        common = np.sqrt(shared) * rng.normal()
        noise = common + np.sqrt(1 - shared) * rng.normal(size=50)
        p_value = stats.norm.sf(np.where(bad, 0.0, 3.0) + noise)
        looks = []
        for value in p_value:
            alpha = next_alpha(RULE, looks).alpha
            looks.append(Look(alpha, bool(value <= alpha)))
        broken += any(look.passed for look, one in zip(looks, bad, strict=True) if one)
    assert broken / 400 <= RULE.total + 2 * np.sqrt(RULE.total * 0.8 / 400)


def test_one_level_for_every_gate_breaks_that_promise():
    """The test above can fail: 30 bad challengers at 0.025 each."""
    noise = np.random.default_rng(0).normal(size=(400, 30))
    assert np.mean((stats.norm.sf(noise) <= 0.025).any(axis=1)) > 0.4


@pytest.mark.parametrize(
    ("patients", "renewed"),
    [(["a", "b"], False), (["a", "x"], True), (["a", "b", "x"], False), ([], False)],
)
def test_a_set_half_new_opens_another_account(patients, renewed):
    assert is_renewed(Spending(), ["a", "b"], patients) == renewed


def test_a_rule_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"share must be inside \(0, 1\), found 1"):
        Spending(share=1)
