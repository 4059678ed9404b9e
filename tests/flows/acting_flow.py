"""A stand-in for the retraining flow: the real claim and close, and an action that is a line.

`test_exactly_once.py` puts it behind the deployment ``retrain/retrain`` of a real stack.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
from prefect import flow
from prefect.runtime import flow_run

HELD_SECONDS = 120


@flow(name="retrain")
def retrain(episode_key: str | None = None, reason: str = "manual") -> dict[str, Any]:
    """Claim the episode, write that it began and ended, close it."""
    from mammo.continual import mend
    from mammo.settings import read_settings

    settings = read_settings()
    run_id = str(flow_run.get_id())
    assignment = mend.claim(settings, episode_key, run_id, "test")
    if assignment is None:
        return {"skipped": episode_key}
    actions = settings.home / "actions.jsonl"
    _write(actions, key=episode_key, step="began", run=run_id, beside=_acting(actions, episode_key))
    deadline = time.monotonic() + HELD_SECONDS
    while (settings.home / "hold").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    _write(actions, key=episode_key, step="ended", run=run_id)
    mend.close(settings, assignment, {"chosen": None, "decisions": [], "reason": reason})
    return {"acted": episode_key}


def read_actions(path: Path) -> list[dict[str, Any]]:
    """Return the lines written so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _acting(path: Path, key: str | None) -> list[int]:
    """Return the living processes that have begun on the episode: there should be none."""
    began = [one["pid"] for one in read_actions(path) if one["key"] == key]
    return [pid for pid in began if psutil.pid_exists(pid)]


def _write(path: Path, **line: Any) -> None:
    with path.open("a") as stream:  # appended in one write, below a page
        stream.write(json.dumps(line | {"pid": os.getpid()}) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
