"""Moves the pointer: which packaged release the running service serves.

The order of steps is such that a deployment killed anywhere can be run again:
smoke test, pointer, the service's own word, record. What is in service is what
the pointer says and the service confirms; the record is written once for each
move of the pointer.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bentos.screening.change_record import Why, id_of, name_in_mlflow, write_change
from bentos.screening.packaging import find_packaged
from mammo.errors import DeployFailed, NoPreviousRelease, StackNotRunning
from mammo.pointer import read_pointer, write_pointer
from mammo.screening import Screener
from mammo.settings import Settings

__all__ = ["DeployReport", "Why", "deploy_release", "rollback"]
POLL_SECONDS = 0.2

Check = Callable[[Path], object]


@dataclass(frozen=True)
class DeployReport:
    """What a deployment did. ``changed`` is False when the release was in service already."""

    release: str
    bento_tag: str
    previous: str | None
    changed: bool
    confirmed: bool
    smoke_seconds: float
    swap_seconds: float
    record: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def deploy_release(
    wanted: str | None,
    settings: Settings,
    *,
    why: Why | None = None,
    timeout: float = 60.0,
    wait: bool = True,
    check: Check = Screener.load,
) -> DeployReport:
    """Put a packaged release into service.

    Parameters
    ----------
    wanted
        Release id or Bento tag; None takes the newest Bento.
    timeout
        Seconds that the running service has to report the release.
    wait
        False moves the pointer without a running service; it is taken up at
        the service's next start.
    check
        The golden smoke test, on the folder inside the Bento.

    Raises
    ------
    ReleaseNotFound
        No Bento holds it.
    DigestMismatch, ParityError
        The smoke test failed; nothing was changed.
    StackNotRunning
        No service to wait for; nothing was changed.
    DeployFailed
        The service refused the release or was too slow; the pointer was put back
        if this deployment had moved it, or if the release was refused.
    """
    packaged = find_packaged(settings, wanted)
    target = {
        "release_id": packaged.release_id,
        "bento_tag": packaged.tag,
        "release_dir": str(packaged.release_dir),
    }
    return _move(target, settings, why or Why(), timeout, wait, check)


def rollback(
    settings: Settings,
    *,
    why: Why | None = None,
    timeout: float = 60.0,
    wait: bool = True,
    check: Check = Screener.load,
) -> DeployReport:
    """Bring back the release that was in service before; again, and it swaps back.

    Raises NoPreviousRelease, and what `deploy_release` raises.
    """
    previous = (read_pointer(settings.pointer_path) or {}).get("previous")
    if not previous:
        raise NoPreviousRelease(
            "No release was in service before this one, so there is nothing to roll back to. "
            "`mammo deploy RELEASE` puts another into service."
        )
    return _move(previous, settings, why or Why("rollback"), timeout, wait, check)


def _move(
    target: dict[str, Any],
    settings: Settings,
    why: Why,
    timeout: float,
    wait: bool,
    check: Check,
) -> DeployReport:
    with _alone(settings):
        if wait:
            _require_running(settings)
        started = time.perf_counter()
        check(Path(target["release_dir"]))
        smoked = time.perf_counter()
        before = read_pointer(settings.pointer_path)
        pointer, changed = _point(target, before, settings.pointer_path)
        if wait:
            _confirm(pointer, before, changed, settings, timeout)
        swapped = time.perf_counter()
        record = write_change(pointer, settings, why)
        name_in_mlflow(pointer, settings)
    return DeployReport(
        release=pointer["release_id"],
        bento_tag=pointer["bento_tag"],
        previous=id_of(pointer["previous"]),
        changed=changed,
        confirmed=wait,
        smoke_seconds=round(smoked - started, 3),
        swap_seconds=round(swapped - smoked, 3),
        record=record,
    )


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one deployment at a time move the pointer; the lock dies with its process."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _point(
    target: dict[str, Any], before: dict[str, Any] | None, path: Path
) -> tuple[dict[str, Any], bool]:
    """Write the pointer, unless it names the target already (a deployment run again)."""
    if before and before["bento_tag"] == target["bento_tag"]:
        return before, False
    pointer = {
        **{name: target[name] for name in ("release_id", "bento_tag", "release_dir")},
        "previous": None if before is None else before | {"previous": None},
        "changed_at": datetime.now(UTC).isoformat(),
    }
    write_pointer(path, pointer)
    return pointer, True


def _require_running(settings: Settings) -> None:
    try:
        httpx.get(f"{settings.service_url}/healthz", timeout=5.0).raise_for_status()
    except httpx.HTTPError as error:
        raise StackNotRunning(
            f"No service answers at {settings.service_url}. `mammo up` starts it."
        ) from error


def _confirm(
    pointer: dict[str, Any],
    before: dict[str, Any] | None,
    changed: bool,
    settings: Settings,
    timeout: float,
) -> None:
    """Wait until the service reports the release; put the pointer back if it does not.

    A pointer that this deployment did not move stays where it is unless the
    service refuses the release: slow, or restarting, is no reason to change
    what is in service.
    """
    problem, refused = _wait_for(pointer, settings, timeout)
    if problem is None:
        return
    if not changed and not refused:
        raise DeployFailed(
            f"Release {pointer['release_id']} was not confirmed: {problem} "
            "The pointer names it as before."
        )
    back = before if changed else pointer["previous"]
    if back is None:
        settings.pointer_path.unlink(missing_ok=True)
    else:
        write_pointer(settings.pointer_path, back)
    raise DeployFailed(
        f"Release {pointer['release_id']} did not come into service: {problem} "
        f"{'No release' if back is None else back['release_id']} is in service."
    )


def _wait_for(
    pointer: dict[str, Any], settings: Settings, timeout: float
) -> tuple[str | None, bool]:
    """Return None once the service serves the release, else what is wrong; and if it refused."""
    deadline, problem = time.monotonic() + timeout, "it was not asked."
    while time.monotonic() < deadline:
        answer = _ask(settings)
        if answer.get("bento_tag") == pointer["bento_tag"]:
            return None, False
        refused = answer.get("refused") or {}
        if refused.get("release") == pointer["release_id"] and _since(refused, pointer):
            return f"{refused['code']}: {refused['message']}", True
        problem = f"after {timeout:.0f} s the service reports {answer.get('release', 'none')}."
        time.sleep(POLL_SECONDS)
    return problem, False


def _since(refused: dict[str, Any], pointer: dict[str, Any]) -> bool:
    """Tell this refusal from one of an earlier try."""
    refused_at, asked_at = refused["at"], pointer["changed_at"]
    return datetime.fromisoformat(refused_at) >= datetime.fromisoformat(asked_at)


def _ask(settings: Settings) -> dict[str, Any]:
    """Return /v1/release, or the problem in its place; empty while the service restarts."""
    try:
        answer = httpx.get(f"{settings.service_url}/v1/release", timeout=5.0).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}
