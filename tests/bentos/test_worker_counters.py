"""Counters of several workers behind one port: whichever answers a scrape, they are of all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
