"""Tuning: the space is checked, a study goes on, another space is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammo.continual.tune import open_study, run_study
from mammo.continual.tune_space import check_space, read_space
from mammo.errors import SourceInvalid, StudyConflict

pytest.importorskip("optuna")
SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"lerning_rate": {"low": 0.1, "high": 0.2}}, "learning_rate"),
        ({"learning_rate": {"low": 0.2, "high": 0.1}}, "low below high"),
        ({"learning_rate": {"low": "1e-4", "high": 0.1}}, "both numbers"),
        ({"pooling": {"choices": ["median"]}}, "pooling"),
        ({"golden_fraction": {"low": 0.1, "high": 0.2}}, "cannot be searched"),
        ({"epochs": 3}, "allowed is"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceInvalid, match=told):
        check_space(space)


def test_the_space_in_the_repository_is_sound() -> None:
    assert "pooling" in read_space(Path(__file__).parents[2] / "configs/tune/demo.yaml")


def test_a_study_goes_on_to_its_total(tmp_path: Path) -> None:
    url, ran = f"sqlite:///{tmp_path / 's.db'}", []

    def objective(params: dict[str, Any]) -> float:
        ran.append(params)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return float(params["learning_rate"])

    with pytest.raises(KeyboardInterrupt):
        run_study(open_study(url, "a", SPACE, {}), SPACE, objective, 4)
    study = open_study(url, "a", SPACE, {})
    run_study(study, SPACE, objective, 4)
    assert len(ran) == 5
    assert [one.state.name for one in study.trials].count("COMPLETE") == 4


def test_another_space_under_the_same_name_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    open_study(url, "a", SPACE, {})
    with pytest.raises(StudyConflict, match="space"):
        open_study(url, "a", {"epochs": {"low": 1, "high": 3}}, {})
