"""What the moves of the pointer say of a release: did it serve, was it taken back?

A retraining that was killed is run again with the releases that it has made already. What
came of them meanwhile, at the guard's word or a person's, is not to be undone by that.
"""

from __future__ import annotations

from typing import Any

from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

ENDED = ("harm", "stopped", "manual")
"""Reasons of a trial's end that speak against its release: the guard's, and a person's."""
Move = dict[str, Any]


def has_served(settings: Settings, release_id: str | None, episode_key: str | None = None) -> bool:
    """Say whether this release, or one of its episode, was once put into service.

    By the records: a move that was killed before its own is for the next deployment to finish.
    """

    def is_theirs(record: Move) -> bool:
        own = episode_key is not None and record.get("episode_key") == episode_key
        return own or (release_id is not None and record.get("release") == release_id)

    return any(is_theirs(one) and _brings_in(one) for one in _recorded(settings))


def is_superseded(settings: Settings, release_id: str) -> bool:
    """Say whether a release was put into service before and another serves now.

    Also true of one that was taken back. Raises PointerDamaged.
    """
    serving = (read_pointer(settings.pointer_path) or {}).get("release_id")
    return serving != release_id and has_served(settings, release_id)


def brought_in(settings: Settings, champion: str, episode_key: str) -> set[str]:
    """Return a champion, and what an episode has put into service over it, step by step.

    Over a release of anybody else's, it is not its own any more. Raises PointerDamaged.
    """
    own = {champion}
    for move in [*_recorded(settings), *_last(settings)]:
        theirs = _brings_in(move) and move.get("episode_key") == episode_key
        if theirs and move.get("previous") in own:
            own.add(str(move["release"]))
    return own


def is_taken_back(settings: Settings, release_id: str) -> bool:
    """Say whether a release's last move was a rollback from it, or the end of its trial.

    A trial that ended because a worker refused to load the release may begin again.
    Raises PointerDamaged.
    """
    for move in reversed([*_recorded(settings), *_last(settings)]):
        if move.get("rollback") and move.get("previous") == release_id:
            return True
        if move.get("release") == release_id:
            return _stage(move) == "stopped" and move.get("reason") in ENDED
    return False


def _recorded(settings: Settings) -> list[Move]:
    return [one["record"] for one in PredictionLog(settings.log_url).create().changes()]


def _last(settings: Settings) -> list[Move]:
    """Return the pointer's last move in a record's words: its own record may not be written."""
    pointer = read_pointer(settings.pointer_path) or {}
    moved, previous = pointer.get("moved"), pointer.get("previous") or {}
    if not moved:
        return []
    return [moved | {"release": moved["release_id"], "previous": previous.get("release_id")}]


def _brings_in(move: Move) -> bool:
    return _stage(move) == "champion" and not move.get("rollback")


def _stage(move: Move) -> str:
    return str(move.get("stage", "champion"))
