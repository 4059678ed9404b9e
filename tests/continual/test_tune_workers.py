"""Several workers of one study, by SQLite and PostgreSQL: no trial too many, none lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
    job = slow_job(tmp_path / "w", storage, 7, together=2)
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


RUN = """
import sys
from pathlib import Path
from mammo.continual.tune_study import open_study
from mammo.continual.tune_workers import run_workers
from tests.continual.tuning import slow_job
# a heartbeat so long that a worker of a busy machine is not taken for dead meanwhile
job = slow_job(Path(sys.argv[1]), sys.argv[2], 4, heartbeat_s=60, seconds=600)
run_workers(open_study(job), job, 2)
"""


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def await_no(what: Callable[[], Any], seconds: float) -> None:
    """Wait until something is no more; fail after so long."""
    late = time.monotonic() + seconds
    while what():
        assert time.monotonic() < late
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc who runs")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_command(tmp_path: Path, by: signal.Signals) -> None:
    folder, storage = tmp_path / "w", f"sqlite:///{tmp_path / 's.db'}"
    study = open_study(slow_job(folder, storage, 4, heartbeat_s=60))
    command = subprocess.Popen([sys.executable, "-c", RUN, str(folder), storage])
    pids: set[int] = set()

    def missing() -> bool:
        assert command.poll() is None
        pids.update(one.user_attrs["worker"] for one in study.trials if "worker" in one.user_attrs)
        return len(pids) < 2

    try:
        await_no(missing, 120)
        command.send_signal(by)
        command.wait(30)
        await_no(lambda: [pid for pid in pids if is_running(pid)], 10)
    finally:
        command.kill()
        for pid in filter(is_running, pids):
            os.kill(pid, signal.SIGKILL)
    assert {trial.state.name for trial in study.trials} == {"RUNNING"}  # to be run again
