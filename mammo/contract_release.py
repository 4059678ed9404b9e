"""What the service says over the wire of its releases and of itself; see `mammo.contract`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from mammo import INTENDED_USE


class RefusedRelease(BaseModel):
    """A release that was asked for and would not load; the one before it stays."""

    release: str
    code: str
    message: str
    at: datetime

    @classmethod
    def of(cls, refusal: object | None) -> RefusedRelease | None:
        """Build from the rollout's note, a record with these four fields."""
        return None if refusal is None else cls(**vars(refusal))


class ChallengerAnswer(BaseModel):
    """A release that is tried beside the one in service.

    In ``shadow`` it scores the same exams and answers none; as ``canary`` it
    answers ``percent`` of them.
    """

    release: str
    bento_tag: str | None = None
    stage: Literal["shadow", "canary"] | None = Field(
        default=None, description="null while it is refused"
    )
    percent: float = 0
    since: datetime | None = None
    refused: RefusedRelease | None = None


class WorkerAnswer(BaseModel):
    """What one worker process of the service has loaded."""

    pid: int
    release: str | None
    challenger: str | None = None
    refused: str | None = Field(default=None, description="the code of the refusal")
    at: datetime | None = None


class ReleaseAnswer(BaseModel):
    """The release in service."""

    release: str
    bento_tag: str | None = Field(description="null when it is the one inside this Bento")
    parent: str | None
    previous: str | None = Field(description="what a rollback would bring back")
    kind: str
    target: str
    data_version: str
    created_at: str
    in_service_since: datetime
    operating_points: dict[str, dict[str, Any]]
    metrics: dict[str, Any]
    digest: str
    familiarity_judged: bool | None = Field(
        default=None,
        description="false where it has fewer than 100 reference exams to judge by: "
        "OUT_OF_DISTRIBUTION is never told then; null when an older service does not say",
    )
    refused: RefusedRelease | None
    challenger: ChallengerAnswer | None = None
    workers: list[WorkerAnswer] = []
    intended_use: str = INTENDED_USE


class ReadyAnswer(BaseModel):
    """The service can score."""

    status: Literal["ready"] = "ready"
    release: str
    refused: RefusedRelease | None = None


class HealthAnswer(BaseModel):
    """The process lives."""

    status: Literal["alive"] = "alive"
