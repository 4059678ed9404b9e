"""What the strategies' benchmark makes of scores whose AUC can be worked out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.strategies_figures import Chain, figures

DOMAINS = ("one", "two", "three")
EXAMS = 40


@pytest.fixture
def exams() -> pd.DataFrame:
    numbers = np.arange(len(DOMAINS) * EXAMS)
    return pd.DataFrame(
        {
            "patient_id": [f"P-{one}" for one in numbers],
            "domain": np.repeat(DOMAINS, EXAMS), "label": numbers % 2,
        }
    )  # fmt: skip


def chain(exams: pd.DataFrame, name: str, shares: list[list[float]], seed: int = 1) -> Chain:
    """Scores of which the given share of each domain's cancers lies above, the rest below."""
    scores = np.full((len(shares), len(exams)), np.nan)
    for step, row in enumerate(shares):
        for domain, share in zip(DOMAINS, row, strict=False):
            rows = np.flatnonzero(exams["domain"] == domain)
            cancers = rows[exams["label"].iloc[rows] == 1]
            scores[step, rows] = 0.0
            scores[step, cancers] = np.where(np.arange(len(cancers)) < share * len(cancers), 1, -1)
    cost = {"cpu_s": 2.0, "images": 10, "replayed": 0, "drawn": 30}
    return Chain(name, seed, scores, [cost] * 2)


def test_figures_are_those_of_the_definition(exams: pd.DataFrame) -> None:
    kept = [[0.5], [0.9, 0.8], [0.7, 0.8, 0.9]]
    lost = [[0.9], [0.7, 0.8], [0.5, 0.6, 1.0]]
    told = figures(
        [chain(exams, "replay", kept), chain(exams, "replay", kept, 2), chain(exams, "x", lost)],
        exams, DOMAINS,
    )  # fmt: skip
    replay, x = told["strategies"]["replay"], told["strategies"]["x"]
    assert replay["average"][0] == pytest.approx((0.7 + 0.8 + 0.9) / 3)
    assert replay["learnt"][0] == pytest.approx((0.8 + 0.9) / 2)
    assert replay["lost"][0] == pytest.approx((0.5 - 0.7 + 0.8 - 0.8) / 2)  # it gained
    assert replay["forgetting"][0] == pytest.approx((0.9 - 0.7 + 0.8 - 0.8) / 2)
    assert x["lost"][0] == x["forgetting"][0] == pytest.approx((0.4 + 0.2) / 2)
    assert x["lost_of_each"]["one"][0] == pytest.approx(0.4)
    assert x["auc"][0] == [pytest.approx(0.9), None, None]
    assert x["cost"]["cpu_s"] == 4.0 and told["test"]["two"] == {"exams": 40, "cancers": 20}
    for low, high in (one[1:] for one in (x["lost"], x["average"], replay["forgetting"])):
        assert low < high
    assert x["lost"][1] > 0.1
    assert told["beside_replay"]["x"]["lost"][0] == pytest.approx(0.3 + 0.1)


def test_a_chain_is_read_as_it_was_written(exams: pd.DataFrame, tmp_path: Path) -> None:
    made = chain(exams, "x", [[0.5], [0.9, 0.8]])
    made.write(tmp_path / "chains" / "x.npz")
    read = Chain.read(tmp_path / "chains" / "x.npz")
    np.testing.assert_array_equal(read.scores, made.scores)
    assert (read.name, read.seed, read.costs) == (made.name, made.seed, made.costs)
