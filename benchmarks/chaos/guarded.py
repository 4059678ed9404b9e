"""Planted faulty releases and a good one under load, with the guard running beside the service.

    python -m benchmarks.chaos.guarded --write     # writes the docs
    python -m benchmarks.chaos.guarded --part rollback

Real processes: `bentoml serve` with two workers, and `python -m bentos.screening.guard`
with the default policy. Clients send exam after exam; nobody helps. Three parts:

- ``rollback``: each faulty release is put into service; the time from the first exam that
  fell to it until every worker answers by the release before again, and what failed;
- ``shadow``: each faulty release begins its way in shadow;
- ``way``: a good release goes shadow, canary, champion and through its probation, by the
  policy for phantoms (configs/rollout/demo.yaml), whose stages are short.

Exit status 1 where a request failed, a rollback took over 60 s, a faulty release answered
from the shadow, the good one did not arrive, or the books do not balance.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.books import Books, check_books, count_attempts
from benchmarks.chaos.exams import ExamMaker, SmallExam
from benchmarks.chaos.faulty_releases import FAULTS, GOOD, write_faulty, write_first
from benchmarks.chaos.load import Load, Sent
from benchmarks.chaos.served import ROOT, make_home, serve, wait_until
from bentos.screening.change_record import Why, is_recorded
from bentos.screening.deployment import deploy_release
from bentos.screening.leading import begin_rollout
from bentos.screening.rollout_policy import DEFAULT, POLICY_FILE
from bentos.screening.workers import FOLDER, live_workers
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

A = "r-20260301-aaaaaaaa"
WORKERS, CLIENTS, WOMEN = 2, 2, 40
BEFORE, AFTER = 20, 10
"""Exams answered before a faulty release comes, and after it went."""
LIMIT_SECONDS, PATIENCE_SECONDS = 60.0, 150.0
PARTS = ("rollback", "shadow", "way")


class Women:
    """Makes exams by number as `ExamMaker`, of many drawn women in turn: scores differ."""

    def __init__(self, key: bytes, women: int = WOMEN) -> None:
        self.makers = [ExamMaker(key, seed=seed) for seed in range(1, women + 1)]

    def make(self, number: int) -> SmallExam:
        """Return exam ``number``; the same number gives the same bytes."""
        return self.makers[number % len(self.makers)].make(number)


@dataclass(frozen=True)
class Case:
    """What became of one release. ``seconds`` from its first exam to its end, None without one.

    ``to_harm`` is how many exams the guard had seen of it; ``answered_by_it`` how many it
    answered, ``instead`` how many the release before answered in its place; ``attempts``
    are all statuses that clients got from the first exam on.
    """

    part: str
    fault: str
    did: str
    seconds: float | None
    to_harm: int
    checks: list[str]
    answered: int
    answered_by_it: int
    instead: int
    attempts: dict[str, int]

    @property
    def calm(self) -> bool:
        """True when every request was answered at the first attempt."""
        return set(self.attempts) == {"200"}


@dataclass(frozen=True)
class GuardedRun:
    """Every case, the moves of the good release, and the books over all exams."""

    cases: list[Case]
    way: list[str]
    books: Books

    @property
    def passed(self) -> bool:
        """True when all is as promised."""
        quick = all(one.seconds is not None and one.seconds <= LIMIT_SECONDS
                    for one in self.cases if one.part == "rollback")  # fmt: skip
        hidden = all(one.answered_by_it == 0 for one in self.cases if one.part == "shadow")
        arrived = not self.way or self.way[-1] == "settled"
        calm = all(one.calm for one in self.cases)
        ended = all(one.did in ("rolled back", "stopped", "arrived") for one in self.cases)
        return quick and hidden and arrived and calm and ended and self.books.balance


def run_guarded(settings: Settings, parts: Sequence[str] = PARTS) -> GuardedRun:
    """Serve, load and let the guard do its work on every case of these parts."""
    women = Women(settings.pseudonym_key())
    bias = write_first(settings, A, [_files(one.make(0)) for one in women.makers])
    faults = list(FAULTS) if {"rollback", "shadow"} & set(parts) else []
    for release in (*faults, GOOD):
        write_faulty(settings, release, bias)
    cases, way = list[Case](), list[str]()
    with serve(settings, workers=WORKERS, ready=False) as served, guarding(settings):
        deploy_release(A, settings, why=Why("first"))
        wait_until(lambda: served.is_ready(WORKERS))
        with Load(served.url, women, clients=CLIENTS, later=0, repeated=0) as load:  # type: ignore[arg-type]
            _answered(load, BEFORE)
            for release in faults if "rollback" in parts else ():
                cases.append(_roll_back(settings, load, release))
            for release in faults if "shadow" in parts else ():
                cases.append(_in_shadow(settings, load, release))
            if "way" in parts:
                shutil.copy(DEFAULT.with_name("demo.yaml"), settings.home / POLICY_FILE)
                way, case = _whole_way(settings, load)
                cases.append(case)
        books = check_books(load.sent, settings.log_url)
    return GuardedRun(cases, way, books)


def _files(exam: SmallExam) -> list[tuple[str, bytes]]:
    return [(str(place), data) for place, data in enumerate(exam.files)]


@contextmanager
def guarding(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run the guard as a process of its own while the block runs."""
    ports = {"MAMMO_SERVICE_PORT": str(settings.service_port), "MAMMO_MLFLOW_PORT": "1"}
    guard = subprocess.Popen(
        [sys.executable, "-m", "bentos.screening.guard"],
        env=settings.child_environment() | ports,
        cwd=ROOT,
    )
    try:
        yield guard
    finally:
        guard.terminate()
        guard.wait(30)


