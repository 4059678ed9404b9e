"""Verdicts and approvals in the log's books, as the gate and a person leave them."""

from __future__ import annotations

from typing import Any

from mammo.changes.plan import GATE_CLAUSES
from mammo.prediction_log import PredictionLog
from mammo.release import Release
from mammo.settings import Settings


def decided(
    *, passed: bool = True, judged: tuple[str, ...] = GATE_CLAUSES, approval: str | None = None
) -> dict[str, Any]:
    """What a `GateDecision` is as plain data; every clause of ``judged`` counts."""
    clauses = [
        {
            "name": name,
            "passed": passed,
            "required": name in judged,
            "value": 0.01,
            "low": -0.01,
            "high": 0.03,
            "limit": -0.03,
            "text": f"{name} was judged.",
            "state": "passed" if passed else "failed",
        }
        for name in GATE_CLAUSES
    ]
    return {
        "passed": passed,
        "release": "r",
        "against": None,
        "failed": [] if passed else list(judged),
        "clauses": clauses,
        "power": {"probability": 0.9},
        "alpha": 0.025,
        "ledger": {"number": 1, "alpha": 0.025, "left": 0.175},
        "forgetting": {},
        "approval": approval,
        "summary": "told",
    }


def judge(
    settings: Settings,
    release_id: str,
    digest: str,
    *,
    key: str | None = None,
    champion: str | None = None,
    **decision: Any,
) -> None:
    """Write a settled gate of the release with this digest; it passed unless said."""
    log = PredictionLog(settings.log_url).create()
    name = key or f"gate of {release_id}"
    spent = {"account": 1, "alpha": 0.025, "golden_patients": ["P-9"]}
    log.open_gate(
        name,
        lambda _: spent,
        golden="g" * 64,
        challenger=release_id,
        challenger_digest=digest,
        champion=champion,
    )
    said = decided(**decision)
    log.settle_gate(name, passed=said["passed"], decision=said)


def approve(settings: Settings, release_id: str, digest: str, by: str = "dr-k") -> None:
    """Write a person's approval."""
    log = PredictionLog(settings.log_url).create()
    log.add_approval(digest, release_id=release_id, by=by, roles="approve", reason="read it")


def permit(settings: Settings, release: Release) -> None:
    """Let the gate pass a release and a person approve it, so that it may go anywhere."""
    judge(settings, release.id, release.digest)
    approve(settings, release.id, release.digest)
