from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.config import MonitorConfig
from monitoring.performance import measure_performance

CONFIG = MonitorConfig(bootstrap=300)


def labelled(exams: int, skill: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    cancer = np.arange(exams) % 3 == 0
    logit = skill * cancer + rng.standard_normal(exams)
    patients = [f"P-{seed}-{i}" for i in range(exams)]
    return pd.DataFrame({"cancer": cancer, "logit": logit, "patient_id": patients})


REFERENCE = labelled(150, 2.0, seed=4)


@pytest.mark.parametrize(("skill", "loss"), [(2.0, False), (0.3, True), (0.0, True), (3.0, False)])
def test_a_loss_is_found_and_none_is_invented(skill, loss):
    found = measure_performance(labelled(150, skill), REFERENCE, {}, CONFIG)
    assert found.loss == loss
    assert found.looks == {"looks": 1, "positives": 50}
    assert found.auc.low < found.auc.value < found.auc.high


@pytest.mark.parametrize(
    ("frame", "note"),
    [
        (labelled(12, 2.0), "4 cancers and 8 others have an outcome; 10 of each are needed."),
        (labelled(0, 2.0), "0 cancers and 0 others have an outcome; 10 of each are needed."),
    ],
)
def test_too_few_outcomes_decide_nothing(frame, note):
    found = measure_performance(frame, REFERENCE, {}, CONFIG)
    assert (found.auc, found.loss, found.note) == (None, False, note)


def test_a_reference_without_outcomes_decides_nothing():
    blind = REFERENCE.assign(cancer=pd.array([pd.NA] * len(REFERENCE), dtype="Int8"))
    found = measure_performance(labelled(150, 0.0), blind, {}, CONFIG)
    assert not found.loss
    assert found.note == "The release's reference has no outcomes."


def test_looks_wait_for_half_as_many_cancers_again():
    first = measure_performance(labelled(90, 0.5), REFERENCE, {}, CONFIG)
    again = measure_performance(labelled(93, 0.5), REFERENCE, first.looks, CONFIG)
    assert (again.upper, again.loss, again.looks) == (None, False, first.looks)
    assert again.note == "Too few new cancers to look again."
    later = measure_performance(labelled(135, 0.5), REFERENCE, first.looks, CONFIG)
    assert later.looks == {"looks": 2, "positives": 45}


def test_many_looks_at_an_unchanged_release_invent_no_loss():
    losses = 0
    for seed in range(20):
        looks: dict[str, int] = {}
        stream = labelled(300, 2.0, seed=100 + seed)
        for exams in (40, 60, 90, 140, 210, 300):
            found = measure_performance(stream.head(exams), REFERENCE, looks, CONFIG)
            looks = found.looks
            losses += found.loss
    assert losses <= 2
