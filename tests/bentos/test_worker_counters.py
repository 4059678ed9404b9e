"""Counters of several workers behind one port: whichever answers a scrape, they are of all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bentos.screening.release_metrics import ReleaseCollector
from bentos.screening.workers import WorkerState

REFUSED = {"release": "r-2", "code": "DIGEST_MISMATCH", "message": "m", "at": "2026-11-29"}
WORKER = """
from pathlib import Path
from types import SimpleNamespace

from bentos.screening.admission import Admission
from bentos.screening.metrics import Metrics
from bentos.screening.rollout import Rollout
from mammo.errors import MammoError, Overloaded

class Audit:
    def head(self):
        raise MammoError("no log here")

def refuse(admission):
    try:
        with admission.enter():
            raise AssertionError("a full queue let one in")
    except Overloaded:
        pass

admission = Admission(1, 0, 1)
durable = SimpleNamespace(waiting=0, spool=SimpleNamespace(refused=0))
metrics = Metrics(Rollout(Path("pointer.json"), None), admission, durable, Audit())
with admission.enter():
    for _ in range({times}):
        refuse(admission)
print(metrics.render().decode())
"""


def work(folder: Path, times: int) -> dict[str, str]:
    """Let a worker turn exams away; return what it tells when it is scraped."""
    marks = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", WORKER.replace("{times}", str(times))]
    done = subprocess.run(command, env=marks, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [one for one in done.stdout.splitlines() if one and one[0] != "#"]
    return dict(one.rsplit(" ", 1) for one in lines)


def test_exams_turned_away_are_those_of_all_workers(tmp_path: Path) -> None:
    told = [work(tmp_path, times)["mammo_exams_turned_away_total"] for times in (3, 2, 0)]
    assert told == ["3.0", "5.0", "5.0"]


@pytest.mark.parametrize(
    ("mine", "others", "ready", "refused"),
    [
        ("r-1", [], 1, 0),
        (None, [], 0, 0),
        ("r-1", [{"release": "r-1"}], 1, 0),
        ("r-1", [{"release": "r-1"}, {"release": None}], 0, 0),
        (None, [{"release": "r-1"}], 0, 0),
        ("r-1", [{"release": "r-1", "refused": REFUSED}], 1, 1),
        ("r-1", [{"release": "r-1", "challenger_refused": REFUSED}], 1, 1),
    ],
)
def test_readiness_and_refusals_are_those_of_all_workers(
    mine: str | None, others: list[dict[str, Any]], ready: int, refused: int
) -> None:
    workers = [WorkerState(pid, "h", 0.0, **one) for pid, one in enumerate(others, start=1)]
    workers.append(WorkerState(os.getpid(), "h", 0.0))  # of this one the word may be old
    point = SimpleNamespace(id=mine, data_version="d", kind="k", operating_points={})
    current = mine and SimpleNamespace(release=point, bento_tag=None)
    rollout = SimpleNamespace(
        current=current, challenger=None, refused=None, challenger_refused=None,
        workers=lambda: workers,
    )  # fmt: skip
    told = {one.name: one.samples for one in ReleaseCollector(rollout).collect()}
    assert [one.value for one in told["mammo_service_ready"]] == [ready]
    assert [one.value for one in told["mammo_release_refused"]] == [refused]
