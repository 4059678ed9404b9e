"""The retraining without an episode that has begun and not ended: who comes next goes on with it.

An episode's row says which run is at it. A retraining by schedule, by new outcomes or by
hand has a watermark instead, from its claim to its close. Without it, a run that died after
it had sealed its candidate would have been the last: that candidate has learnt from every
outcome there is, so none would be new (`mammo.continual.fresh_labels`), and a later run would
train the same network under another digest, which the gate's ledger pays for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

READER = "unfinished_retraining"


@dataclass(frozen=True)
class Unfinished:
    """``work`` names what its candidates are kept under, ``run`` the flow run last at it."""

    work: str
    run: str


def begin(settings: Settings, work: str, run: str) -> None:
    """Write down that the flow run ``run`` is at ``work`` from now on."""
    log = PredictionLog(settings.log_url).create()
    log.set_watermark(READER, 0, asdict(Unfinished(work, run)))


def end(settings: Settings, work: str) -> None:
    """Write down that ``work`` is over; another that has begun meanwhile stays."""
    log = PredictionLog(settings.log_url).create()
    if log.watermark(READER).state.get("work") == work:
        log.set_watermark(READER, 0, {})


def unfinished(settings: Settings) -> Unfinished | None:
    """Return what has begun and not ended; None also where its release has come to service."""
    state = PredictionLog(settings.log_url).create().watermark(READER).state
    if not state or is_served(settings, state["work"]):
        return None
    return Unfinished(**state)


def is_served(settings: Settings, work: str) -> bool:
    """Say whether a candidate of ``work`` is or was in service or on trial (`was_moved`).

    Then the work is done but for its last line: done again, it would bring back what
    the guard or a person may have taken out of service since.
    """
    made = PredictionLog(settings.log_url).create().watermark(f"retrain:{work}").state
    return was_moved(settings, (one["release"] for one in made.values() if isinstance(one, dict)))


def was_moved(settings: Settings, release_ids: Iterable[str]) -> bool:
    """Say whether the pointer or a change record tells that one of these releases was moved.

    A trial that a worker refused before its first record was none: it may begin again, as
    `mammo.changes.taken_back.is_taken_back` has it.
    """
    pointer = read_pointer(settings.pointer_path) or {}
    places = [pointer, pointer.get("challenger") or {}]
    moved = {one.get("release_id") for one in places}
    changes = PredictionLog(settings.log_url).create().changes()
    moved |= {one["release_id"] for one in changes if not _is_refused_trial(one["record"])}
    return not moved.isdisjoint(release_ids)


def _is_refused_trial(record: Mapping[str, Any]) -> bool:
    return (record.get("stage"), record.get("reason")) == ("stopped", "refused")
