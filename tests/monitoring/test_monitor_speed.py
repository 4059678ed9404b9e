"""What the speed of the monitor is measured with is what the monitor reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.monitor_frames import exam_frame_of
from benchmarks.monitor_speed import (
    begin_watch,
    evaluate,
    fill_log,
    in_batches,
    read_log,
    slope_of,
)
from benchmarks.monitor_speed_page import RECORD, beside_table, beside_tables, growth_table


def test_the_log_gives_the_frame_that_was_timed(tmp_path: Path) -> None:
    frame = exam_frame_of(40, seed=3)
    log = fill_log(tmp_path / "log.sqlite", frame)
    assert frame.shape[1] == 60
    read = log.read_since()
    pd.testing.assert_frame_equal(read[frame.columns], frame)
    assert read_log(log) == 40


def test_exams_are_drawn_apart() -> None:
    first, second = exam_frame_of(50, seed=3), exam_frame_of(50, seed=3, first=50)
    assert not set(first["exam_id"]) & set(second["exam_id"])
    assert not np.isin(first["logit"], second["logit"]).any()


@pytest.mark.slow
def test_an_evaluation_takes_every_exam_and_leaves_its_beginning() -> None:
    begun = begin_watch(exam_frame_of(3000, seed=3))
    before = json.dumps(begun.to_state(), default=str)
    watch = evaluate(begun, in_batches(exam_frame_of(300, seed=3, first=3000)))
    programme = watch.nodes()[0]
    assert programme.exams == 300
    assert json.dumps(begun.to_state(), default=str) == before


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_slope_is_the_power_of_growth(power: float) -> None:
    rng = np.random.default_rng(0)
    points = [
        {"exams": n, "seconds": n**power * np.exp(rng.normal(0, 0.01))}
        for n in (1e4, 3e4, 1e5, 3e5, 1e6)
    ]
    found = slope_of(points)
    assert found["slope_low"] < power < found["slope_high"]
    assert found["slope"] == pytest.approx(power, abs=0.02)


@pytest.mark.parametrize(("ratio", "word"), [(51.0, "Reached"), (49.9, "MISSED")])
def test_a_missed_aim_is_told(ratio: float, word: str) -> None:
    beside = {
        "exams": 100_000, "columns": 60, "reference_exams": 5, "channels": 18, "nodes": 10,
        "confirmed": 0, "begin_s": 1.0, "ours_s": 1.0, "log_s": 1.0, "evidently_s": ratio,
        "ratio": ratio, "ratio_with_log": ratio / 2, "aim": 50.0,
    }  # fmt: skip
    assert f"**{word}.**" in beside_table(beside)


def test_the_page_tells_the_record() -> None:
    record = json.loads(RECORD.read_text())
    page = (RECORD.parents[1] / "docs/monitor_speed.md").read_text()
    assert beside_tables(record) in page
    assert growth_table(record["growth"]) in page
