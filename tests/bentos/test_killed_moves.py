"""Real processes, killed with SIGKILL before and after every durable write of every move.

A child is forked for each write: it makes the move on a home of its own and kills itself
there. What lies there afterwards must be the pointer of before or of after, whole; run
again, the move ends as if nothing had been; and each move has one record.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bentos.screening.change_record import Why
from bentos.screening.deployment import rollback, stop_challenger
from bentos.screening.guard import look
from bentos.screening.leading import begin_rollout
from mammo.changes.verify import verify_changes
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.deploying import deploy, load_embedded, own_settings, pack
from tests.bentos.test_guard import FEW, OFFLINE
from tests.bentos.trying_exams import Programme

Home = Callable[[Settings], object]


def in_service(settings: Settings) -> None:
    wide = FEW.replace("recall_times: 4.0", "recall_times: 9.0")  # few exams must clear it
    (settings.home / "rollout.yaml").write_text(wide)
    for release in ("r-1", "r-2"):
        pack(settings, release)
    deploy(settings, "r-1", wait=False, why=Why("first"))


def in_shadow(settings: Settings, fault: str = "none") -> None:
    in_service(settings)
    begin_rollout("r-2", settings, Why("drift", "A:1"), **OFFLINE)
    Programme(settings, fault).send(140)


def as_canary(settings: Settings) -> None:
    in_shadow(settings)
    assert look(settings, **OFFLINE).did == "moved on"
    Programme(settings, seed=2).send(160)


def on_probation(settings: Settings, fault: str, exams: int) -> None:
    in_service(settings)
    deploy(settings, "r-2", wait=False)
    Programme(settings, fault).send(exams)


MOVES: dict[str, tuple[Home, Home, tuple[str, str | None]]] = {
    "begin": (
        in_service,
        lambda home: begin_rollout("r-2", home, Why("drift", "A:1"), **OFFLINE),
        ("r-1", "shadow"),
    ),
    "move on": (in_shadow, lambda home: look(home, **OFFLINE), ("r-1", "canary")),
    "promote": (as_canary, lambda home: look(home, **OFFLINE), ("r-2", None)),
    "stop": (
        lambda home: in_shadow(home, "errors"),
        lambda home: look(home, **OFFLINE),
        ("r-1", None),
    ),
    "roll back": (
        lambda home: on_probation(home, "recalls", 20),
        lambda home: look(home, **OFFLINE),
        ("r-1", None),
    ),
    "settle": (
        lambda home: on_probation(home, "none", 60),
        lambda home: look(home, **OFFLINE),
        ("r-2", None),
    ),
    "deploy by hand": (in_service, lambda home: deploy(home, "r-2", wait=False), ("r-2", None)),
    "stop by hand": (in_shadow, lambda home: stop_challenger(home, wait=False), ("r-1", None)),
    "roll back by hand": (
        lambda home: on_probation(home, "none", 1),
        lambda home: rollback(home, wait=False, check=load_embedded),
        ("r-1", None),
    ),
}
FEWEST_WRITES = {"settle": 3}
"""A move flushes a draft, renames it and flushes its folder; most write a record, too."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVES)
def test_killed_at_every_write(tmp_path: Path, name: str) -> None:
    make, move, stands = MOVES[name]
    prepared = own_settings(tmp_path / "prepared")
    prepared.home.mkdir()
    make(prepared)
    before, records = read_pointer(prepared.pointer_path), count_records(prepared)
    kills = 0
    while killed_at(kills, home := copy_of(prepared, tmp_path / str(kills)), move):
        left = read_pointer(home.pointer_path)
        assert left == before or where(left) == stands, "the old pointer or the new one, whole"
        done = count_records(home) - records
        if not (name == "roll back by hand" and done):  # that one is done, and again swaps back
            move(home)
        assert where(read_pointer(home.pointer_path)) == stands
        assert count_records(home) - records == (0 if name == "settle" else 1), f"write {kills}"
        assert verify_changes(home).wrong == ()
        shutil.rmtree(home.home)
        kills += 1
    assert kills >= FEWEST_WRITES.get(name, 8)


def killed_at(write: int, home: Settings, move: Home) -> bool:
    """Make the move in a child that kills itself at one of its writes; False if it had fewer."""
    child = os.fork()
    if child == 0:
        try:
            die_at(write)
            move(home)
        finally:
            os._exit(0)  # an error is found by the parent, which looks at what was left
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die_at(write: int) -> None:
    """Let this process die before its write ``write // 2``, or after it where that is odd."""
    made = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def one(*given: Any, **more: Any) -> Any:
            nonlocal made
            made += 2
            if made - 2 == write:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*given, **more)
            if made - 1 == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return one

    os.fsync, os.replace, os.rename = dying(os.fsync), dying(os.replace), dying(os.rename)
    dialect = sa.create_engine("sqlite://").dialect.__class__
    commit = dying(lambda connection: connection.commit())

    def do_commit(_: Any, connection: Any) -> None:
        wrote = connection.driver_connection.total_changes  # a read is committed, too
        commit(connection) if wrote else connection.commit()

    dialect.do_commit = do_commit  # type: ignore[method-assign]


def copy_of(prepared: Settings, place: Path) -> Settings:
    shutil.copytree(prepared.home, place)
    return prepared.model_copy(update={"home": place})


def where(pointer: dict[str, Any] | None) -> tuple[str, str | None]:
    assert pointer is not None
    return pointer["release_id"], (pointer.get("challenger") or {}).get("stage")


def count_records(settings: Settings) -> int:
    return len(PredictionLog(settings.log_url).changes())
