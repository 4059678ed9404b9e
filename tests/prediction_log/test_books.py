"""The books over everything at once: workers are killed while the database comes and goes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mammo.prediction_log import DurableLog, PredictionLog, Spool
from tests.prediction_log.rows import scoring
from tests.prediction_log.test_faults import locked

WORKER = """
import sys, threading, time
from pathlib import Path
from mammo.prediction_log import DurableLog, PredictionLog, Spool
from tests.prediction_log.rows import scoring
url, folder, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
log = DurableLog(PredictionLog(url, pooled=True, busy_seconds=0.05), Spool(folder))
def drain():
    while True:
        log.drain()
        time.sleep(0.02)
threading.Thread(target=drain, daemon=True).start()
for number in range(first, 1_000_000):
    request = f"q-{number // 2}"  # each request is sent twice, as by a client that repeats
    kept = log.append(request, scoring(f"E-{number // 2}"))
    print(f"{sys.argv[4]} {request} {kept}", flush=True)
    time.sleep(0.01)  # the spool takes 1,500 a second, PostgreSQL 250: it could never catch up
"""


class Workers:
    """Two worker processes that share a log and a spool, and what they answered."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.files = [folder / f"answers-{name}.txt" for name in "ab"]
        self.starts = 0
        self.running = [self._start(at) for at in range(2)]

    def _start(self, at: int) -> subprocess.Popen[bytes]:
        self.starts += 1
        first = str(self.starts * 100_000)
        command = [sys.executable, "-c", WORKER, self.url, str(self.folder), first, str(at)]
        with self.files[at].open("ab") as out:
            return subprocess.Popen(command, stdout=out)

    def kill(self, at: int) -> None:
        self.running[at].kill()
        self.running[at].wait()

    def restart(self, at: int) -> None:
        self.kill(at)
        self.running[at] = self._start(at)

    def answers(self) -> list[list[str]]:
        """Worker, request and answer, without a line that a kill cut."""
        lines = "".join(one.read_text() for one in self.files if one.exists()).splitlines()
        return [line.split() for line in lines if len(line.split()) == 3]

    def kept(self) -> Counter[str]:
        """How often each way of keeping was answered."""
        return Counter(kept for _, _, kept in self.answers())

    def wait_for(self, answers: int, kept: str) -> None:
        """Wait for that many more answers, one of them kept so: no machine is too quick."""
        before, deadline = self.kept(), time.monotonic() + 60
        while (new := self.kept() - before).total() < answers or not new[kept]:
            assert time.monotonic() < deadline, f"{dict(new)}: the workers do not get on"
            time.sleep(0.05)


@pytest.mark.slow
def test_each_answer_is_logged_once_and_in_order(log_url: str, tmp_path: Path) -> None:
    log, rng = PredictionLog(log_url).create(), random.Random(6)
    workers = Workers(log_url, tmp_path)
    try:
        for turn in range(1, 5):
            workers.wait_for(15, "logged")
            with locked(log):
                workers.wait_for(1, "spooled")
                time.sleep(rng.uniform(0.1, 0.3))
            if turn % 2 == 0:
                workers.restart(rng.randrange(2))
    finally:
        for at in range(2):
            workers.kill(at)
    DurableLog(log, Spool(tmp_path)).drain()
    logged = [f"q-{exam[2:]}" for exam in log.exams()["exam_id"]]
    answered = list(dict.fromkeys(request for _, request, _ in workers.answers()))
    assert set(workers.kept()) == {"logged", "repeated", "spooled"}
    assert max(Counter(logged).values()) == 1
    assert set(answered) <= set(logged)
    assert len(set(logged) - set(answered)) <= workers.starts, "only what a kill left unanswered"
    place = {request: at for at, request in enumerate(logged)}
    for worker in ("0", "1"):
        sent = list(dict.fromkeys(one for at, one, _ in workers.answers() if at == worker))
        assert sorted(sent, key=place.__getitem__) == sent
    assert len(log.exams(level="breast")) == 2 * len(logged)
    assert log.append_scoring("q-new", scoring())
