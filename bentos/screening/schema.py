"""What comes over the wire, as models; the OpenAPI document is made from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from bentos.screening.rollout import InService, Refusal
from mammo import INTENDED_USE
from mammo.exam import Laterality, Outcome
from mammo.screening import ExamReport

Decision = Literal["recall", "no recall"]
Score = Annotated[float, Field(ge=0, le=1, description="calibrated probability of cancer")]
PROBLEM = "application/problem+json"


def _iso_text(value: Any) -> Any:
    """Refuse numbers, which would silently be read as seconds since 1970."""
    if not isinstance(value, str):
        raise ValueError("an ISO 8601 date and time is needed, such as 2026-03-01T09:00:00Z")
    return value


Instant = Annotated[datetime, BeforeValidator(_iso_text)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class RefusedFile(BaseModel):
    """A file that was not read; ``position`` counts from 1 in the order sent."""

    position: int
    file: str = Field(description="the name under which the caller sent it")
    code: str = Field(examples=["NOT_DICOM"])
    message: str


class ViewAnswer(BaseModel):
    """One image: its raw logit, before calibration; not pooled where another one is preferred."""

    image_id: str
    laterality: str
    view: str
    logit: float
    quality: list[str]
    pooled: bool = True


class BreastAnswer(BaseModel):
    """One breast: the mean logit of its views, calibrated for the scanner."""

    laterality: str
    logit: float
    probability: Score
    recall: bool


class ExamAnswer(BaseModel):
    """The answer for one exam; ``exam`` is the pseudonym under which it is logged."""

    exam: str
    release: str
    scanner: str
    site: str
    score: Score
    logit: float
    decision: Decision
    threshold: float
    breasts: list[BreastAnswer]
    quality: list[str] = Field(examples=[["MISSING_VIEW"]])
    scored_at: datetime
    latency_ms: float
    intended_use: str = INTENDED_USE


class ScoredExam(ExamAnswer):
    """The answer to an exam that was just scored and logged."""

    views: list[ViewAnswer]
    refused: list[RefusedFile] = Field(description="files left out; the rest was scored")

    @classmethod
    def of(cls, report: ExamReport, names: Sequence[str]) -> ScoredExam:
        """Build from a report whose files were named by their position."""
        refused = name_refused(report.refused, names)
        return cls.model_validate(report.to_json() | {"refused": refused})


class LoggedExam(ExamAnswer):
    """The latest scoring of an exam, as the log has it."""

    times_scored: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> LoggedExam:
        """Build from `PredictionLog.exam_report`."""
        return cls.model_validate(
            row
            | {
                "exam": row["exam_id"],
                "release": row["release_id"],
                "score": row["probability"],
                "decision": "recall" if row["recall"] else "no recall",
                "quality": [code for code in row["quality"].split("|") if code],
            }
        )


class OutcomeIn(BaseModel):
    """What became of an exam. Without a laterality it is of the exam as a whole."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "exam": "E-0123456789abcdef",
                    "laterality": "L",
                    "cancer": True,
                    "known_at": "2026-03-01T09:00:00Z",
                    "source": "pathology",
                }
            ]
        },
    )

    exam: Name = Field(validation_alias=AliasChoices("exam", "exam_id"))
    cancer: bool
    known_at: Instant = Field(description="when the result was known; without offset, UTC")
    source: Name = Field(description="where it comes from, such as pathology")
    laterality: Literal["L", "R"] | None = None

    def to_outcome(self) -> Outcome:
        """Return the noun."""
        side = None if self.laterality is None else Laterality(self.laterality)
        known_at = self.known_at if self.known_at.tzinfo else self.known_at.replace(tzinfo=UTC)
        return Outcome(self.exam, self.cancer, known_at, self.source, side)


class OutcomesAnswer(BaseModel):
    """How many outcomes came, how many of them were new."""

    received: int
    new: int
    repeated: int
    exams_unknown: int = Field(description="stored all the same: a result may come first")


class RefusedRelease(BaseModel):
    """A release that was asked for and would not load; the one before it stays."""

    release: str
    code: str
    message: str
    at: datetime

    @classmethod
    def of(cls, refusal: Refusal | None) -> RefusedRelease | None:
        """Build from the rollout's note."""
        return None if refusal is None else cls(**vars(refusal))


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
    refused: RefusedRelease | None
    intended_use: str = INTENDED_USE

    @classmethod
    def of(cls, current: InService, refusal: Refusal | None) -> ReleaseAnswer:
        """Build from what is in service."""
        manifest = current.release.to_dict()
        return cls.model_validate(
            manifest
            | {
                "release": manifest["id"],
                "bento_tag": current.bento_tag,
                "previous": current.previous,
                "in_service_since": current.since,
                "refused": RefusedRelease.of(refusal),
            }
        )


class ReadyAnswer(BaseModel):
    """The service can score."""

    status: Literal["ready"] = "ready"
    release: str
    refused: RefusedRelease | None = None


class HealthAnswer(BaseModel):
    """The process lives."""

    status: Literal["alive"] = "alive"


class Problem(BaseModel):
    """Why a request was refused (RFC 9457), with a stable code."""

    type: str = Field(examples=["urn:mammo:error:NOTHING_READABLE"])
    title: str
    status: int
    code: str
    detail: str
    refused: list[RefusedFile] | RefusedRelease | None = None


def name_refused(refused: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return refusals with the caller's names; inside, a file is called by its position."""
    return [
        {
            "position": int(one.file),
            "file": names[int(one.file) - 1],
            "code": one.code,
            "message": one.message,
        }
        for one in refused
    ]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that are refusals, for its OpenAPI entry."""
    return {
        status: {"model": Problem, "description": PROBLEM_TITLES[status]} for status in statuses
    }


PROBLEM_TITLES = {
    400: "The request is empty or malformed.",
    404: "No prediction is logged under this exam id.",
    413: "A file or the request is above its limit.",
    415: "The body is neither multipart/form-data nor application/dicom.",
    422: "The files or the outcome cannot be used; the code says why.",
    503: "No release is in service yet.",
}
