"""Ends a move of the pointer that was killed before its record was written."""

from __future__ import annotations

from bentos.screening.change_record import is_recorded, last_move
from bentos.screening.confirmation import Part
from bentos.screening.deployment import SECONDS, Check, DeployReport, _Deployment
from bentos.screening.pointing import Pointer
from mammo.errors import ReleaseNotFound
from mammo.pointer import read_pointer
from mammo.settings import Settings


def finish_move(
    settings: Settings,
    *,
    timeout: float = SECONDS,
    wait: bool = True,
    check: Check | None = None,
) -> DeployReport | None:
    """Confirm and record the pointer's last move; None where its record is there.

    It moves nothing: what the pointer names when the lock is taken is confirmed, so that a
    rollback of meanwhile stays. A deployment under way is waited for, and is then found
    finished. Raises what `deploy_release` raises; a release that the service refuses
    is taken back as there.
    """
    pointer = read_pointer(settings.pointer_path)
    if pointer is None or is_recorded(pointer, settings):
        return None
    part: Part = "champion" if last_move(pointer)["stage"] == "champion" else "challenger"
    return _Deployment(settings, timeout, wait, check).move(part, None, _as_it_is)


def _as_it_is(now: Pointer | None) -> Pointer:
    if now is None:
        raise ReleaseNotFound("The release was taken out of service again; there is no move.")
    return now
