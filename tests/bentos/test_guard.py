"""The guard on the real log and pointer: leads on, stops, rolls back, asks, and is killed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bentos.screening import deployment, leading
from bentos.screening.change_record import Why
from bentos.screening.deployment import rollback, stop_challenger
from bentos.screening.guard import GUARD, Guard, Look, look
from bentos.screening.guard_moves import asked_of, examine
from bentos.screening.leading import begin_rollout
from bentos.screening.workers import FOLDER, WorkerFile, WorkerState
from mammo.errors import SourceInvalid
from mammo.pointer import read_pointer, write_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.deploying import deploy, load_embedded, own_settings, pack
from tests.bentos.trying_exams import Programme

OFFLINE: dict[str, Any] = {"wait": False, "check": load_embedded}
FEW = """
stages:
  - {stage: shadow, exams: 40}
  - {stage: canary, percent: 50, exams: 20}
probation_exams: 60
alpha_clear: 0.2
errors_share: 0.1
recall_times: 4.0
disagree_share: 0.6
reorder_share: 0.45
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two releases whose clause leads over a trial, the first one in service."""
    settings = own_settings(tmp_path)
    (tmp_path / "rollout.yaml").write_text(FEW)
    for release in ("r-1", "r-2"):
        pack(settings, release, permitted=True)
    deploy(settings, "r-1", wait=False, why=Why("first"))
    return settings


def begin(settings: Settings) -> None:
    begin_rollout("r-2", settings, Why("drift", "A:1"), **OFFLINE)


def stands(settings: Settings) -> tuple[str, str | None]:
    pointer = read_pointer(settings.pointer_path) or {}
    beside = pointer.get("challenger")
    return pointer["release_id"], beside and f"{beside['stage']} {beside['percent']}"


def records(settings: Settings) -> list[dict[str, Any]]:
    return [one["record"] for one in PredictionLog(settings.log_url).changes()]


def drive(settings: Settings, fault: str, exams: int = 400, seed: int = 1) -> list[Look]:
    """Send exams, one look after each twenty, until nothing is on trial; return the moves."""
    programme, moves = Programme(settings, fault, seed), []
    while programme.sent < exams:
        programme.send(20)
        looked = look(settings, **OFFLINE)
        if looked.did != "watched":
            moves.append(looked)
        if looked.did in ("nothing", "settled", "stopped", "rolled back"):
            return moves
    return moves


def test_good_release_goes_its_way_and_every_move_is_a_change(settings: Settings) -> None:
    begin(settings)
    assert stands(settings) == ("r-1", "shadow 0")
    moves = drive(settings, "none")
    assert [one.did for one in moves] == ["moved on", "promoted", "settled"]
    pointer = read_pointer(settings.pointer_path) or {}
    assert (pointer["release_id"], pointer["probation"]) == ("r-2", None)
    told = records(settings)
    assert [(one["stage"], one["percent"]) for one in told] == [
        ("champion", 0), ("shadow", 0), ("canary", 50), ("champion", 0),
    ]  # fmt: skip
    for record in told[2:]:
        assert (record["by"], record["reason"], record["episode_key"]) == (GUARD, "rollout", "A:1")
        checks = {one["name"]: one["verdict"] for one in record["guard"]["guard"]["checks"]}
        assert set(checks.values()) == {"cleared"}
    assert look(settings, **OFFLINE).did == "nothing"


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("errors", "errors"),
        ("slow", "latency"),
        ("recalls", "recall"),
        ("moved", "recall"),
        ("chance", None),
    ],
)
def test_harm_in_the_shadow_stops_the_challenger(
    settings: Settings, fault: str, check: str | None
) -> None:
    begin(settings)
    moves = drive(settings, fault, exams=200)
    if check is None:  # a release that ranks by chance is never cleared
        assert [one.did for one in moves] == [] or moves[-1].did == "stopped"
        assert stands(settings)[0] == "r-1"
        return
    assert [one.did for one in moves] == ["stopped"]
    assert stands(settings) == ("r-1", None)
    assert moves[0].trial is not None
    harmful = {one.name for one in moves[0].trial.checks if one.verdict == "harm"}
    assert check in harmful
    record = records(settings)[-1]
    assert (record["stage"], record["reason"], record["by"]) == ("stopped", "harm", GUARD)


@pytest.mark.parametrize("fault", ["errors", "slow", "recalls"])
def test_harm_on_probation_brings_the_release_before_back(settings: Settings, fault: str) -> None:
    Programme(settings, "none", seed=9).send(30)  # how long r-1 takes is known
    deploy(settings, "r-2", wait=False, why=Why("manual"))
    (rolled,) = drive(settings, fault, exams=40)
    assert rolled.did == "rolled back" and stands(settings) == ("r-1", None)
    pointer = read_pointer(settings.pointer_path) or {}
    assert (pointer["probation"], pointer["moved"]["by"]) == (None, GUARD)
    assert records(settings)[-1]["reason"] == "harm"
    assert look(settings, **OFFLINE).did == "nothing", "what was brought back is on no probation"


def test_first_release_is_on_no_probation(settings: Settings) -> None:
    Programme(settings, "recalls", faulty="r-1").send(50)
    assert look(settings, **OFFLINE).did == "nothing" and stands(settings) == ("r-1", None)


def test_a_challenger_set_by_hand_is_stopped_for_harm_and_never_led_on(settings: Settings) -> None:
    deploy(settings, "r-2", stage="shadow", wait=False)
    assert drive(settings, "none", exams=100) == []
    assert stands(settings) == ("r-1", "shadow 0")
    assert [one.did for one in drive(settings, "errors", exams=300, seed=2)] == ["stopped"]


def test_a_rollout_begun_again_is_where_it_was(settings: Settings) -> None:
    begin(settings)
    programme = Programme(settings)
    while stands(settings) == ("r-1", "shadow 0"):
        programme.send(40)
        look(settings, **OFFLINE)
    before, told = read_pointer(settings.pointer_path), len(records(settings))
    again = begin_rollout("r-2", settings, Why("drift", "A:1"), **OFFLINE)
    assert (again.changed, again.stage, again.percent) == (False, "canary", 50)
    assert (read_pointer(settings.pointer_path), len(records(settings))) == (before, told)


STEPS = {"moved on": "none", "promoted": "none", "stopped": "errors", "rolled back": "recalls"}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("place", "after"),
    [("write_pointer", False), ("write_pointer", True), ("write_change", True)],
    ids=["before the pointer", "before the record", "after the record"],
)
def test_a_guard_killed_anywhere_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str, place: str, after: bool
) -> None:
    if step == "rolled back":
        deploy(settings, "r-2", wait=False)
    else:
        begin(settings)
    moves, real = len(records(settings)), getattr(deployment, place)
    programme = Programme(settings, STEPS[step])

    def kill(*given: Any) -> None:
        if after:
            real(*given)
        raise KeyboardInterrupt

    while stands(settings)[1] != "canary 50" and step == "promoted":
        programme.send(40)
        look(settings, **OFFLINE)
        moves = len(records(settings))
    killed = False
    while not killed:
        programme.send(40)
        with monkeypatch.context() as patch:
            patch.setattr(deployment, place, kill)
            try:
                look(settings, **OFFLINE)
            except KeyboardInterrupt:
                killed = True
    stood = read_pointer(settings.pointer_path) or {}
    for _ in range(2):
        look(settings, **OFFLINE)
    told, pointer = records(settings), read_pointer(settings.pointer_path) or {}
    assert len(told) == moves + 1, "one for the move, none twice"
    assert told[-1]["at"] == pointer["moved"]["at"] and told[-1]["by"] == GUARD
    if (place, after) != ("write_pointer", False):
        assert pointer["moved"] == stood["moved"]


def test_what_was_moved_meanwhile_is_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person stops the challenger between what the guard saw and its move."""
    from bentos.screening import guard_moves

    begin(settings)
    Programme(settings, "errors").send(10)
    real = guard_moves.stop_challenger

    def late(home: Settings, **options: Any) -> Any:
        stop_challenger(home, wait=False, why=Why("stopped", by="dr-k"))
        return real(home, **options)

    monkeypatch.setattr(guard_moves, "stop_challenger", late)
    assert look(settings, **OFFLINE).did == "watched"
    assert [one["by"] for one in records(settings)][-1] == "dr-k" and len(records(settings)) == 3


