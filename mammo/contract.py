"""What goes over the wire, as models: the service answers with them, the client reads them.

The OpenAPI document is made from these. What a service before this one did not
answer, or the log of an older version does not hold, is optional here, and a
field that this version does not know is passed over: a client and a service a
version apart still understand each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

from mammo import INTENDED_USE
from mammo.contract_outcome import Instant, Name, OutcomeIn, OutcomesAnswer
from mammo.contract_release import (
    ChallengerAnswer,
    HealthAnswer,
    ReadyAnswer,
    RefusedRelease,
    ReleaseAnswer,
    WorkerAnswer,
)

if TYPE_CHECKING:
    from mammo.exam_report import ExamReport

__all__ = [
    "PROBLEM",
    "AgreementAnswer",
    "BreastAnswer",
    "ChallengerAnswer",
    "Decision",
    "ExamAnswer",
    "FindingAnswer",
    "FindingsAnswer",
    "HealthAnswer",
    "Instant",
    "Job",
    "JobStatus",
    "LoggedExam",
    "Name",
    "OperatingPointAnswer",
    "OutcomeIn",
    "OutcomesAnswer",
    "Problem",
    "ReadyAnswer",
    "RefusedFile",
    "RefusedRelease",
    "ReleaseAnswer",
    "Scale",
    "Score",
    "ScoredExam",
    "ViewAnswer",
    "ViewFindings",
    "WorkerAnswer",
    "known_codes",
    "name_refused",
    "split_codes",
]

PROBLEM = "application/problem+json"
JobStatus = Literal["queued", "running", "done", "failed"]
Decision = Literal["recall", "no recall"]
Score = Annotated[float, Field(ge=0, le=1, description="calibrated probability of cancer")]
Scale = Annotated[
    int | None,
    Field(
        ge=1,
        le=10,
        description="tenth of the release's reference exams in which the score falls, "
        "10 the highest; null when the release has fewer than 50 of them, or not known any more",
    ),
]


class RefusedFile(BaseModel):
    """A file that was not read; ``position`` counts from 1 in the order sent."""

    position: int
    file: str = Field(description="the name under which the caller sent it")
    code: str = Field(examples=["NOT_DICOM"])
    message: str


class FindingAnswer(BaseModel):
    """A region of one image: a half-open box in pixels of the original (x right, y down).

    From the heat of the classifier, from the detector of a release that carries one, or
    named by both.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    kind: str = "region"
    share: float | None = Field(
        default=None,
        description="the region's part, in (0, 1], of all that speaks for cancer in this image: "
        "where the evidence lies, not how likely cancer is; null where only a detector names it",
    )
    logit: float | None = Field(default=None, description="what it adds to the image's logit")
    source: str = Field(
        default="heat",
        description="heat: a peak of the heat map; detector: a mark; heat+detector: both name it",
    )
    sources: list[Literal["heat", "detector"]] = Field(
        default=["heat"], description="who names the place"
    )
    score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="the detector's score of the mark, no probability; null where it names none",
    )


class ViewAnswer(BaseModel):
    """One image: its raw logit, before calibration; not pooled where another one is preferred."""

    image_id: str
    laterality: str
    view: str
    logit: float
    probability: Score | None = None
    quality: list[str]
    pooled: bool = True
    findings: list[FindingAnswer] = []


class AgreementAnswer(BaseModel):
    """How far heat map and detector agree on the places of one breast."""

    both: int = Field(ge=0, description="places that both name, in all pooled views")
    heat_only: int = Field(ge=0)
    detector_only: int = Field(ge=0)
    share: float | None = Field(
        default=None, ge=0, le=1, description="part of all places that both name; null without one"
    )
    top: bool | None = Field(
        default=None,
        description="in the view where the detector is surest, both first places are one; "
        "null where one of the two names nothing in the breast",
    )


class BreastAnswer(BaseModel):
    """One breast: the mean logit of its views, calibrated for the scanner.

    Where the release joined a detector to the score, its best mark is part of the logit.
    """

    laterality: str
    logit: float
    probability: Score
    scale: Scale = None
    recall: bool
    agreement: AgreementAnswer | None = Field(
        default=None, description="of heat map and detector; null without a detector"
    )


