"""The checks' arithmetic: e-values against known truths, and what each verdict needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta

from bentos.screening.guard_bets import log_e_above, log_e_below, share_interval
from bentos.screening.guard_checks import Count, check_loads, check_share, recall_limits
from bentos.screening.guard_trial import reordered
from bentos.screening.rollout_policy import DEFAULT, rollout_policy_from

POLICY = rollout_policy_from(DEFAULT)


@pytest.mark.parametrize(
    ("hits", "exams", "limit"), [(0, 1, 0.2), (3, 7, 0.2), (7, 7, 0.5), (1, 40, 0.01)]
)
def test_e_value_is_the_mixture_of_bets(hits: int, exams: int, limit: float) -> None:
    def mix(low: float, high: float) -> float:
        def ratio(share: float) -> float:
            won = hits * math.log(share / limit)
            lost = (exams - hits) * math.log((1 - share) / (1 - limit))
            return math.exp(won + lost) * beta.pdf(share, 0.5, 0.5)

        total = quad(ratio, low, high, limit=200)[0]
        return float(total / (beta.cdf(high, 0.5, 0.5) - beta.cdf(low, 0.5, 0.5)))

    assert math.exp(log_e_above(hits, exams, limit)) == pytest.approx(mix(limit, 1), rel=1e-4)
    assert math.exp(log_e_below(hits, exams, limit)) == pytest.approx(mix(0, limit), rel=1e-4)


def test_before_the_first_exam_nothing_is_known() -> None:
    assert log_e_above(0, 0, 0.3) == log_e_below(0, 0, 0.3) == pytest.approx(0)
    assert share_interval(0, 0, 0.05) == (0.0, 1.0)


def test_looking_after_every_exam_is_wrong_at_most_so_often() -> None:
    """The share is the limit: in 500 trials of 1000 looks, 1 in 20 may be crossed at all."""
    hits = np.cumsum(np.random.default_rng(3).random((500, 1000)) < 0.2, axis=1)
    exams = np.arange(1, 1001)
    a, b = hits + 0.5, exams - hits + 0.5
    logs = betaln(a, b) - betaln(0.5, 0.5) - hits * np.log(0.2) - (exams - hits) * np.log(0.8)
    for tail, ours in ((beta.logsf, log_e_above), (beta.logcdf, log_e_below)):
        values = logs + tail(0.2, a, b) - tail(0.2, 0.5, 0.5)
        assert values[7, 99] == pytest.approx(ours(int(hits[7, 99]), 100, 0.2))
        assert (values.max(axis=1) >= math.log(20)).mean() <= 0.05


@pytest.mark.parametrize("hits", [0, 1, 30, 100])
def test_interval_holds_the_share_and_fits_the_e_values(hits: int) -> None:
    low, high = share_interval(hits, 100, 0.05)
    assert low <= hits / 100 <= high
    assert (low == 0) == (hits == 0) and (high == 1) == (hits == 100)


@pytest.mark.parametrize(
    ("hits", "exams", "limits", "verdict"),
    [
        (0, 0, {"high": 0.01}, "open"),
        (2, 2, {"high": 0.01}, "harm"),
        (1, 1, {"high": 0.01}, "open"),
        (0, 376, {"high": 0.01}, "open"),
        (0, 377, {"high": 0.01}, "cleared"),
        (5, 5, {"high": 0.2}, "harm"),
        (4, 4, {"high": 0.2}, "open"),
        (0, 17, {"high": 0.2}, "cleared"),
        (6, 6, {"high": 0.2, "low": 0.05}, "harm"),
        (0, 200, {"high": 0.2, "low": 0.05}, "harm"),
        (0, 60, {"high": 0.2, "low": 0.05}, "open"),
        (40, 400, {"high": 0.2, "low": 0.05}, "cleared"),
        (20, 400, {"high": 0.2, "low": 0.05}, "open"),
    ],
)
def test_verdicts(hits: int, exams: int, limits: dict[str, float], verdict: str) -> None:
    name = "recall" if "low" in limits else "errors"
    check = check_share(name, Count(hits, exams, hits, exams), POLICY, **limits)
    assert check.verdict == verdict
    assert f"{hits} of {exams} exams" in check.text and check.text.startswith(f"{name}: {verdict}")
    assert all(one is None or math.isfinite(one) for one in (check.to_dict()["harm"],))


def test_harm_of_the_stage_counts_whatever_came_before() -> None:
    check = check_share("errors", Count(3, 3, 3, 5003), POLICY, high=0.01)
    assert check.verdict == "harm"


@pytest.mark.parametrize(
    ("refusing", "workers", "verdict", "evidence"),
    [(0, 2, "cleared", (0.0, None)), (1, 2, "harm", (None, 0.0)), (0, 0, "open", (0.0, 0.0))],
    ids=["all take it", "one refuses", "nobody lives to say"],
)
def test_a_worker_that_refuses_is_harm(
    refusing: int, workers: int, verdict: str, evidence: tuple[float | None, float | None]
) -> None:
    told = check_loads(refusing, workers).to_dict()
    assert (told["verdict"], (told["harm"], told["cleared"])) == (verdict, evidence)


@pytest.mark.parametrize(
    ("targets", "limits"),
    [([0.1], (0.05, 0.2)), ([0.05, 0.1], (0.025, 0.2)), ([0.6], (0.3, 0.8))],
)
def test_recall_limits(targets: list[float], limits: tuple[float, float]) -> None:
    assert recall_limits(targets, 2.0) == pytest.approx(limits)


def test_pairs_ranked_otherwise() -> None:
    champion = np.array([0.0, 1.0, 0.0, 1.0, 2.0, 2.0, 0.0, 1.0, 5.0])
    other = np.array([0.0, 1.0, 1.0, 0.0, 3.0, 4.0, 7.0, 7.0, 5.0])
    assert reordered(np.stack([other, champion], axis=1)).tolist() == [False, True, True]
    assert len(reordered(np.zeros((0, 2)))) == 0
