"""Several workers of one study, by SQLite and PostgreSQL: no trial too many, none lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mammo.continual.tune_states import count_trials
from mammo.continual.tune_study import open_study
from mammo.continual.tune_workers import run_workers
from mammo.errors import TuningStopped
from tests.continual.tuning import slow_job
from tests.postgres import Cluster, running_cluster

pytest.importorskip("optuna")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 's.db'}"
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.new_database()


def states(study: Any) -> Counter[str]:
    return Counter(trial.state.name for trial in study.trials)


def test_two_workers_share_the_trials_and_stop_at_the_total(tmp_path: Path, storage: str) -> None:
    job = slow_job(tmp_path / "w", storage, 7)
    study = open_study(job)
    told: list[tuple[int, int]] = []
    run_workers(study, job, 2, lambda done, total: told.append((done, total)))
    assert states(study) == {"COMPLETE": 7}
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 2
    assert told[-1] == (7, 7) and [done for done, _ in told] == sorted(done for done, _ in told)
    run_workers(study, slow_job(tmp_path / "w", storage, 9), 2)  # asked for two more
    assert states(study) == {"COMPLETE": 9}


def test_the_trial_of_a_killed_worker_is_failed_and_run_again(tmp_path: Path, storage: str) -> None:
    job = slow_job(tmp_path / "w", storage, 6, deaths=1)
    study = open_study(job)
    run_workers(study, job, 2)
    assert states(study) == {"COMPLETE": 6, "FAIL": 1}
    dead = next(trial for trial in study.trials if trial.state.name == "FAIL")
    again = [one for one in study.trials if one.system_attrs.get("failed_trial") == dead.number]
    assert [one.state.name for one in again] == ["COMPLETE"]
    assert again[0].params == dead.params


def test_when_all_workers_die_it_says_so_and_goes_on_later(tmp_path: Path, storage: str) -> None:
    job = slow_job(tmp_path / "w", storage, 4, deaths=2)
    study = open_study(job)
    with pytest.raises(TuningStopped, match=r"-9, -9.*after 0 of 4 trials"):
        run_workers(study, job, 2)
    assert count_trials(study) == 0
    run_workers(open_study(job), job, 2)  # the deaths are used up
    assert count_trials(study) == 4
