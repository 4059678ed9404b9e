"""What the documents of one scoring are made of, and of one that failed.

A service knows a scoring from what it kept (`of_kept`), the gateway from the files that
it sent and the answer that it got (`of_answer`), and of an exam that could not be
scored there are the files and a code (`of_failure`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from mammo.errors import ResultUnknown

if TYPE_CHECKING:
    from mammo.kept_result import KeptResult

Identity = dict[str, Any]
"""Who and what an image is: a DICOM JSON model (PS3.18 F.2), which names the patient."""
SOP_UID, STUDY_UID, ROWS = "00080018", "0020000D", "00280010"
NOT_TRIED = frozenset(("NOT_MAMMOGRAPHY", "TOMOSYNTHESIS", "FOR_PROCESSING"))
"""Codes of images that no algorithm was meant for: nothing was attempted with them."""


class Status(StrEnum):
    """What became of the exam; the values are those of the API."""

    SCORED = "scored"
    PARTLY = "partly"
    FAILED = "failed"
    NOT_TRIED = "not attempted"


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """An image of the study that was not scored: its place in ``images``, and why."""

    place: int
    code: str


@dataclass(frozen=True)
class ReportMaterial:
    """A scoring, or the failure of one, and the images that it is about.

    ``answer`` is that of the service (`mammo.contract.ScoredExam` as JSON), None where the
    exam failed; ``scored`` holds, for each of ``answer["views"]``, its place in ``images``.
    ``code`` and ``text`` say why it failed. ``localised`` is False where the release does not
    tell where a score comes from: then no findings mean nothing. ``replaces`` is the `seed` of
    an earlier scoring of the same study.
    """

    answer: Mapping[str, Any] | None
    images: tuple[Identity, ...]
    status: Status
    code: str | None = None
    text: str = ""
    scored: tuple[int, ...] = ()
    refused: tuple[RefusedImage, ...] = ()
    localised: bool = True
    replaces: str | None = None
    failed_at: datetime | None = None

    @classmethod
    def of_kept(cls, kept: KeptResult) -> Self:
        """Return the material of a scoring that was kept.

        Raises ResultUnknown where the identity of the originals was not kept.
        """
        if kept.original_ids is None:
            raise ResultUnknown(
                "The ids of the original images were not kept with this scoring, and a report "
                "belongs into their study. Send the exam again where they are kept."
            )
        views = [view.facts for view in kept.views]
        answer = kept.answer | {"request": kept.request_id, "views": views}
        images, localised = kept.original_ids, any(view.heat is not None for view in kept.views)
        places = tuple(range(len(images)))
        return cls(answer, images, _status_of(answer), scored=places, localised=localised)

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any], original_ids: Sequence[Identity]) -> Self:
        """Return the material of an answer to the files that ``original_ids`` are of.

        ``original_ids`` holds one a file, in the order in which they were sent
        (`original_ids_of`). Refused images that can be named are among the images.
        Raises ResultUnknown where the answer is of other files.
        """
        refused = {one["position"] - 1: one["code"] for one in answer["refused"]}
        scored = [place for place in range(len(original_ids)) if place not in refused]
        if answer["views"] and len(answer["views"]) != len(scored):
            raise ResultUnknown(
                f"The answer has {len(answer['views'])} views and {len(scored)} of the files were "
                "not refused: it is of other files. Send the exam again."
            )
        known = [original_ids[place] for place in scored]
        images, left_out = _with_refused(
            known, {place: (original_ids[place], code) for place, code in refused.items()}
        )
        told = bool(answer["views"])  # an answer from the log alone has none
        localised = told and answer.get("localised") is not False
        places = tuple(range(len(known))) if told else ()
        return cls(
            answer, images, _status_of(answer), scored=places, refused=left_out, localised=localised
        )

    @classmethod
    def of_failure(
        cls, original_ids: Sequence[Identity], code: str, text: str, at: datetime | None = None
    ) -> Self:
        """Return the material of an exam that was not scored; ``code`` and ``text`` say why.

        ``at`` is when it failed, by default now: given, documents written later have the
        same bytes, not only the same UIDs. Raises ResultUnknown where no file has the
        identity that a document needs.
        """
        named = [one for one in original_ids if _value(one, SOP_UID) and _value(one, STUDY_UID)]
        images, refused = _with_refused(
            [], {place: (one, code) for place, one in enumerate(named) if _is_image(one)}
        )
        if not images:
            raise ResultUnknown(
                f"The exam was not scored ({code}), and none of its files is an image with a Study "
                "and a SOP Instance UID: there is no study to put a report into."
            )
        status = Status.NOT_TRIED if code in NOT_TRIED else Status.FAILED
        when = (at or datetime.now(UTC)).replace(microsecond=0)
        return cls(
            None, images, status, code, text, refused=refused, localised=False, failed_at=when
        )

    def replacing(self, earlier: Self | str | None) -> Self:
        """Return the same material, whose documents name those of ``earlier`` (or its `seed`)."""
        seed = earlier.seed if isinstance(earlier, ReportMaterial) else earlier
        own = replace(self, replaces=None)
        return own if seed == own.seed else replace(own, replaces=seed)

    @property
    def seed(self) -> str:
        """What UIDs follow from: request, release, images, and the document that is replaced.

        It names nobody, and may be kept to be given to `replacing` later.
        """
        uids = sorted(str(_value(one, SOP_UID)) for one in self.images)
        about = "|".join([*uids, self.status, self.replaces or ""])
        images = hashlib.sha256(about.encode()).hexdigest()[:32]
        if self.answer is None:
            return f"{self.code}|{images}"
        request = self.answer.get("request") or f"{self.answer['exam']} {self.answer['scored_at']}"
        return f"{request}|{self.answer['release']}|{images}"

    @property
    def release(self) -> str:
        """The release that scored; empty where none did."""
        return "" if self.answer is None else str(self.answer["release"])

    @property
    def views(self) -> list[Mapping[str, Any]]:
        """The answer's views, in the order of ``scored``."""
        return [] if self.answer is None else list(self.answer["views"])

    @property
    def told_at(self) -> datetime:
        """When it was scored, or failed, in UTC."""
        at = self.failed_at or datetime.now(UTC)
        if self.answer is not None:
            at = datetime.fromisoformat(str(self.answer["scored_at"]))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _status_of(answer: Mapping[str, Any]) -> Status:
    """Return scored, or partly where a file was refused or one of the four views is missing."""
    left_out = {"FILE_REFUSED", "MISSING_VIEW"}.intersection(answer.get("quality") or ())
    return Status.PARTLY if answer.get("refused") or left_out else Status.SCORED


def _with_refused(
    scored: Sequence[Identity], refused: Mapping[int, tuple[Identity, str]]
) -> tuple[tuple[Identity, ...], tuple[RefusedImage, ...]]:
    """Return scored images and those refused ones of the same study that can be named."""
    images, left_out = list(scored), []
    for _, (one, code) in sorted(refused.items()):
        uid, study = _value(one, SOP_UID), _value(one, STUDY_UID)
        foreign = bool(images) and study != _value(images[0], STUDY_UID)
        twice = uid in [_value(other, SOP_UID) for other in images]
        if not (uid and study and _is_image(one)) or foreign or twice:
            continue
        left_out.append(RefusedImage(len(images), code))
        images.append(one)
    return tuple(images), tuple(left_out)


def _is_image(ids: Identity) -> bool:
    return _value(ids, ROWS) is not None


def _value(ids: Identity, tag: str) -> Any:
    """Return the first value of an element of a DICOM JSON model, or None."""
    values = ids.get(tag, {}).get("Value") or [None]
    return values[0]
