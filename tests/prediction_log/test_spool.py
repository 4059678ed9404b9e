"""The spool: nothing kept is lost, whatever byte a writer was killed at; nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammo.prediction_log import DurableLog, PredictionLog, Spool
from mammo.prediction_log.scorings import storable_scoring
from tests.prediction_log.rows import T0, breast_row, exam_row, scoring


def small(request_id: str, **changes: Any) -> list[dict[str, Any]]:
    """A scoring of one short row, as it is spooled."""
    row = exam_row(request_id.replace("q", "E"), embedding=None, features=None, scored_at=T0)
    return storable_scoring(request_id, [row | changes])


def requests(spool: Spool) -> list[str | None]:
    """The requests that wait, in order; None for a line that the disk has spoilt."""
    return [one.rows[0]["request_id"] if one.rows else None for one in spool.oldest(10**6)]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    spool, rows = Spool(tmp_path), storable_scoring("q-1", scoring(scored_at=T0))
    assert spool.empty
    assert spool.append(rows)
    assert not spool.append(rows), "the request waits already"
    assert spool.oldest(9)[0].rows == rows
    assert spool.find("q-1") == rows
    assert spool.find("q") == []
    assert spool.waiting == 1


def test_a_shadow_waits_beside_its_answer(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert [spool.append(small("q-1", role=role)) for role in ("champion", "shadow")] == [True] * 2
    assert [row["role"] for row in spool.find("q-1")] == ["champion", "shadow"]


def test_a_writer_killed_at_any_byte(tmp_path: Path) -> None:
    spool, path = Spool(tmp_path), tmp_path / "waiting.jsonl"
    spool.append(small("q-1"))
    first = path.stat().st_size
    spool.append(small("q-2"))
    whole = path.read_bytes()
    for size in range(first, len(whole) + 1):
        path.write_bytes(whole[:size])
        spool.append(small("q-3"))
        kept = ["q-2"] if size >= len(whole) - 1 else []  # only the newline may lack
        assert requests(spool) == ["q-1", *kept, "q-3"], size


def test_a_spoilt_line_is_known_and_loses_no_other(tmp_path: Path) -> None:
    spool, path = Spool(tmp_path), tmp_path / "waiting.jsonl"
    for number in range(3):
        spool.append(small(f"q-{number}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert requests(spool) == ["q-0", None, "q-2"]


def test_settled_lines_need_no_room_and_are_cut_at_the_end(tmp_path: Path) -> None:
    spool, path = Spool(tmp_path), tmp_path / "waiting.jsonl"
    for number in range(3):
        spool.append(small(f"q-{number}"))
    size = path.stat().st_size
    spool.settle(spool.oldest(2))
    assert (requests(spool), spool.waiting, path.stat().st_size) == (["q-2"], 1, size)
    spool.settle(spool.oldest(9))
    assert spool.empty
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_drainer_killed_before_the_cut(log: PredictionLog, tmp_path: Path) -> None:
    spool, path = Spool(tmp_path), tmp_path / "waiting.jsonl"
    spool.append(small("q-1"))
    path.write_bytes(path.read_bytes().replace(b"\n- ", b"\n+ "))
    assert (spool.empty, spool.waiting) == (False, 0)
    assert DurableLog(log, spool).drain() == 0
    assert spool.empty


def test_one_drains_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path).draining() as first, Spool(tmp_path).draining() as second:
        assert (first, second) == (True, False)
    with Spool(tmp_path).draining() as third:
        assert third


@pytest.mark.parametrize("column", ["patient_id", "scanner"])
def test_what_the_database_never_takes_is_set_aside(
    log: PredictionLog, tmp_path: Path, column: str
) -> None:
    durable = DurableLog(log, Spool(tmp_path / "spool"))
    for number, changes in enumerate([{}, {column: None}, {}]):
        durable.spool.append(small(f"q-{number}", **changes))
    assert durable.drain() == 3
    assert list(log.exams()["exam_id"]) == ["E-0", "E-2"]
    assert (durable.waiting, durable.spool.refused, durable.refusal) == (0, 1, None)
    aside = (tmp_path / "spool" / "refused.jsonl").read_text()
    assert '"q-1"' in aside and aside.count("\n") == 1


def test_rows_at_fault_are_the_caller_s_error(log: PredictionLog, tmp_path: Path) -> None:
    durable = DurableLog(log, Spool(tmp_path / "spool"))
    with pytest.raises(ValueError, match="32 float32"):
        durable.append("q-1", [breast_row(), exam_row(embedding=np.zeros(31))])
    assert durable.spool.empty and log.exams(level="breast").empty


SPOOLER = """
import sys, time
from pathlib import Path
from mammo.prediction_log import Spool
from tests.prediction_log.test_spool import small
spool = Spool(Path(sys.argv[1]))
for number in range(300):
    spool.append(small(f"q-{sys.argv[2]}-{number}"))
    print(f"q-{sys.argv[2]}-{number}", flush=True)
time.sleep(600)
"""
DRAINER = """
import sys
from pathlib import Path
from mammo.prediction_log import DurableLog, PredictionLog, Spool, durable
durable.BATCH = 1
DurableLog(PredictionLog(sys.argv[1], pooled=True), Spool(Path(sys.argv[2]))).drain()
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_drained_once_and_in_order_over_kills(log_url: str, tmp_path: Path) -> None:
    """Two writers are killed, then one drainer after the other, until one comes to the end."""
    writers = [start(SPOOLER, str(tmp_path), name) for name in "ab"]
    said: list[str] = []
    for writer in writers:
        assert writer.stdout is not None
        said += [writer.stdout.readline().strip() for _ in range(100)]
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        said += writer.communicate()[0].split()
    spooled, rng, killed = requests(Spool(tmp_path)), random.Random(6), 0
    assert set(said) <= set(spooled)
    log = PredictionLog(log_url).create()
    while not Spool(tmp_path).empty and killed < 2:
        logged, drainer = len(log.exams()), start(DRAINER, log_url, str(tmp_path))
        while len(log.exams()) == logged and drainer.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.005))  # in any part of what it does with a line
        drainer.kill()
        killed += drainer.wait() == -signal.SIGKILL
    DurableLog(log, Spool(tmp_path)).drain()
    assert killed
    assert [f"q-{exam[2:]}" for exam in log.exams()["exam_id"]] == spooled