def _roll_back(settings: Settings, load: Load, release: str) -> Case:
    """Put a faulty release into service and wait until the guard has brought A back."""
    before, began = len(load.sent), time.monotonic()
    deploy_release(release, settings, why=Why("manual"))
    _wait(lambda: _served(settings, A) and not _pointer(settings).get("probation"))
    ended = time.monotonic()
    return _case(settings, load, "rollback", release, before, began, ended)


def _in_shadow(settings: Settings, load: Load, release: str) -> Case:
    """Let a faulty release begin its way in shadow and wait until the guard has stopped it."""
    before, began = len(load.sent), time.monotonic()
    deploy_release(release, settings, stage="shadow", why=Why("manual"))
    _wait(lambda: not _pointer(settings).get("challenger"))
    return _case(settings, load, "shadow", release, before, began, time.monotonic())


def _whole_way(settings: Settings, load: Load) -> tuple[list[str], Case]:
    """Let the good release go all its way."""
    before, began = len(load.sent), time.monotonic()
    begin_rollout(GOOD, settings, Why("manual"))
    _wait(lambda: _pointer(settings)["release_id"] == GOOD and not _pointer(settings)["probation"])
    case = _case(settings, load, "way", GOOD, before, began, time.monotonic())
    moves = [one["record"] for one in PredictionLog(settings.log_url).changes()]
    told = [f"{one['stage']} {one['percent']}%" for one in moves if one["release"] == GOOD]
    return [*told, "settled"], case


def _case(
    settings: Settings,
    load: Load,
    part: str,
    release: str,
    before: int,
    began: float,
    ended: float,
) -> Case:
    _answered(load, AFTER)
    _wait(lambda: is_recorded(_pointer(settings), settings))  # the pointer is moved before that
    sent = [one for one in list(load.sent)[before:] if one.answered_at >= began]
    during = [one for one in sent if one.answered_at <= ended]
    record = PredictionLog(settings.log_url).changes()[-1]["record"]
    trial = (record.get("guard") or {}).get("guard") or {}
    harm = [one["text"] for one in trial.get("checks", ()) if one["verdict"] == "harm"]
    roles = _roles(settings, during)
    first = min((one.answered_at - one.seconds for one in during), default=began)
    did = {"rollback": "rolled back", "shadow": "stopped", "way": "arrived"}[part]
    return Case(
        part=part,
        fault=FAULTS.get(release, "none"),
        did=did if part == "way" or harm else "not the guard",
        seconds=round(ended - max(began, first), 1),
        to_harm=int(trial.get("exams", 0)) if part != "way" else 0,
        checks=harm,
        answered=len(during),
        answered_by_it=sum((one.answer or {}).get("release") == release for one in during),
        instead=roles.get("standby", 0),
        attempts=count_attempts(sent),
    )


def _roles(settings: Settings, sent: Sequence[Sent]) -> dict[str, int]:
    log = PredictionLog(settings.log_url)
    asked = {(one.answer or {}).get("exam") for one in sent}
    standby = log.exams(role="standby")["exam_id"]
    return {"standby": int(standby.isin(asked).sum())}


def _pointer(settings: Settings) -> dict[str, Any]:
    return read_pointer(settings.pointer_path) or {}


def _served(settings: Settings, release: str) -> bool:
    workers = live_workers(settings.home / FOLDER)
    named = _pointer(settings)["release_id"] == release
    return named and len(workers) == WORKERS and all(one.release == release for one in workers)


def _wait(condition: Any) -> None:
    wait_until(condition, seconds=PATIENCE_SECONDS, every=0.1)


def _answered(load: Load, exams: int) -> None:
    until = load.answered + exams
    wait_until(lambda: load.answered >= until, seconds=PATIENCE_SECONDS)


def main() -> None:
    """Run the parts that are asked for; write with --write."""
    parser = argparse.ArgumentParser(description="Releases under guard, under load.")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    parts = tuple(arguments.part or PARTS)
    with tempfile.TemporaryDirectory(prefix="mammo-guard-") as folder:
        guarded = run_guarded(make_home(Path(folder) / "home"), parts)
    for case in guarded.cases:
        print(asdict(case))
    print("way:", " > ".join(guarded.way) or "not run", "| books balance:", guarded.books.balance)
    if arguments.write:
        from benchmarks.chaos.guarded_page import write_guarded

        asked = "".join(f" --part {one}" for one in arguments.part or ())
        write_guarded(guarded, f"python -m benchmarks.chaos.guarded{asked} --write")
    sys.exit(0 if guarded.passed else 1)


if __name__ == "__main__":
    main()
