"""What the demo demands: a directory of its own, and at the end a loop that was closed."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.demo_report import Recorder
from mammo.errors import SettingsInvalid, ValidationFailed
from mammo.pointer import read_pointer
from mammo.settings import Settings, read_settings

MARKER = ".mammo-demo"
FOLDERS = ("home", "material")
SITE = "site-1"
"""The site in the phantoms' files, whatever the installation around the demo is called."""
REAL_EXAMS = 2
QUIET_SECONDS = 2.0
"""Without a new image the gateway takes a study for whole; a hospital waits a minute."""
_log = logging.getLogger("mammo.demo")


def require_own(directory: Path) -> None:
    """Refuse a directory whose ``home`` or ``material`` no demo has made (`SettingsInvalid`)."""
    found = [name for name in FOLDERS if (directory / name).exists()]
    if found and not (directory / MARKER).is_file():
        raise SettingsInvalid(
            f"{directory} holds {' and '.join(found)} without the mark of a demo ({MARKER}), "
            "and the demo would delete them. Name another directory with --to."
        )


def clear_own(directory: Path) -> None:
    """Delete what an earlier demo left, nothing else, and mark the directory as a demo's."""
    require_own(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).write_text("`mammo demo` deletes home and material beside this file.\n")
    for name in FOLDERS:
        shutil.rmtree(directory / name, ignore_errors=True)


def own_settings(directory: Path) -> Settings:
    """Keep the phantoms out of the installation's log and site, here and in every child.

    An empty variable, unlike an absent one, also overrules a `.env`.
    """
    os.environ.update(MAMMO_DATABASE_URL="", MAMMO_SITE=SITE)
    given = _ports() | {"dicom_quiet_seconds": QUIET_SECONDS}
    return Settings(home=directory.resolve() / "home", database_url=None, site=SITE, **given)


def _ports() -> dict[str, Any]:
    known = read_settings()
    names = ("host", "prefect_port", "mlflow_port", "service_port", "reports_port", "dicom_port")
    return {name: getattr(known, name) for name in names}


@contextmanager
def always(last: Callable[[], object]) -> Iterator[None]:
    """Call ``last`` however the block ends; its own error never hides the block's."""
    try:
        yield
    except BaseException as first:
        try:
            last()
        except Exception as second:  # noqa: BLE001 - told beside the first, which goes on
            told = f"and then: {type(second).__name__}: {second}"
            first.add_note(told)
            _log.warning("%s", told)
        raise
    last()


def require_closed_loop(recorder: Recorder, settings: Settings) -> None:
    """Raise ValidationFailed naming all that a closed loop has and this run has not."""
    pointer = read_pointer(settings.pointer_path) or {}
    serving = pointer.get("release_id")
    checks = (_requests, _real_exams, _by_dicom, _planted, _started, _swapped)
    problems = [told for check in checks if (told := check(recorder))]
    problems += _chosen(recorder, serving)
    if problems:
        raise ValidationFailed("The loop did not close: " + "; ".join(problems) + ".")


def require_planted(recorder: Recorder) -> None:
    """Raise ValidationFailed unless quarantine holds the planted files, each with its code."""
    if told := _planted(recorder):
        raise ValidationFailed(f"{told}.")


def _requests(recorder: Recorder) -> str | None:
    stream = recorder.stream
    if stream is None or not stream.sent:
        return "no request was sent"
    if stream.failed:
        return f"{stream.failed} of {stream.sent} requests failed, first {stream.errors[0]}"
    return None


def _real_exams(recorder: Recorder) -> str | None:
    scored = len(recorder.real_exams)
    return None if scored == REAL_EXAMS else f"{scored} of {REAL_EXAMS} real exams were scored"


def _by_dicom(recorder: Recorder) -> str | None:
    state = recorder.by_dicom.get("state", "not sent")
    return None if state in ("scored", "partly") else f"the exam sent by DICOM is {state}"


def _planted(recorder: Recorder) -> str | None:
    wanted = sorted(recorder.planted.items())
    found = sorted((one["file"], one["code"]) for one in recorder.quarantined)
    if not wanted:
        return "no bad file was planted"
    return None if wanted == found else f"planted bad files {wanted}, quarantine holds {found}"


def _started(recorder: Recorder) -> str | None:
    by = recorder.episode.get("started_by") or "nobody"
    return None if by.startswith("AUTOMATION") else f"retraining was started by {by}, no automation"


def _swapped(recorder: Recorder) -> str | None:
    """A swap counts when exams of the live stream were answered before and after it."""
    began, ended = recorder.live
    swaps = [event["at"] for event in recorder.events if event["kind"] == "release"]
    if any(began < at < ended for at in swaps):
        return None
    return "no release was swapped in while the stream was being answered"


def _chosen(recorder: Recorder, serving: str | None) -> list[str]:
    """Tell where the gate's choice is not in service.

    A gate that refused every candidate has judged too: then the release that was in
    service stays there. Which of the two happens hangs on few exams and on the processor.
    """
    evidence: dict[str, Any] = recorder.episode.get("evidence") or {}
    result = evidence.get("result") or {}
    decisions = result.get("decisions") or []
    chosen = result.get("chosen")
    if not chosen and (not decisions or any(one["passed"] for one in decisions)):
        return ["the gate chose no release for the episode"]
    led = chosen and chosen != recorder.stopped  # one that the guard stopped never serves
    wanted, why = (chosen, f"{chosen} was chosen") if led else (serving, f"{serving} serves")
    places = [("the pointer names", serving)]
    if recorder.stream and recorder.stream.scored:
        places.append(("the last exam was answered by", recorder.stream.scored[-1]["release"]))
    return [
        f"{why} and {place} {release or 'none'}" for place, release in places if release != wanted
    ]