def test_probation_ends_only_where_nothing_moved(settings: Settings) -> None:
    deploy(settings, "r-2", wait=False)
    seen = read_pointer(settings.pointer_path) or {}
    rollback(settings, **OFFLINE)
    assert not leading.end_probation(settings, seen)


def test_a_person_is_asked_of_a_stage_that_stays_open(settings: Settings) -> None:
    (settings.home / "rollout.yaml").write_text(FEW + "ask_after_days: 0\n")
    begin(settings)
    Programme(settings).send(10)
    looked = look(settings, **OFFLINE)
    assert looked.did == "asks" and stands(settings) == ("r-1", "shadow 0")
    assert "10 exams are fewer than its stage asks for" in str(asked_of(settings))
    assert "`mammo deploy --stop-challenger` ends it" in str(looked.asks)


def test_a_worker_that_refuses_the_challenger_is_harm(settings: Settings) -> None:
    begin(settings)
    refusal = {"release": "r-2", "code": "PARITY", "message": "It is not.", "at": "2999-01-01"}
    state = WorkerState.of_this_process(release="r-1", challenger_refused=refusal)
    folder = settings.home / "workers"
    folder.mkdir()
    (folder / f"{state.pid}.json").write_text(json.dumps(state.__dict__))
    assert look(settings, **OFFLINE).did == "stopped"


