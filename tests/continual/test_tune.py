"""Tuning: the space, seeds, pruning, the total of a study, and what is refused."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mammo.continual.tune_space import check_space, grid, grid_size, read_space, suggest
from mammo.continual.tune_states import ERROR, RETRIES, ask_again, count_trials
from mammo.continual.tune_study import Job, Search, Tell, open_study, quiet_optuna, run_study
from mammo.errors import SourceInvalid, StudyConflict, TrainingDiverged

pytest.importorskip("optuna")
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState

SPACE: dict[str, Any] = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
MIXED = SPACE | {
    "epochs": {"low": 3, "high": 8}, "pooling": {"choices": ["mean", "max"]},
}  # fmt: skip


def job(folder: Path, objective: Any, trials: int = 4, **more: Any) -> Job:
    given = {"space": SPACE, "storage": f"sqlite:///{folder / 's.db'}", "study": "a"} | more
    return Job(trials=trials, objective=objective, lock=folder / "a.lock", **given)


def rate(params: dict[str, Any], tell: Tell) -> float:
    return float(params["learning_rate"])


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"lerning_rate": {"low": 0.1, "high": 0.2}}, "learning_rate"),
        ({"learning_rate": {"low": 0.2, "high": 0.1}}, "low below high"),
        ({"learning_rate": {"low": "1e-4", "high": 0.1}}, "both numbers"),
        ({"learning_rate": {"low": 0.1, "high": 0.2, "points": 1}}, "2 or more"),
        ({"learning_rate": {"low": 0.1, "high": 0.2, "points": 2.5}}, "2 or more"),
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


def test_a_grid_cuts_ranges_ends_included() -> None:
    found = grid(MIXED)
    assert found["learning_rate"] == pytest.approx([1e-4, 1e-3, 1e-2])
    assert found["epochs"] == [3, 6, 8] and found["pooling"] == ["mean", "max"]
    assert all(1e-4 <= one <= 1e-2 for one in found["learning_rate"])
    assert grid_size(MIXED) == 18


def test_a_grid_tries_every_combination_once(tmp_path: Path) -> None:
    tried = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        tried.append(tuple(params.values()))
        return 0.5

    one = job(tmp_path, objective, 18, space=MIXED, search=Search("grid"))
    run_study(open_study(one), one)
    assert len(tried) == len(set(tried)) == 18


def _proposed(folder: Path, seed: int, sampler: str, *stops: int) -> list[dict[str, Any]]:
    """Return the settings of 14 trials, of a study that was left at these totals."""
    folder.mkdir(parents=True)
    for total in (*stops, 14):
        one = job(folder, rate, total, space=MIXED, search=Search(sampler, seed=seed))
        run_study(open_study(one), one)
    return [trial.params for trial in open_study(one).trials]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_seed_decides_what_is_proposed_also_after_a_stop(tmp_path: Path, sampler: str) -> None:
    whole = _proposed(tmp_path / "whole", 3, sampler)
    assert _proposed(tmp_path / "stopped", 3, sampler, 2, 9, 12) == whole
    assert _proposed(tmp_path / "other", 4, sampler) != whole
    assert len({str(one) for one in whole}) == 14


def test_a_study_goes_on_to_its_total(tmp_path: Path) -> None:
    ran = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        ran.append(params)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return float(params["learning_rate"])

    one = job(tmp_path, objective)
    with pytest.raises(KeyboardInterrupt):
        run_study(open_study(one), one)
    study = open_study(one)
    run_study(study, one)
    assert len(ran) == 5
    assert [trial.state.name for trial in study.trials].count("COMPLETE") == 4


@pytest.mark.parametrize("stops", [(2,), (2, 3, 4, 5), (4, 5)], ids=str)
def test_an_interrupted_grid_tries_every_combination(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    """Also where a combination is interrupted more often than a killed one is run again."""
    asked = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        asked.append(params)
        if len(asked) in stops:
            raise KeyboardInterrupt
        return float(params["learning_rate"])

    space = {"learning_rate": {"low": 0.1, "high": 0.4, "points": 4}}
    one = job(tmp_path, objective, 4, space=space, search=Search("grid"))
    for _ in stops:
        with pytest.raises(KeyboardInterrupt):
            run_study(open_study(one), one)
    study = open_study(one)
    run_study(study, one)
    whole = [trial.params["learning_rate"] for trial in study.trials if trial.state.name != "FAIL"]
    assert sorted(whole) == pytest.approx(grid(space)["learning_rate"])
    assert len(asked) == 4 + len(stops)


def failed_elsewhere(study: Any, one: Job) -> Any:
    """Return a trial as a machine leaves it that fails it as stale and has yet to queue it."""
    study.sampler = one.search.new_sampler(one.space, 0)
    suggest(trial := study.ask(), one.space)
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    return study.trials[trial.number]


def test_a_trial_that_another_machine_is_about_to_queue_is_queued_once(tmp_path: Path) -> None:
    """Twice queued it would count twice, and a grid end before its last combination."""
    asked = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        asked.append(params["learning_rate"])
        return 0.5

    space = {"learning_rate": {"low": 0.1, "high": 0.4, "points": 4}}
    one = job(tmp_path, objective, 4, space=space, search=Search("grid"))
    study = open_study(one)
    failed = failed_elsewhere(study, one)
    ask_again(study)  # here, meanwhile
    with quiet_optuna():
        RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, failed)
    run_study(study, one)
    assert sorted(asked) == pytest.approx(grid(space)["learning_rate"])


def test_a_trial_that_nobody_queued_is_waited_for_and_then_asked_again(tmp_path: Path) -> None:
    one = job(tmp_path, rate, 1, search=Search("grid"), heartbeat_s=1)
    study = open_study(one)
    began = time.monotonic()
    failed = failed_elsewhere(study, one)  # and the machine is gone
    run_study(study, one)
    assert time.monotonic() - began > 2.5
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[1].params == failed.params


def test_a_trial_killed_twice_and_then_interrupted_is_run_again(tmp_path: Path) -> None:
    def objective(params: dict[str, Any], tell: Tell) -> float:
        raise KeyboardInterrupt

    one = job(tmp_path, objective, 1)
    study = open_study(one)
    for _ in range(RETRIES):
        study.tell(trial := study.ask(), state=TrialState.FAIL)
        with quiet_optuna():
            RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, study.trials[trial.number])
    with pytest.raises(KeyboardInterrupt):
        run_study(study, one)
    assert count_trials(study) == 0
    run_study(study, job(tmp_path, rate, 1))
    assert [trial.state.name for trial in study.trials] == ["FAIL"] * 3 + ["COMPLETE"]


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (Search("random"), Search("grid"), "sampler is not grid, asked grid"),
        (Search("grid"), Search("tpe"), "sampler is grid, asked tpe"),
        (Search("grid", seed=1), Search("grid", seed=2), "seed of the grid is 1, asked 2"),
    ],
    ids=["to a grid", "from a grid", "another order"],
)
def test_a_grid_and_another_search_are_not_one_study(
    tmp_path: Path, first: Search, then: Search, told: str
) -> None:
    run_study(open_study(one := job(tmp_path, rate, 1, search=first)), one)
    with pytest.raises(StudyConflict, match=told):
        open_study(job(tmp_path, rate, search=then))
    open_study(job(tmp_path, rate, search=first))


def test_what_is_not_of_a_grid_may_change(tmp_path: Path) -> None:
    for total, search in enumerate((Search("random", seed=1), Search("tpe", seed=2)), start=1):
        run_study(open_study(one := job(tmp_path, rate, total, search=search)), one)
    assert count_trials(open_study(one)) == 2


def test_a_diverged_trial_is_one_of_the_total(tmp_path: Path) -> None:
    def objective(params: dict[str, Any], tell: Tell) -> float:
        raise TrainingDiverged("the loss is nan")

    one = job(tmp_path, objective, 3)
    study = open_study(one)
    run_study(study, one)
    assert count_trials(study) == len(study.trials) == 3
    assert {trial.user_attrs["diverged"] for trial in study.trials} == {"the loss is nan"}


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_settings_that_fail_do_not_hold_up_a_study(tmp_path: Path, sampler: str) -> None:
    tried: list[dict[str, Any]] = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        tried.append(params)
        if len(tried) == 1 or params == tried[0]:  # these settings can never be had
            raise OSError("no memory for so many")
        return 0.5

    one = job(tmp_path, objective, 3, search=Search(sampler))
    with pytest.raises(OSError, match="no memory"):
        run_study(open_study(one), one)
    study = open_study(one)
    run_study(study, one)  # asked again it goes on with others
    assert len({str(each) for each in tried}) == count_trials(study) == 3
    assert [trial.user_attrs.get(ERROR) for trial in study.trials] == ["OSError", None, None]


def test_a_trial_whose_worker_died_before_a_heartbeat_is_run_again(tmp_path: Path) -> None:
    one = job(tmp_path, rate, 1, heartbeat_s=1)
    study = open_study(one)
    study.ask()  # running, and nobody runs it
    began = time.monotonic()
    run_study(study, one)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert time.monotonic() - began < 60


def test_settings_that_kill_every_worker_end_for_good(tmp_path: Path) -> None:
    one = job(tmp_path, rate, 1, heartbeat_s=1)
    study = open_study(one)
    for _ in range(RETRIES + 1):
        trial = study.ask()
        study.tell(trial, state=TrialState.FAIL)
        with quiet_optuna():
            RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, study.trials[trial.number])
    assert [trial.state.name for trial in study.trials] == ["FAIL"] * (RETRIES + 1)
    assert count_trials(study) == 1


def test_a_worker_taken_for_dead_goes_on(tmp_path: Path) -> None:
    ran: list[float] = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        ran.append(params["learning_rate"])
        if len(ran) == 1:  # as another worker does that has not heard of us for long
            dead = study.trials[-1]
            study._storage.set_trial_state_values(dead._trial_id, TrialState.FAIL)
            with quiet_optuna():
                RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)(study, dead)
        tell(1, 0.5)
        return 0.5

    one = job(tmp_path, objective, 2)
    study = open_study(one)
    run_study(study, one)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert ran[0] == ran[1] != ran[2]


@pytest.mark.parametrize(("pruner", "pruned"), [("median", True), ("none", False)])
def test_a_trial_worse_than_the_median_after_a_fold_is_stopped(
    tmp_path: Path, pruner: str, pruned: bool
) -> None:
    folds = []

    def objective(params: dict[str, Any], tell: Tell) -> float:
        level = 0.9 if len(folds) < 15 else 0.1  # five good ones, then bad ones
        for fold in (1, 2, 3):
            folds.append(fold)
            tell(fold, level)
        return level

    one = job(tmp_path, objective, 8, search=Search(pruner=pruner))
    study = open_study(one)
    run_study(study, one)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE"] * 5 + (["PRUNED"] if pruned else ["COMPLETE"]) * 3
    assert len(folds) == (18 if pruned else 24)


@pytest.mark.slow
def test_hyperband_stops_some_after_a_fold(tmp_path: Path) -> None:
    levels: Iterator[int] = iter(range(30))

    def objective(params: dict[str, Any], tell: Tell) -> float:
        level = -next(levels)  # each is worse than all before
        for fold in (1, 2, 3):
            tell(fold, level)
        return float(level)

    one = job(tmp_path, objective, 30, search=Search("random", "hyperband"))
    study = open_study(one)
    run_study(study, one)
    pruned = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    assert 5 < len(pruned) < 30 and {len(one.intermediate_values) for one in pruned} == {1}


def test_only_warnings_of_experiments_are_silenced(tmp_path: Path) -> None:
    def objective(params: dict[str, Any], tell: Tell) -> float:
        warnings.warn("of the training", UserWarning, stacklevel=1)
        return 0.5

    one = job(tmp_path, objective, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_study(open_study(one), one)
    assert [str(each.message) for each in caught] == ["of the training"]


def test_another_space_under_the_same_name_is_refused(tmp_path: Path) -> None:
    open_study(job(tmp_path, rate))
    with pytest.raises(StudyConflict, match="space"):
        open_study(job(tmp_path, rate, space={"epochs": {"low": 1, "high": 3}}))


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        ("studies.db", "no SQLAlchemy URL"),
        ("sqlite:////no/such/folder/s.db", "cannot be opened"),
        ("postgresql://mammo:secret@127.0.0.1:9/none", "cannot be opened"),
        ("nodb://somewhere/x", "cannot be opened"),
        ("postgresql://127.0.0.1:9/none?user=mammo&password=secret", "//127.0.0.1:9/none cannot"),
        ("postgresql://127.0.0.1:9/none?pasword=secret", "//127.0.0.1:9/none cannot"),
        ("nodb://somewhere/x?password=secret", "nodb://somewhere/x cannot be opened"),
        ("sqlite://mammo@/x?password=secret", "cannot be opened"),
        ("postgresql://mammo:secret@127.0.0.1:secret/none", "no SQLAlchemy URL"),
    ],
)
def test_a_storage_that_is_none_is_refused_without_its_password(
    tmp_path: Path, storage: str, told: str
) -> None:
    with pytest.raises(SourceInvalid, match=told) as caught:
        open_study(job(tmp_path, rate, storage=storage))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("wrong", [{"sampler": "cma"}, {"pruner": "medain"}])
def test_a_sampler_or_pruner_that_is_none_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(SourceInvalid, match="allowed are"):
        Search(**wrong)
