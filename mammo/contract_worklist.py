"""What the service tells of past exams, a page at a time; see `mammo.contract`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field

ExamState = Literal["receiving", "waiting", "scoring", "scored", "partly", "failed"]


class OutcomeLine(BaseModel):
    """What became of an exam as a whole, as far as it is known."""

    label: Literal["cancer", "no cancer"]
    known_at: datetime
    source: str


class ExamLine(BaseModel):
    """One exam, or one request that failed before anybody knew of which exam it was."""

    exam: str | None = Field(description="null where nothing is logged of it")
    study: str | None = Field(description="the gateway's key; null where it came over HTTP alone")
    state: ExamState
    incident: bool = Field(description="the gateway wants an administrator to look at it")
    code: str | None = Field(description="why it failed, or is only partly scored")
    text: str
    scored_at: datetime | None
    received_at: datetime | None
    acquired_on: date | None
    site: str | None
    scanner: str | None
    release: str | None
    score: float | None
    scale: int | None = Field(
        description="null where the release has fewer than 50 reference exams, where nothing is "
        "scored, or not known any more"
    )
    decision: Literal["recall", "no recall"] | None
    quality: list[str]
    abstention: list[str] | None = Field(
        description="empty when nothing speaks against the score, or nothing is scored; "
        "null when not known any more"
    )
    outcome: OutcomeLine | None
    has_images: bool


class WorklistAnswer(BaseModel):
    """Some exams, the newest first; ``next`` is what ``before`` wants for those after them.

    A page may be short, or empty, and have a next one: a state that few exams are in is
    looked for in a bounded number of them at a time.
    """

    exams: list[ExamLine]
    next: str | None