def test_without_a_worker_that_lives_nothing_moves_on(settings: Settings) -> None:
    wide = FEW.replace("recall_times: 4.0", "recall_times: 9.0")  # few exams must clear it
    (settings.home / "rollout.yaml").write_text(wide)
    begin(settings)
    Programme(settings).send(140)
    worker = WorkerFile(settings.home / FOLDER)
    worker.remove()
    looked = look(settings, **OFFLINE)
    assert looked.did == "watched" and looked.trial is not None
    assert [one.name for one in looked.trial.checks if one.verdict == "open"] == ["loads"]
    worker.tell()
    assert look(settings, **OFFLINE).did == "moved on"


def test_failures_of_one_request_count_once_and_older_ones_not(settings: Settings) -> None:
    begin(settings)
    log = PredictionLog(settings.log_url)
    for _ in range(5):
        log.add_failure("r-2", "shadow", "INTERNAL", "q-1")
    log.add_failure("r-1", "champion", "INTERNAL", "q-2")
    (trial,) = examine(settings)
    errors = next(one for one in trial.checks if one.name == "errors")
    assert (errors.hits, errors.exams, trial.exams) == (1, 1, 1)


def test_a_policy_that_cannot_be_read_moves_nothing(settings: Settings) -> None:
    begin(settings)
    (settings.home / "rollout.yaml").write_text("errors_shar: 0.1")
    with pytest.raises(SourceInvalid, match=r"rollout.yaml: .*errors_shar.*errors_share"):
        look(settings, **OFFLINE)
    assert stands(settings) == ("r-1", "shadow 0")


def test_the_loop_reads_the_log_only_where_something_is_new(settings: Settings) -> None:
    guard = Guard(settings)
    for _ in range(3):
        guard._step()
    assert (guard.looks, guard._log) == (0, None), "nothing is on trial: no log is opened"
    begin(settings)
    pointer = read_pointer(settings.pointer_path) or {}
    for _ in range(3):
        guard._step()
    assert guard.looks == 1
    Programme(settings).send(1)
    guard._step()
    assert guard.looks == 2
    later = (datetime.now(UTC) - timedelta(days=400)).isoformat()
    write_pointer(settings.pointer_path, pointer | {"challenger": None, "changed_at": later})
    guard._step()
    assert guard.looks == 2
