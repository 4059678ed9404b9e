"""What the demo does after the gate has chosen: the guard leads the release into service.

The demo plays the person, too: a release that the gate cannot tell enough of is approved,
in the demo's name and for the record. No exam waits meanwhile: the champion answers.
"""

from __future__ import annotations

import os
import time
from typing import Any

from flows.demo_report import Recorder
from mammo.errors import StackUnhealthy, ValidationFailed
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

REASON = "the demo's golden set is small on purpose; phantoms, no patients"


def approve_what_waits(settings: Settings, recorder: Recorder) -> None:
    """Approve each release that a paused run waits for."""
    os.environ.update(settings.child_environment())  # before Prefect reads its address
    from flows.approve import approve_release, waiting_releases

    for release in waiting_releases(settings):
        approve_release(settings, release, REASON)
        recorder.approved.append(release)
        recorder.event(f"{release} approved")


def wait_until_served(
    settings: Settings, recorder: Recorder, chosen: str | None, patience_seconds: float
) -> None:
    """Follow the guard until the gate's choice is in service, or the guard has stopped it.

    Raises StackUnhealthy when neither happens in time.
    """
    if chosen is None:
        return
    deadline, stage = time.monotonic() + patience_seconds, ""
    while time.monotonic() < deadline:
        pointer = read_pointer(settings.pointer_path) or {}
        if pointer.get("release_id") == chosen:
            return
        challenger = pointer.get("challenger") or {}
        if challenger.get("release_id") != chosen and _was_stopped(settings, chosen):
            recorder.stopped = chosen
            return
        if (now := _stage_of(challenger)) != stage:
            stage = now
            recorder.event(f"{chosen}: {stage}")
        time.sleep(0.5)
    raise StackUnhealthy(f"{chosen} was not led into service; see the change records.")


def _stage_of(challenger: dict[str, Any]) -> str:
    share = f" {challenger['percent']} %" if challenger.get("percent") else ""
    return f"{challenger.get('stage', 'waiting')}{share}"


def _was_stopped(settings: Settings, release: str) -> bool:
    changes = PredictionLog(settings.log_url).changes()
    last = [one["record"] for one in changes if one["release_id"] == release]
    return bool(last) and last[-1].get("stage") == "stopped"


def require_true_records(settings: Settings, recorder: Recorder) -> None:
    """Verify every change record that the demo left, and write their page.

    Raises ValidationFailed with what is wrong.
    """
    from mammo.changes.page import write_page
    from mammo.changes.verify import verify_changes

    report = verify_changes(settings)
    recorder.changes = report.records
    write_page(settings)
    if not report.intact:
        told = "; ".join(f"{one.number}: {one.message}" for one in report.wrong)
        raise ValidationFailed(f"Change records do not verify: {told}.")
