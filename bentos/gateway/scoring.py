"""Has quiet studies scored by the service, one after the other, and tries again.

    scoring = StudyScoring(settings, ledger, client, reports)
    while scoring.step(time.time()):
        ...

There is one way from pixels to a score, and it is the service's: its queue bounds the
load, its log has the prediction, its Idempotency-Key makes a study that is sent again
after a kill the same request. A refusal that is about the exam is the study's end
(`failed`, with the code); a service that is away is waited for.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from bentos.gateway.ledger import Image, Ledger, Outcome, StudyWork
from bentos.gateway.objects import NOT_AN_IMAGE
from mammo.contract import ScoredExam
from mammo.errors import FileVanished, ForProcessing, MammoError, NotMammography, Tomosynthesis
from mammo.settings import Settings

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0
GIVEN_UP_AFTER = 10
"""Tries of an exam that the service answers with a fault of its own, as with 500 or 504."""
AWAY = frozenset((401, 403, 421, 429, 502, 503, 507))
"""Statuses of a service that is not there, full, or does not let us in: waited for without end."""
FAULTS = frozenset((408, 500, 504))
FILE_REFUSED, MISSING_VIEW = "FILE_REFUSED", "MISSING_VIEW"
LEFT_OUT_ORDER = (Tomosynthesis.code, ForProcessing.code, NotMammography.code)
"""Which code tells most of a study in which nothing is scored."""
TEXTS = {
    Tomosynthesis.code: "Only tomosynthesis came; 2-D mammograms are scored.",
    ForProcessing.code: "Only images for processing came; those for presentation are scored.",
    NotMammography.code: "No image of the study is a mammogram.",
    NOT_AN_IMAGE: "No image of the study came, only reports or the like.",
    FileVanished.code: "Images of the study were removed after MAMMO_DICOM_KEEP_DAYS; send the "
    "whole study again.",
}
BOOK_UNWRITABLE = "The end of a scoring could not be written down; it is asked for again."
_log = logging.getLogger("mammo.gateway.scoring")


class Scorer(Protocol):
    """What scores: `mammo.client.Screening`."""

    def score(self, files: Sequence[Path | bytes], *, key: str | None = None) -> ScoredExam:
        """Score the files of one exam."""
        ...


class StudyScoring:
    """Takes studies from the ledger and brings them to an end; one thread a `step`."""

    def __init__(self, settings: Settings, ledger: Ledger, service: Scorer) -> None:
        self._folder, self._quiet = settings.gateway_dir / "inbox", settings.dicom_quiet_seconds
        self._ledger, self._service = ledger, service
        self._left, self._lock = deque[StudyWork](), threading.Lock()

    def step(self, now: float) -> bool:
        """Bring one study a step further; False when none is due at ``now`` (Unix seconds).

        Raises what the book raises where it cannot be written; the study is taken up again.
        """
        with self._lock:
            while self._left:  # what the book could not take the end of
                self._ledger.put_back(self._left[0], "BOOK_UNWRITABLE", BOOK_UNWRITABLE, now)
                self._left.popleft()
        self._ledger.settle(now, self._quiet)
        work = self._ledger.claim(now)
        if work is None:
            return False
        try:
            self._score(work, now)
        except BaseException:
            self._left.append(work)
            raise
        return True

    def _score(self, work: StudyWork, now: float) -> None:
        try:
            outcome = self._told(work)
        except MammoError as error:
            if _may_pass(error, work.tries):
                self._ledger.put_back(work, error.code, _text(error), now + _pause(error, work))
                _log.warning("study %s waits: %s", work.study, error.code)
                return
            outcome = _failure(work, error)
        version = self._ledger.finish(work, outcome, now)
        _log.info("study %s, scoring %d: %s", work.study, version, outcome.code or outcome.state)

    def _told(self, work: StudyWork) -> Outcome:
        """Ask, and let what nobody expected be a fault that is given up in the end.

        One study must not keep all others from being scored.
        """
        try:
            return self._outcome(work)
        except MammoError:
            raise
        except Exception as error:
            kind = type(error).__name__
            _log.error("study %s met a fault: %s", work.study, kind)
            raise MammoError(f"The gateway could not have the study scored ({kind}).") from error

    def _outcome(self, work: StudyWork) -> Outcome:
        """Ask the service. Raises what the client raises."""
        if not work.scored:
            code = _code_of_none(work)
            return Outcome("failed", code, TEXTS[code])
        paths = [self._folder / one.file for one in work.scored]
        if not all(
            one.file and path.exists() for one, path in zip(work.scored, paths, strict=True)
        ):
            return Outcome("failed", FileVanished.code, TEXTS[FileVanished.code])
        answer = self._service.score(paths, key=work.key).model_dump(mode="json")
        return _answered(work, answer)


def _answered(work: StudyWork, answer: dict[str, Any]) -> Outcome:
    """Return the outcome of an answer, which gets the images that were not sent, too."""
    for one in answer["refused"]:
        one["file"] = str(one["position"])  # a name on this disk is nobody's business
    codes = {work.scored[one["position"] - 1].key: one["code"] for one in answer["refused"]}
    told = [one for one in work.left_out if one.code != ForProcessing.code]
    answer["refused"] += [
        _refused(place, one) for place, one in enumerate(told, start=len(work.scored) + 1)
    ]
    code = next((one["code"] for one in answer["refused"]), None)
    if code is None:  # of an answer from a log of before, it is not known which file was refused
        code = next((one for one in (FILE_REFUSED, MISSING_VIEW) if one in answer["quality"]), None)
    return Outcome("partly" if code else "scored", code, "", answer, codes)


def _refused(position: int, image: Image) -> dict[str, Any]:
    text = "Told by its SOP class; it was not sent to be scored."
    return {"position": position, "file": str(position), "code": image.code, "message": text}


def _failure(work: StudyWork, error: MammoError) -> Outcome:
    """Return the end of a study that the service refused; one code where all files have it."""
    refused = {
        work.scored[one.position - 1].key: str(one.code)
        for one in getattr(error, "refused", ())
        if 0 < one.position <= len(work.scored)
    }
    kinds = set(refused.values())
    code = kinds.pop() if len(kinds) == 1 and len(refused) == len(work.scored) else error.code
    return Outcome("failed", code, _text(error), None, refused)


def _may_pass(error: MammoError, tries: int) -> bool:
    if error.http_status in AWAY:
        return True
    return error.http_status in FAULTS and tries + 1 < GIVEN_UP_AFTER


def _pause(error: MammoError, work: StudyWork) -> float:
    """Return seconds to the next try: doubled each time, shortened by chance."""
    doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(work.tries, 10)
    pause = min(doubled, LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.0)
    return max(pause, float(getattr(error, "retry_after_seconds", 0)))


def _code_of_none(work: StudyWork) -> str:
    codes = {one.code for one in work.left_out}
    return next((code for code in LEFT_OUT_ORDER if code in codes), NOT_AN_IMAGE)


def _text(error: MammoError) -> str:
    """Return the service's message without what it says of single files: they are in the book."""
    return error.message[:500]
