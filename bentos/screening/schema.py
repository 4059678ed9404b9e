"""What comes over the wire, as models; the OpenAPI document is made from them.

The models are the library's (:mod:`mammo.contract`), shared with the client; here
is what only the service knows of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bentos.screening.rollout import Rollout
from bentos.screening.workers import WorkerState
from mammo.contract import (
    PROBLEM,
    FindingsAnswer,
    HealthAnswer,
    Job,
    LoggedExam,
    OutcomeIn,
    OutcomesAnswer,
    Problem,
    ReadyAnswer,
    RefusedFile,
    RefusedRelease,
    ReleaseAnswer,
    ScoredExam,
    name_refused,
)

__all__ = [
    "PROBLEM",
    "AuditHead",
    "FindingsAnswer",
    "HealthAnswer",
    "Job",
    "LoggedExam",
    "OutcomeIn",
    "OutcomesAnswer",
    "Problem",
    "ReadyAnswer",
    "RefusedFile",
    "RefusedRelease",
    "ReleaseAnswer",
    "ScoredExam",
    "logged_exam",
    "name_refused",
    "problems",
    "release_answer",
]


class AuditHead(BaseModel):
    """The number and the hash of the audit log's last record; 0 when there is none."""

    seq: int
    hash: str


def logged_exam(row: Mapping[str, Any], answer: Mapping[str, Any] | None) -> LoggedExam:
    """Return the answer for a row of `PredictionLog.exam_report`.

    With ``answer``, what was answered then, where it is still kept.
    """
    more = dict(answer or {})
    return LoggedExam.of(dict(row), **more)


def release_answer(rollout: Rollout, workers: Sequence[WorkerState]) -> ReleaseAnswer:
    """Return what is said of the release in service. Raises NotReady."""
    current = rollout.require()
    manifest = current.release.to_dict()
    return ReleaseAnswer.model_validate(
        manifest
        | {
            "release": manifest["id"],
            "bento_tag": current.bento_tag,
            "previous": current.previous,
            "in_service_since": current.since,
            "familiarity_judged": current.screener.familiarity_judged,
            "refused": RefusedRelease.of(rollout.refused),
            "challenger": _challenger(rollout),
            "workers": [_worker(one) for one in workers],
        }
    )


def _challenger(rollout: Rollout) -> dict[str, Any] | None:
    tried, refused = rollout.challenger, RefusedRelease.of(rollout.challenger_refused)
    if tried is None:
        return None if refused is None else {"release": refused.release, "refused": refused}
    return {
        "release": tried.release.id,
        "bento_tag": tried.bento_tag,
        "stage": tried.stage,
        "percent": tried.percent,
        "since": tried.since,
    }


def _worker(state: WorkerState) -> dict[str, Any]:
    refused = state.refused or state.challenger_refused or {}
    return {
        "pid": state.pid,
        "release": state.release,
        "challenger": (state.challenger or {}).get("release"),
        "refused": refused.get("code"),
        "at": state.at or None,
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that are refusals, for its OpenAPI entry."""
    return {
        status: {"model": Problem, "description": PROBLEM_TITLES[status]} for status in statuses
    }


PROBLEM_TITLES = {
    400: "The request is empty or malformed.",
    404: "Nothing is known under this id.",
    408: "The body came too slowly.",
    409: "The same Idempotency-Key came with other files.",
    413: "A file or the request is above its limit.",
    415: "The body is of a kind that is not taken.",
    422: "The files or the outcome cannot be used; the code says why.",
    503: "No release is in service, the log is away, or too many exams wait; see Retry-After.",
    504: "The exam was not scored in time.",
    507: "The prediction cannot be kept: the disk is full. Nothing was answered.",
}
