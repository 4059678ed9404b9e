"""Whole columns of the log give the frame that its rows give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from mammo.prediction_log import PredictionLog, exam_frame
from mammo.prediction_log.frames import logged_frame
from mammo.prediction_log.tables import PREDICTIONS
from tests.prediction_log.rows import exam_row

VECTOR = np.linspace(-1, 1, 32, dtype=np.float32)
KINDS: dict[str, list[dict[str, Any]]] = {
    "as usual": [{}, {"exam_id": "E-2"}],
    "none has features": [{"features": None}, {"features": None}],
    "the first has none": [{"features": None}, {"features": {"noise": 0.1}}],
    "empty features": [{"features": {}}, {"features": {}}],
    "features that come later": [{"features": {"noise": 1}}, {"features": {"kvp": 28, "noise": 2}}],
    "whole and broken numbers": [{"features": {"kvp": 28}}, {"features": {"kvp": 28.5}}],
    "a feature that is always null": [{"features": {"kvp": None}}, {"features": {"kvp": None}}],
    "no embedding": [{"embedding": None}, {"embedding": VECTOR}],
    "never an embedding": [{"embedding": None}, {"embedding": None}],
    "no date": [{"acquired_on": None}, {"acquired_on": None, "threshold": None}],
    "breasts' sides": [{"laterality": "L"}, {"laterality": None}],
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_columns_give_what_rows_give(log: PredictionLog, changes: list[dict[str, Any]]) -> None:
    for change in changes:
        log.append_exam([exam_row(**change)])
    rows = exam_frame(log._rows(sa.select(PREDICTIONS).order_by(PREDICTIONS.c.id)))
    read = log.read_since()
    pd.testing.assert_frame_equal(read, rows)
    pd.testing.assert_frame_equal(log.exams(), rows)


def test_nothing_gives_the_frame_of_nothing(log: PredictionLog) -> None:
    pd.testing.assert_frame_equal(log.read_since(), exam_frame([]))


def test_an_embedding_of_another_size_is_refused() -> None:
    row = {name: [value] for name, value in exam_row().items()}
    row |= {"id": [1], "scored_at": [None], "embedding": [b"1234"], "features": [None]}
    with pytest.raises(ValueError, match="an embedding has 32 float32"):
        logged_frame(row)
