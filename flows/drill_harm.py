"""Acts of the drill that are no drift: releases that the gate must refuse, one that must go."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.demo import NEW_SCANNER, run_deployment
from flows.demo_stream import PhantomExam
from flows.drill_checks import Claim, all_answered, came_back
from flows.drill_course import in_service
from flows.drill_records import records_hold
from flows.drill_report import Finding
from flows.drill_scenarios import CONFIG, Scenario
from mammo.continual.approval import approve
from mammo.continual.derive import derive_release
from mammo.continual.judge import judge_release
from mammo.continual.planted import plant_failing
from mammo.exam import OperatingPoint
from mammo.models.config import read_config
from mammo.release import Release, find_release

if TYPE_CHECKING:
    from flows.drill_stage import Stage

WORSE = "planted_worse"
LEAKED = ["golden_fraction=0.02", "epochs=1"]
"""A golden set of its own, so that it learns from most of the patients that are sealed."""
TOO_SURE = 4.0
"""Factor on the slope of the calibration: same ranks, probabilities near 0 and 1."""
FAULTY = Scenario(
    "faulty_release", "a release that fails on a new scanner", (), 240, 40, 0, (NEW_SCANNER,)
)
MOST_SECONDS = 180.0
"""Exams are sent so long, if nobody takes the faulty release back."""


def drill_bad_releases(stage: Stage) -> Finding:
    """Make real releases that are bad in three ways; the gate has to refuse each, by name."""
    began = time.monotonic()
    told = {
        "worse": _train_worse(stage, _own_fractions())["gate"],
        "leaked": _train_worse(stage, LEAKED)["gate"],
        "over-confident": _judge_too_sure(stage),
    }
    claims = tuple(_is_refused(name, gate) for name, gate in told.items())
    figures = {
        name: {"failed": one["failed"], "ledger": one["ledger"]} for name, one in told.items()
    }
    return Finding(
        "bad_releases", "worse, leaked, over-confident", "refused by the gate",
        seconds=round(time.monotonic() - began, 1), claims=claims, figures=figures,
    )  # fmt: skip


def _is_refused(name: str, gate: dict[str, Any]) -> Claim:
    refused = not gate["passed"]
    why = ", ".join(gate["failed"]) if refused else "the gate passed it"
    return Claim(f"refuses {name}", refused, why)


def _own_fractions() -> list[str]:
    """Seal and hold out whom the release in service does: else it would be a leak."""
    own = read_config(CONFIG)
    return [f"{name}={getattr(own, name)}" for name in ("golden_fraction", "holdout_fraction")]


def _train_worse(stage: Stage, overrides: list[str]) -> dict[str, Any]:
    given = {"config": WORSE, "overrides": overrides}
    return run_deployment(stage.settings, "train/train", given, stage.recorder)


def _judge_too_sure(stage: Stage) -> dict[str, Any]:
    """Derive a release that is far too sure of itself, and bring it before the gate."""
    parent = find_release(stage.settings.releases_dir, stage.champion)
    points = {name: _surer(one) for name, one in Release.read(parent).operating_points.items()}
    release, _ = derive_release(
        parent,
        stage.settings.releases_dir,
        operating_points=points,
        metrics=Release.read(parent).metrics | {"planted": "over-confident"},
        keys_dir=stage.settings.keys_dir,
    )
    return judge_release(stage.settings, release.id).to_dict()


def _surer(point: OperatingPoint) -> OperatingPoint:
    return replace(point, scale=point.scale * TOO_SURE, offset=point.offset * TOO_SURE)


def drill_faulty_release(stage: Stage) -> Finding:
    """Promote a release that fails on a new scanner; the guard brings the old one back.

    Its graph is planted, its verdict is the gate's own: the golden set has no such scanner. A
    person (the drill) approves it, which takes it past shadow and canary.
    """
    began = time.monotonic()
    settings = stage.settings
    parent = find_release(settings.releases_dir, stage.champion)
    release, _ = plant_failing(settings, parent)
    gate = judge_release(settings, release.id).to_dict()
    claims = [Claim("passes the gate", gate["passed"], gate["summary"].partition("\n")[0])]
    figures: dict[str, Any] = {"planted": release.id}
    if gate["passed"]:
        exams = stage.studio.exams(FAULTY)
        approve(settings, release.id, reason="drill: to see it fail and be taken back")
        _promote(stage, release.id)
        more, figures = _take_back(stage, release.id, exams)
        claims += more
    claims.append(records_hold(settings))
    return Finding(
        "faulty_release", FAULTY.planted, "rolled back", figures.get("exams", 0),
        round(time.monotonic() - began, 1), claims=tuple(claims), figures=figures,
    )  # fmt: skip


def _promote(stage: Stage, release_id: str) -> None:
    run_deployment(stage.settings, "package/package", {"release_id": release_id}, stage.recorder)
    given = {"release_id": release_id, "reason": "manual"}
    run_deployment(stage.settings, "deploy/deploy", given, stage.recorder)


def _take_back(
    stage: Stage, release_id: str, exams: Sequence[PhantomExam]
) -> tuple[list[Claim], dict[str, Any]]:
    """Send exams that the release fails on, until the one before serves again."""
    settings, stream = stage.settings, stage.stream
    serves = in_service(settings)
    if serves != release_id:
        return [Claim("promoted", False, f"{serves} serves")], {}
    sent, failed, first = stream.sent, stream.failed, time.monotonic()
    for exam in itertools.cycle(exams):
        stream.send_one(exam)
        if in_service(settings) != release_id or time.monotonic() - first > MOST_SECONDS:
            break
    seconds = time.monotonic() - first
    answered = [one for one in stream.scored if one["release"] == release_id]
    figures = {
        "planted": release_id,
        "exams": stream.sent - sent,
        "answered_by_it": len(answered),
        "rollback_seconds": round(seconds, 1),
    }
    claims = [
        came_back(seconds, in_service(settings), stage.champion),
        all_answered(stream.sent - sent, stream.failed - failed),
    ]
    return claims, figures
