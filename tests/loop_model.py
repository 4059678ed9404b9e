"""One installation as the stateful test drives it, and what must hold of it at all times.

Everything durable is real: log, spool, pointer, Bentos, records, keys. Stand-ins are the
releases (manifests without a network), Prefect's word on its runs, and the golden set's
scores: which verdict a release gets is drawn, what it spends is the real ledger's.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pandas as pd

from bentos.screening.change_record import is_recorded
from bentos.screening.finishing import finish_move
from bentos.screening.workers import FOLDER, WorkerFile
from mammo.changes.taken_back import is_taken_back
from mammo.changes.verify import verify_changes
from mammo.continual import mend
from mammo.continual.golden_set import GoldenSet, open_look
from mammo.continual.mend import Assignment
from mammo.errors import MammoError
from mammo.evaluation.verdict import GateConfig
from mammo.pointer import read_pointer
from mammo.prediction_log import DurableLog, PredictionLog, Spool
from mammo.release import Release
from tests.bentos.judging import decided
from tests.loop_deaths import Deaths, Killed
from tests.loop_home import KINDS, OPTIONS, TRIED, fresh_home, prediction


@dataclass
class Run:
    """A flow run: which episode it is for, whether its process lives, and what it took on."""

    id: str
    key: str
    alive: bool = True
    over: bool = False
    assignment: Assignment | None = None

    @property
    def state(self) -> str:
        """What Prefect says of it."""
        return "RUNNING" if self.alive else "COMPLETED" if self.over else "CRASHED"


class Installation:
    """A home, the processes that work on it, and the books that the test keeps beside."""

    def __init__(self, deaths: Deaths) -> None:
        self.deaths, self.settings = deaths, fresh_home()
        self.log = PredictionLog(self.settings.log_url, busy_seconds=0.2)
        self.serve()
        self.runs: list[Run] = []
        self.ends: Counter[str] = Counter()
        self.answered: dict[str, str] = {}
        """Requests whose answer was given -> the role it was given in."""
        self.sent: set[str] = set()
        self.moves: list[str] = []
        """Instants of the moves that the pointer told of, in order."""
        self.approved: set[str] = set()
        self.out: set[str] = set()
        """Releases whose last move was a rollback from them, or the end of their trial."""

    def serve(self) -> None:
        """Start a serving process: what it kept in memory is gone, the files are there."""
        log = PredictionLog(self.settings.log_url, busy_seconds=0.05)
        self.durable = DurableLog(log, Spool(self.settings.spool_dir))
        WorkerFile(self.settings.home / FOLDER).tell()

    def remove(self) -> None:
        """Remove the home."""
        shutil.rmtree(self.settings.home)

    def attempt(self, act: Callable[[], Any], die_at: int | None) -> Any:
        """Act, dying at a place; return what came of it, or None for a death or a refusal."""
        self.deaths.arm(die_at)
        try:
            return act()
        except (Killed, MammoError) as end:
            return end
        finally:
            self.deaths.disarm()
            self.look_at_the_pointer()

    def look_at_the_pointer(self) -> None:
        """Note a move, and require that the one who made it was allowed to."""
        pointer = read_pointer(self.settings.pointer_path)
        if pointer is None or pointer["moved"]["at"] in self.moves:
            return
        self.moves.append(pointer["moved"]["at"])
        self.note_way_out(pointer)
        self.require_permitted(pointer["moved"], first=pointer["previous"] is None)

    def note_way_out(self, pointer: dict[str, Any]) -> None:
        """Note which release a move took out of service or out of its trial, or brought in."""
        moved = pointer["moved"]
        self.out.discard(moved["release_id"])
        if moved["stage"] == "stopped":
            self.out.add(moved["release_id"])
        elif moved.get("rollback"):
            self.out.add(pointer["previous"]["release_id"])

    def require_permitted(self, moved: dict[str, Any], *, first: bool) -> None:
        """The newest verdict on what came in is a pass; what needs a trial or a person had it."""
        if moved["stage"] == "stopped" or moved.get("rollback"):
            return
        release = moved["release_id"]
        assert self.newest_verdict(release) is True, f"{release} moved to {moved['stage']}"
        if moved["stage"] == "champion" and not first and KINDS[release] in TRIED:
            by_guard = moved["by"] == "guard" and moved["reason"] == "rollout"
            assert by_guard or release in self.approved, f"{release} without a trial or a person"

    def newest_verdict(self, release: str) -> bool | None:
        """Return the gate's newest word on a release, from the rows themselves."""
        rows = [one for one in self.log.gates() if one["challenger"] == release]
        settled = [one["passed"] for one in rows if one["passed"] is not None]
        return settled[-1] if settled else None

    def has_unrecorded_move(self) -> bool:
        """Say whether the pointer tells of a move without its record."""
        pointer = read_pointer(self.settings.pointer_path)
        return pointer is not None and not is_recorded(pointer, self.settings)

    def pointer(self) -> dict[str, Any]:
        """Return the pointer; empty before the first release."""
        return read_pointer(self.settings.pointer_path) or {}

    def is_on_trial(self) -> bool:
        """Say whether the guard has something to look at."""
        pointer = self.pointer()
        return bool(pointer.get("challenger") or pointer.get("probation"))

    # episodes

    def claim(self, run: Run, die_at: int | None = None) -> None:
        """Let a run take its episode on."""
        done = self.attempt(lambda: mend.claim(self.settings, run.key, run.id, "test"), die_at)
        self.settle_claim(run, done)

    def settle_claim(self, run: Run, done: Any) -> None:
        """Note what came of a claim: an assignment, nothing to do, or the end of the process."""
        if isinstance(done, Assignment):
            run.assignment = done
            # no deployment here is an episode's own: each would take another's point away
            assert done.champion.name == self.pointer()["release_id"]
        else:
            run.alive, run.over = False, done is None

    def end(self, run: Run, die_at: int | None = None) -> None:
        """Let a run close its episode: its action is done."""
        assert run.assignment is not None
        result: dict[str, Any] = {"chosen": None, "decisions": []}
        assignment = run.assignment
        done = self.attempt(lambda: mend.close(self.settings, assignment, result), die_at)
        closed = (self.log.episode(run.key) or {})["status"] == "closed"
        if done is None or closed:
            self.ends[run.key] += 1
        run.alive, run.over, run.assignment = False, done is None, None

    # gate

    def judge(self, release: str, passes: bool, die_at: int | None = None) -> None:
        """Let the gate look at a release and decide; judged again, it says the same."""
        pointer = read_pointer(self.settings.pointer_path)
        champion = None if pointer is None else pointer["release_id"]
        if champion == release:
            return
        before = self.newest_verdict(release)
        passes = passes if before is None else before

        def judged() -> None:
            golden = GoldenSet(pd.DataFrame({"patient_id": ["P-1", "P-2"]}), "g" * 64)
            read = [None if one is None else self.manifest(one) for one in (release, champion)]
            challenger, against = read
            assert challenger is not None
            row = open_look(
                self.settings, golden, challenger, against, GateConfig(),
                spends=champion is not None,
            )  # fmt: skip
            decision = decided(passed=passes)
            self.log.settle_gate(row["key"], passed=passes, decision=decision)

        self.attempt(judged, die_at)

    def manifest(self, release: str) -> Release:
        """Return a release's manifest."""
        return Release.read(self.settings.releases_dir / release)

    # predictions

    def answer(self, request: str, release: str, role: str, die_at: int | None) -> None:
        """Score an exam and answer it; dead before the answer, nobody was answered."""
        self.sent.add(request)
        rows = [prediction(request, release, role)]
        done = self.attempt(lambda: self.durable.append(request, rows), die_at)
        if isinstance(done, Killed):
            self.serve()
        elif not isinstance(done, MammoError):
            self.answered.setdefault(request, role)

    def drain(self, die_at: int | None = None) -> None:
        """Write what waits in the spool."""
        if isinstance(self.attempt(self.durable.drain, die_at), Killed):
            self.serve()

    # what must hold

    def require_one_action(self) -> None:
        """No two living runs have an episode, and none was ended twice."""
        held = Counter(one.key for one in self.runs if one.alive and one.assignment)
        assert all(count == 1 for count in held.values()), held
        assert all(count == 1 for count in self.ends.values()), self.ends

    def require_account(self) -> None:
        """No gate may spend more than its share of what those not passed before it have left."""
        rule, spent = GateConfig(), Counter[int]()
        for row in self.log.gates():
            left = rule.ledger_total - spent[row["account"]]
            assert row["alpha"] <= rule.ledger_share * left + 1e-12, (row["key"], spent)
            spent[row["account"]] += 0.0 if row["passed"] else row["alpha"]

    def require_records(self) -> None:
        """Each move but the last is recorded, in order, once, and nothing else."""
        recorded = [one["record"]["at"] for one in self.log.changes()]
        assert recorded in (self.moves, self.moves[:-1])

    def require_way_out(self) -> None:
        """What was taken back is known for it, so that no rerun brings it in again."""
        assert {one for one in KINDS if is_taken_back(self.settings, one)} == self.out

    def require_answers(self) -> None:
        """Every answer is found, in the log or in the spool, and no request is logged twice."""
        for request in self.answered:
            assert self.durable.scoring(request, self.answered[request]), f"{request} is lost"
        logged = Counter(
            (row["request_id"], row["role"])
            for request in self.sent
            for row in self.rows_of(request)
        )
        assert all(count == 1 for count in logged.values()), logged

    def rows_of(self, request: str) -> list[dict[str, Any]]:
        """Return the logged rows of a request."""
        from mammo.prediction_log.tables import PREDICTIONS

        return self.log._rows(PREDICTIONS.select().where(PREDICTIONS.c.request_id == request))

    def finish(self) -> None:
        """Let everything come to its end, and require that the books are whole."""
        self.drain()
        assert self.durable.waiting == 0
        assert all(len(self.rows_of(one)) == 1 for one in self.answered)
        with suppress(MammoError):
            finish_move(self.settings, **OPTIONS)
        assert [one["record"]["at"] for one in self.log.changes()] == self.moves
        report = verify_changes(self.settings)
        assert report.intact, report.wrong


def new_run(key: str) -> Run:
    """Return a run that was just started."""
    return Run(str(uuid4()), key)
