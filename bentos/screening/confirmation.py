"""Waits until every worker of the running service follows the pointer.

A worker says in ``<home>/workers/<pid>.json`` what it follows. One port stands
before several of them, so an answer over HTTP would be the word of one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import httpx

from bentos.screening.workers import FOLDER, WorkerState, live_workers
from mammo.errors import StackNotRunning
from mammo.settings import Settings

POLL_SECONDS = 0.2
CHALLENGER = ("bento_tag", "stage", "percent")
Part = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Doubt:
    """Why a move is not confirmed; ``refused`` when a worker will not take the release."""

    problem: str
    refused: bool


def require_running(settings: Settings) -> None:
    """Raise StackNotRunning unless the service answers."""
    token = settings.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    try:
        url = f"{settings.service_url}/healthz"
        httpx.get(url, headers=headers, timeout=5.0).raise_for_status()
    except httpx.HTTPError as error:
        raise StackNotRunning(
            f"No service answers at {settings.service_url}. `mammo up` starts it."
        ) from error


def wait_for(
    pointer: dict[str, Any], part: Part, settings: Settings, timeout: float
) -> Doubt | None:
    """Return None once every live worker follows this part of the pointer, else why not.

    Waits at most ``timeout`` seconds, and ends at once when a worker refuses.
    """
    deadline = time.monotonic() + timeout
    while True:
        workers = _workers(settings)
        if workers and all(_follows(one, pointer, part) for one in workers):
            return None
        if told := _refusal(workers, pointer, part):
            return Doubt(told, refused=True)
        if time.monotonic() >= deadline:
            return Doubt(f"after {timeout:.0f} s {_tell(workers, pointer, part)}", refused=False)
        time.sleep(POLL_SECONDS)


def _workers(settings: Settings) -> list[WorkerState]:
    return live_workers(settings.home / FOLDER)


def _follows(worker: WorkerState, pointer: dict[str, Any], part: Part) -> bool:
    if part == "champion":
        return bool(worker.bento_tag == pointer["bento_tag"])
    return _trial(worker.challenger) == _trial(pointer.get("challenger"))


def _trial(challenger: dict[str, Any] | None) -> list[Any] | None:
    return None if challenger is None else [challenger[name] for name in CHALLENGER]


def _refusal(workers: Sequence[WorkerState], pointer: dict[str, Any], part: Part) -> str | None:
    """Return what a worker says against the release, since it was asked to take it."""
    wanted = pointer if part == "champion" else pointer.get("challenger")
    if wanted is None:
        return None
    asked_at = datetime.fromisoformat(wanted["changed_at" if part == "champion" else "since"])
    for worker in workers:
        refused = worker.refused if part == "champion" else worker.challenger_refused
        if refused is None or refused["release"] != wanted["release_id"]:
            continue
        if datetime.fromisoformat(refused["at"]) >= asked_at:  # not of an earlier try
            return f"{refused['code']}: {refused['message']}"
    return None


def _tell(workers: Sequence[WorkerState], pointer: dict[str, Any], part: Part) -> str:
    if not workers:
        return "no worker of the service says what it serves."
    behind = [one for one in workers if not _follows(one, pointer, part)]
    if part == "champion":
        found = {one.release or "none" for one in behind}
    else:
        found = {(one.challenger or {}).get("release", "none") for one in behind}
    have = f"{part} {', '.join(sorted(found))}"
    return f"{len(behind)} of {len(workers)} workers of the service have {have}."
