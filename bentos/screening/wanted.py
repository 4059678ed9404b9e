"""What the pointer names: loaded, or refused, and told apart from what is loaded already."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bentos.screening.standing import Challenger, InService, Load, Refusal, Scorer
from mammo.errors import MammoError, ReleaseNotFound
from mammo.signing import SIGNATURE

_log = logging.getLogger("mammo.service")


def load_wanted(load: Load, wanted: dict[str, Any]) -> Scorer | Refusal:
    """Load a release that the pointer names, or say why it must not be used."""
    release_id, directory = place_of(wanted)
    try:
        screener = load(Path(directory))
        if screener.release.id != release_id:
            raise ReleaseNotFound(
                f"The pointer names {release_id}, its folder holds {screener.release.id}."
            )
    except MammoError as error:
        return _refusal(release_id, error.code, error.message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the old release must stay
        told = f"It could not be loaded: {type(error).__name__}."
        return _refusal(release_id, "INTERNAL", told)
    return screener


@contextmanager
def unwritable_is_told() -> Iterator[None]:
    """A full disk keeps this worker's word from the deployment, not its answers from anybody."""
    try:
        yield
    except OSError as error:
        _log.error("the worker's file cannot be written: %s", type(error).__name__)


def place_of(pointer: dict[str, Any]) -> tuple[str, str]:
    """Return id and folder of a release that the pointer names."""
    return pointer["release_id"], str(pointer["release_dir"])


def is_wanted(loaded: InService | None, wanted: dict[str, Any] | None) -> bool:
    """Say whether this is the release that the pointer names."""
    if loaded is None or wanted is None:
        return False
    return (loaded.release.id, str(loaded.directory)) == place_of(wanted)


def identity_of(pointer: dict[str, Any], instant: str) -> tuple[Any, ...]:
    """Return what asks for a new try: another release, another instant, a signature that came."""
    signature = Path(pointer["release_dir"]) / SIGNATURE
    signed = signature.stat().st_mtime_ns if signature.is_file() else None
    trial = (pointer.get("stage"), pointer.get("percent"))
    return (*place_of(pointer), pointer.get(instant), signed, *trial)


def _refusal(release_id: str, code: str, message: str) -> Refusal:
    _log.error("release %s was refused: %s %s", release_id, code, message)
    return Refusal(release_id, code, message, datetime.now(UTC))


def describe(challenger: Challenger) -> str:
    """Return a challenger in words, for the log."""
    share = f" {challenger.percent}%" if challenger.stage == "canary" else ""
    return f"release {challenger.release.id} ({challenger.stage}{share})"
