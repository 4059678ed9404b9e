"""Writes the documents of a scoring, or of a failure, and puts them into the outbox.

After a kill in between it is done again: the same scoring gives the same documents
(`mammo.reports`), and the outbox takes each once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bentos.gateway.ledger import Image, Ledger, Outcome
from bentos.gateway.objects import NOT_AN_IMAGE, counts
from bentos.gateway.outbox import Report
from mammo.errors import FileVanished, ForProcessing, MammoError, NotMammography
from mammo.reports import KINDS, ReportKind, ReportMaterial, Status, original_ids_of, write
from mammo.reports.kinds import SOP_CLASSES, uid_of
from mammo.settings import Settings

REPORT_FAILED = "REPORT_FAILED"
"""The documents of a scoring could not be written, which is a fault of ours."""
UNREPORTED = frozenset((NotMammography.code, NOT_AN_IMAGE, FileVanished.code))
"""Failures that are told in the book alone: a CT that was sent here by mistake gets no report."""
_log = logging.getLogger("mammo.gateway.reporting")


class Keeps(Protocol):
    """What keeps reports until they are sent: `bentos.gateway.outbox.Outbox`."""

    def put(self, study_key: str, version: int, reports: Sequence[Report]) -> int:
        """Keep (kind, SOP Class UID, SOP Instance UID, bytes) for those who get that kind."""
        ...


class Reporting:
    """Takes scorings that have no reports yet from the ledger."""

    def __init__(self, settings: Settings, ledger: Ledger, outbox: Keeps) -> None:
        self._folder, self._ledger, self._outbox = settings.gateway_dir / "inbox", ledger, outbox

    def step(self, now: float) -> int:
        """Write and put away what is due; return of how many studies.

        Raises DiskFull and StoreReadOnly; it is due again then.
        """
        due = self._ledger.unreported()
        for study, version in due:
            self._ledger.set_reported(study, version, self._report(study, version, now))
        return len(due)

    def _report(self, study: str, version: int, now: float) -> str | None:
        """Return the seed of the documents; None where there are none."""
        outcome, images = self._ledger.scoring(study, version)
        if outcome.answer is None and outcome.code in UNREPORTED:
            return None
        try:
            material = self._material(outcome, images)
        except Exception as error:  # noqa: BLE001 - told as an incident, whatever it was
            self._note(study, "documents", error, now)
            return None
        material = material.replacing(self._ledger.earlier_seed(study, version))
        documents = [one for kind in KINDS if (one := self._write(study, kind, material, now))]
        self._outbox.put(study, version, documents)
        return material.seed if documents else None

    def _material(self, outcome: Outcome, images: Sequence[Image]) -> ReportMaterial:
        files = [self._folder / one.file for one in _told(outcome, images) if one.file]
        ids = original_ids_of(files)
        if outcome.answer is None:
            return ReportMaterial.of_failure(ids, outcome.code or "INTERNAL", outcome.text)
        material = ReportMaterial.of_answer(outcome.answer, ids)
        return replace(material, status=Status.PARTLY) if outcome.state == "partly" else material

    def _write(
        self, study: str, kind: ReportKind, material: ReportMaterial, now: float
    ) -> Report | None:
        try:
            content = write(kind, material)
        except Exception as error:  # noqa: BLE001 - as above
            self._note(study, kind.value, error, now)
            return None
        return kind.value, SOP_CLASSES[kind], uid_of(kind, "instance", material.seed), content

    def _note(self, study: str, what: str, error: Exception, now: float) -> None:
        """Tell of a document that could not be written: nobody waits for it in vain."""
        known = isinstance(error, MammoError)
        code = error.code if isinstance(error, MammoError) else REPORT_FAILED
        text = str(error) if known else f"{what}: {type(error).__name__}"
        _log.error("study %s lacks its %s: %s", study, what, code)
        self._ledger.note_fault(study, code, text, now)


def _told(outcome: Outcome, images: Sequence[Image]) -> list[Image]:
    """Return the images of the answer's positions: those sent, then those left out."""
    scored = [one for one in images if one.code is None]
    left_out = [one for one in images if one.code is not None and counts(one.code)]
    if outcome.answer is not None:
        left_out = [one for one in left_out if one.code != ForProcessing.code]
    return scored + left_out