class OperatingPointAnswer(BaseModel):
    """Where the scores of this scanner become a decision, and what it was chosen for."""

    scanner: str = Field(description="manufacturer/model, or * for all others")
    threshold: float = Field(description="a breast is recalled from this probability on")
    target_recall_rate: float | None = None
    target_specificity: float | None = None
    target_sensitivity: float | None = None


class ExamAnswer(BaseModel):
    """The answer for one exam; ``exam`` is the pseudonym under which it is logged."""

    exam: str
    request: str | None = Field(default=None, description="names this scoring in the log")
    release: str
    data_version: str | None = None
    scanner: str
    site: str
    score: Score
    scale: Scale = None
    logit: float
    decision: Decision
    threshold: float
    operating_point: OperatingPointAnswer | None = None
    breasts: list[BreastAnswer]
    quality: list[str] = Field(examples=[["MISSING_VIEW"]])
    abstention: list[str] | None = Field(
        default=None,
        description="why the score should not be relied on; empty when nothing speaks against it; "
        "null when not known (any more), as of a scoring that an earlier version logged",
        examples=[["OUT_OF_DISTRIBUTION"]],
    )
    familiarity_judged: bool | None = Field(
        default=None,
        description="false where the release has fewer than 100 reference exams to judge by: then "
        "OUT_OF_DISTRIBUTION is never told, whatever the images look like; null when not known "
        "(any more)",
    )
    scored_at: datetime
    latency_ms: float
    intended_use: str = INTENDED_USE


class ScoredExam(ExamAnswer):
    """The answer to an exam that was just scored and logged."""

    views: list[ViewAnswer]
    refused: list[RefusedFile] = Field(description="files left out; the rest was scored")
    localised: bool | None = Field(
        default=None,
        description="false where the release does not tell where a score comes from: "
        "then no findings mean nothing",
    )

    @classmethod
    def of(cls, report: ExamReport, names: Sequence[str], **more: Any) -> ScoredExam:
        """Build from a report whose files were named by their position.

        ``more`` are fields that the report does not have, such as ``request``.
        """
        refused = name_refused(report.refused, names)
        return cls.model_validate(report.to_json() | more | {"refused": refused})


class LoggedExam(ExamAnswer):
    """The latest scoring of an exam, as the log has it."""

    times_scored: int

    @classmethod
    def of(cls, row: dict[str, Any], **more: Any) -> LoggedExam:
        """Build from `PredictionLog.exam_report`; ``more`` is what the log does not have."""
        return cls.model_validate(
            row
            | {
                "exam": row["exam_id"],
                "request": row.get("request_id"),
                "release": row["release_id"],
                "score": row["probability"],
                "decision": "recall" if row["recall"] else "no recall",
                "quality": split_codes(row["quality"]),
                "abstention": known_codes(row.get("abstention")),
            }
            | more
        )


class ViewFindings(BaseModel):
    """The findings of one image, and the size in pixels that their boxes lie in."""

    image_id: str
    laterality: str
    view: str
    rows: int
    columns: int
    findings: list[FindingAnswer]


class FindingsAnswer(BaseModel):
    """Where the latest scoring of an exam saw something, image by image."""

    exam: str
    request: str | None = None
    release: str
    views: list[ViewFindings]
    intended_use: str = INTENDED_USE


class Problem(BaseModel):
    """Why a request was refused (RFC 9457), with a stable code."""

    type: str = Field(examples=["urn:mammo:error:NOTHING_READABLE"])
    title: str
    status: int
    code: str
    detail: str
    refused: list[RefusedFile] | RefusedRelease | None = None


class Job(BaseModel):
    """An exam that is scored while nobody waits; ``exam`` is there when it is done."""

    id: str
    status: JobStatus
    exam: ScoredExam | None = None
    problem: Problem | None = Field(default=None, description="why it failed")
    links: dict[str, str] = Field(
        default={}, examples=[{"self": "/v1/jobs/0123456789abcdef0123456789abcdef"}]
    )

    @property
    def is_over(self) -> bool:
        """True when nothing more will change."""
        return self.status in ("done", "failed")


def split_codes(joined: str | None) -> list[str]:
    """Return the codes of a column of the log; none of a null one."""
    return [code for code in (joined or "").split("|") if code]


def known_codes(joined: str | None) -> list[str] | None:
    """Return the codes of a column of the log; None of a null one: they are not known."""
    return None if joined is None else split_codes(joined)


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
