"""What a retraining won back: on scores whose AUC is known, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammo.continual.recovery import Recovery, compare
from mammo.errors import TooFewLabels
from mammo.evaluation.metrics import roc_auc


def _exams(separation: float, seed: int, exams: int = 200, noise: int = 0) -> pd.DataFrame:
    """Exams with logits of healthy N(0, 1) and cancers N(separation, 1)."""
    rng = np.random.default_rng(seed)
    label = np.arange(exams) % 3 == 0
    logit = rng.normal(0, 1, exams) + separation * label
    logit = logit + np.random.default_rng([noise, seed]).normal(0, 0.01, exams)
    return pd.DataFrame({
        "patient_id": [f"P-{seed}-{i}" for i in range(exams)],
        "logit": logit, "label": label.astype(int), "recall": logit > np.quantile(logit, 0.65),
    })  # fmt: skip


def _compared(lost: float, won: float, known_after: float = 2.0) -> Recovery:
    return compare(
        _exams(2.0, 1), _exams(known_after, 1, noise=1), _exams(lost, 2), _exams(won, 2, noise=1),
        0.35,
    )  # fmt: skip


def test_all_of_what_was_lost_is_back() -> None:
    found = _compared(lost=0.5, won=2.0)
    assert found.share is not None
    assert found.share.low < 1.0 < found.share.high
    assert found.share.high - found.share.low < 0.8
    assert abs(found.old_change.value) < 0.01
    assert found.recall.low < 0.35 < found.recall.high and found.target == 0.35


def test_the_share_is_of_the_aucs_it_says() -> None:
    found = _compared(lost=0.5, won=1.0)
    known, lost, won = (roc_auc(one["label"], one["logit"]) for one in
                        (_exams(2.0, 1), _exams(0.5, 2), _exams(1.0, 2, noise=1)))  # fmt: skip
    assert found.share is not None
    assert found.share.value == pytest.approx((won - lost) / (known - lost), abs=1e-9)
    assert found.share.high < 0.8
    assert (found.known.value, found.lost.value, found.won.value) == (known, lost, won)


def test_where_nothing_was_lost_there_is_no_share() -> None:
    assert _compared(lost=2.4, won=2.4).share is None


def test_forgetting_is_of_the_same_exams() -> None:
    found = _compared(lost=0.5, won=2.0, known_after=1.0)
    assert found.old_change.high < -0.01


def test_exams_of_one_class_are_refused() -> None:
    healthy = _exams(0.0, 3).assign(label=0)
    with pytest.raises(TooFewLabels, match="exams"):
        compare(healthy, healthy, healthy, healthy, 0.35)
