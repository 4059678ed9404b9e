"""Shadow, canary, promotion and rollback under load, every request counted by release.

    python -m benchmarks.chaos.rollout               # writes the docs
    python -m benchmarks.chaos.rollout --exams 20    # a small one, writes nothing

Clients send exam after exam while `deploy_release` moves the pointer. Counted are
the exams sent after every worker had confirmed a step and before the next one
began; the books (`benchmarks.chaos.books`) are over all of them. Exit status 1
where a request failed, an exam was answered by a release that it should not
have been, or the books do not balance.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
import yaml

from benchmarks.chaos.books import Books, check_books, count_attempts
from benchmarks.chaos.exams import ExamMaker
from benchmarks.chaos.load import Load, Sent
from benchmarks.chaos.page import describe, spell, write_run
from benchmarks.chaos.served import make_home, serve, wait_until
from bentos.screening.deployment import DeployReport, deploy_release, rollback, stop_challenger
from bentos.screening.packaging import carry_signature
from mammo.prediction_log.tables import PREDICTIONS
from mammo.release import FOR_TRAINING, MANIFEST, Release
from mammo.settings import Settings
from tests.bentos.judging import permit

EXAMS, WORKERS, CLIENTS = 100, 2, 4
A, B = "r-20260301-aaaaaaaa", "r-20260302-bbbbbbbb"
SHADOW_SECONDS = 30.0

Step = Callable[[Settings], DeployReport]
STEPS: dict[str, Step] = {
    "A in service": lambda home: deploy_release(A, home),
    "B in shadow": lambda home: deploy_release(B, home, stage="shadow"),
    "B as canary, 10%": lambda home: deploy_release(B, home, stage="canary", percent=10),
    "B as canary, 50%": lambda home: deploy_release(B, home, stage="canary", percent=50),
    "B stopped": stop_challenger,
    "B in service": lambda home: deploy_release(B, home),
    "rolled back to A": rollback,
}
SHARE_OF_B = dict(zip(STEPS, (0, 0, 10, 50, 0, 100, 0), strict=True))


@dataclass(frozen=True)
class Window:
    """What became of the exams sent while one step stood; ``seconds`` its move took."""

    step: str
    seconds: float
    answered: int
    by_a: int
    by_b: int
    shadow: int
    failed: int
    astray: int


@dataclass(frozen=True)
class RolloutRun:
    """Every step, every attempt (those during the moves, too), and the books."""

    windows: list[Window]
    attempts: dict[str, int]
    books: Books

    @property
    def passed(self) -> bool:
        """True when nothing failed, nothing went astray, the shadow scored, the books balance."""
        shadowed = any(one.shadow for one in self.windows if one.step == "B in shadow")
        kinds = {name.removeprefix("again ") for name in self.attempts}
        calm = kinds == {"200"} and not any(one.failed or one.astray for one in self.windows)
        return calm and shadowed and self.books.balance


def run_rollout(settings: Settings, exams: int) -> RolloutRun:
    """Serve, load, go through the steps with ``exams`` answered in each, and count."""
    lay_bentos(settings)
    maker, times, seconds = ExamMaker(settings.pseudonym_key()), list[tuple[float, float]](), {}
    with serve(settings, workers=WORKERS, ready=False) as served:
        deploy_release(A, settings)  # nothing is sent before the first release
        wait_until(lambda: served.is_ready(WORKERS))
        with Load(served.url, maker, clients=CLIENTS, later=0) as load:
            for step, move in STEPS.items():
                seconds[step] = move(settings).swap_seconds
                stood, before = time.monotonic(), load.answered
                wait_until(lambda: load.answered >= before + exams)  # noqa: B023 - called at once
                times.append((stood, time.monotonic()))
        in_shadow = _shadow_at_rest(settings)
        books = check_books(load.sent, settings.log_url)
    windows = [
        _window(step, seconds[step], _between(load.sent, *span), in_shadow)
        for step, span in zip(STEPS, times, strict=True)
    ]
    return RolloutRun(windows, count_attempts(load.sent), books)


def lay_bentos(settings: Settings) -> None:
    """Make two tiny real releases that may go anywhere, and their Bentos as a build lays them.

    The release folders only: the service runs from the checkout, as in `mammo up`.
    """
    from benchmarks.chaos.releases import write_good  # it imports torch: seconds

    for number, (release_id, bias) in enumerate(((A, 0.0), (B, 1.0))):
        directory = write_good(settings, release_id, bias)
        permit(settings, Release.read(directory))
        lay_bento(settings, directory, number)


def lay_bento(settings: Settings, directory: Path, number: int) -> None:
    """Lay the Bento of a release as a build does; ``number`` is when it was made."""
    bento = settings.bentoml_home / "bentos" / "screening" / f"{directory.name}-c0de"
    embedded = bento / "src" / "release"
    embedded.mkdir(parents=True)
    served = (one for one in Release.read(directory).files if one not in FOR_TRAINING)
    for name in (MANIFEST, *served):
        shutil.copy2(directory / name, embedded / name)
    carry_signature(directory, embedded, settings)
    told = {"version": bento.name, "labels": {"release": directory.name}, "creation_time": number}
    (bento / "bento.yaml").write_text(yaml.safe_dump(told))


def _between(sent: Sequence[Sent], stood: float, ended: float) -> list[Sent]:
    """Return the exams that were sent and answered while one step stood."""
    return [
        one for one in sent if one.answered_at - one.seconds >= stood and one.answered_at <= ended
    ]


def _window(step: str, seconds: float, sent: Sequence[Sent], in_shadow: set[str]) -> Window:
    by = Counter((one.answer or {}).get("release") for one in sent)
    astray = sum(
        one.answer is not None and one.answer["release"] != _rightful(step, one) for one in sent
    )
    return Window(
        step=step,
        seconds=seconds,
        answered=sum(one.answer is not None for one in sent),
        by_a=by[A],
        by_b=by[B],
        shadow=sum(one.exam.exam_id in in_shadow for one in sent),
        failed=sum(one.attempts[0] != "200" for one in sent),
        astray=astray,
    )


def _rightful(step: str, sent: Sent) -> str:
    """Say by the rule in the docs, not by the service's code, who should have answered."""
    digest = hashlib.sha256(f"{B}\0{sent.exam.exam_id}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return B if 100 * place < SHARE_OF_B[step] else A


def _shadow_at_rest(settings: Settings) -> set[str]:
    """Return the exams that B scored in the shadow, once no more of them come."""
    found, until = set[str](), time.monotonic() + SHADOW_SECONDS
    while time.monotonic() < until:
        latest = _shadow_exams(settings.log_url)
        if latest and latest == found:
            break
        found = latest
        time.sleep(1)
    return found


def _shadow_exams(log_url: str) -> set[str]:
    table = PREDICTIONS.c
    query = sa.select(table.exam_id).where(table.role == "shadow", table.release_id == B)
    engine = sa.create_engine(log_url)
    try:
        with engine.connect() as connection:
            return set(pd.read_sql(query, connection)["exam_id"])
    finally:
        engine.dispose()


def write_rollout(rolled: RolloutRun, run: dict[str, Any]) -> None:
    """Write the numbers beside this command and as a table into the docs."""
    head = ["step", "until every worker followed", "exams answered", "by A", "by B",
            "scored by B in the shadow", "failed", "by the wrong release"]  # fmt: skip
    rows = [
        [one.step, f"{one.seconds:.1f} s", str(one.answered), str(one.by_a), str(one.by_b),
         str(one.shadow), f"**{one.failed}**", f"**{one.astray}**"]
        for one in rolled.windows
    ]  # fmt: skip
    books = rolled.books
    note = (
        f"{WORKERS} workers, {CLIENTS} clients. All attempts, those during the moves with them: "
        f"{spell(rolled.attempts)}. Of {books.answered:,} answered exams {books.lost} are not in "
        f"the log and {books.twice} are there twice. The shadow drops exams when it cannot follow."
    )
    write_run("rollout", {"run": run, **asdict(rolled)}, head, rows, note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.chaos.rollout", description=__doc__)
    parser.add_argument("--exams", type=int, default=EXAMS, help="answered in each step")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rolled = run_rollout(make_home(Path(folder) / "home"), given.exams)
    print(rolled)
    if given.exams >= EXAMS:
        write_rollout(rolled, describe("python -m benchmarks.chaos.rollout"))
    return 0 if rolled.passed else 1


if __name__ == "__main__":
    sys.exit(main())
