"""Which moves the plan, the gate's books and a person permit, and what a refusal asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bentos.screening.change_record import Why
from bentos.screening.permission import Permit, require_permitted
from mammo.changes.plan_file import PLAN_FILE
from mammo.errors import (
    ApprovalNeeded,
    ChangeNotCovered,
    GateRefused,
    NotJudged,
    PlanInvalid,
)
from mammo.exam import OperatingPoint
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import Release, write_json
from mammo.settings import Settings
from tests.bentos.conftest import make_release
from tests.bentos.judging import approve, judge

GE, AURORA = OperatingPoint("ge", 1.0, 0.0, 0.4, 0.1), OperatingPoint("aurora", 1.0, 0.0, 0.3, 0.1)
CHAMPION = make_release("r-1")
FIRST = ("golden_auc_above_chance", "latency", "infrastructure")


def write(settings: Settings, release: Release) -> Path:
    directory = settings.releases_dir / release.id
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "manifest.json", release.to_dict())
    return directory


def place(settings: Settings, release: Release) -> dict[str, Any]:
    directory = write(settings, release)
    tag = f"screening:{release.id}"
    return {"release_id": release.id, "bento_tag": tag, "release_dir": str(directory)}


def serve(settings: Settings, release: Release, challenger: Release | None = None) -> None:
    beside = None if challenger is None else {**place(settings, challenger), "stage": "canary"}
    pointer = {**place(settings, release), "previous": None, "changed_at": "t"}
    write_pointer(settings.pointer_path, pointer | {"challenger": beside})


def ask(settings: Settings, release: Release, stage: str = "champion", **why: Any) -> Permit:
    return require_permitted(settings, write(settings, release), stage, Why(**why))


def made(kind: str, **other: Any) -> Release:
    return replace(make_release("r-2", kind=kind), **other)


RECALIBRATED = made("recalibrated", operating_points=CHAMPION.operating_points | {"ge": GE})
BY_OUTCOMES = replace(RECALIBRATED, metrics={"calibrated_on_outcomes": {"scanner": "ge"}})
ALIGNED_AGAIN = replace(RECALIBRATED, metrics=BY_OUTCOMES.metrics | {"aligned": {"ge": {}}})


@pytest.mark.parametrize(
    ("release", "reason", "stage", "clauses", "stages"),
    [
        (RECALIBRATED, "recalibrate", "champion", ("C2", "C2"), 1),
        (RECALIBRATED, "drift", "champion", ("C2", "C2"), 1),
        (BY_OUTCOMES, "drift", "champion", ("C3", "C3"), 1),
        (ALIGNED_AGAIN, "drift", "champion", ("C2", "C2"), 1),
        (made("recalibrated"), "refine", "champion", ("C4", "C4"), 1),
        (RECALIBRATED, "refine", "champion", ("C4", "C4"), 1),
        (made("fine_tuned"), "drift", "shadow", ("C9", "C5"), 3),
        (made("fine_tuned"), "new scanner", "canary", ("C10", "C5"), 3),
        (made("fine_tuned"), "labels", "rollout", ("C9", "C5"), 3),
        (made("trained"), "schedule", "rollout", ("C9", "C6"), 3),
        (made("exported"), "manual", "rollout", ("C9", "C7"), 3),
        (CHAMPION, "drift", "champion", ("C8", "C8"), 1),
    ],
)
def test_clause_that_permits(
    settings: Settings,
    tmp_path: Path,
    release: Release,
    reason: str,
    stage: str,
    clauses: tuple[str, str],
    stages: int,
) -> None:
    serve(settings, CHAMPION)
    judge(settings, release.id, release.digest)
    other = tmp_path / release.id  # as from another Bento
    other.mkdir()
    write_json(other / "manifest.json", release.to_dict())
    permit = require_permitted(settings, other, stage, Why(reason))
    assert (permit.clause, permit.of_release) == clauses
    assert len(permit.stages) == stages
    assert permit.granted(Why(reason)).clause == permit.to_dict()


def test_first_release(settings: Settings) -> None:
    judge(settings, "r-1", CHAMPION.digest, judged=FIRST)
    assert ask(settings, CHAMPION).clause == "C1"
    with pytest.raises(
        ChangeNotCovered, match="are about exported, fine_tuned, joined, recalibrated"
    ):
        ask(settings, RECALIBRATED)


def test_unjudged_refused_and_half_judged(settings: Settings) -> None:
    serve(settings, CHAMPION)
    release = made("fine_tuned")
    with pytest.raises(NotJudged, match=r"was never judged by the gate\. `mammo gate r-2`"):
        ask(settings, release, "shadow")
    judge(settings, "r-2", release.digest, key="1", judged=("golden_auc_non_inferior",))
    with pytest.raises(NotJudged, match=r"C5 .* gate's sensitivity_at_recall, calibration, lat"):
        ask(settings, release, "shadow")
    judge(settings, "r-2", release.digest, key="2")
    assert ask(settings, release, "shadow").gate == "2"
    judge(settings, "r-2", release.digest, key="3", passed=False, judged=("calibration",))
    with pytest.raises(GateRefused, match=r"r-2 was refused by the gate \(calibration\)"):
        ask(settings, release, "shadow")


def test_verdict_on_another_content_does_not_count(settings: Settings) -> None:
    serve(settings, CHAMPION)
    release = made("fine_tuned")
    judge(settings, "r-2", release.digest)
    with pytest.raises(NotJudged):
        ask(settings, replace(release, digest="0" * 64), "shadow")


def test_gate_without_power_asks_for_a_person(settings: Settings) -> None:
    serve(settings, CHAMPION)
    judge(settings, "r-2", RECALIBRATED.digest, approval="An equal one passes with 12%.")
    with pytest.raises(ApprovalNeeded, match=r"with 12%\. `mammo approve r-2 --reason"):
        ask(settings, RECALIBRATED)
    approve(settings, "r-2", RECALIBRATED.digest)
    permit = ask(settings, RECALIBRATED)
    assert (permit.clause, permit.approved_by) == ("C2", "dr-k")
    assert permit.text.endswith("approved by dr-k.")


def seen(release: str = "r-2", **verdicts: str) -> dict[str, Any]:
    """What the guard tells of a trial."""
    checks = [{"name": name, "verdict": verdict} for name, verdict in verdicts.items()]
    return {"guard": {"release": release, "checks": checks}}


CLEARED = seen(errors="cleared", latency="cleared")


@pytest.mark.parametrize(
    ("on_trial", "why", "approved", "clause"),
    [
        (True, {"reason": "rollout", "evidence": CLEARED, "by": "guard"}, False, "C11"),
        (True, {"reason": "rollout"}, False, None),
        (True, {"reason": "rollout", "evidence": {"note": "all is well"}}, False, None),
        (True, {"reason": "rollout", "evidence": seen()}, False, None),
        (True, {"reason": "rollout", "evidence": seen(errors="open")}, False, None),
        (True, {"reason": "rollout", "evidence": seen("r-9", errors="cleared")}, False, None),
        (True, {"reason": "manual", "evidence": CLEARED}, False, None),
        (True, {"reason": "manual"}, False, None),
        (True, {"reason": "manual"}, True, "C11"),
        (False, {"reason": "manual"}, True, "C5"),
        (False, {"reason": "manual"}, False, None),
    ],
)
def test_promotion_asks_for_the_trial_or_a_person(
    settings: Settings, on_trial: bool, why: dict[str, Any], approved: bool, clause: str | None
) -> None:
    release = made("fine_tuned")
    serve(settings, CHAMPION, release if on_trial else None)
    judge(settings, "r-2", release.digest)
    if approved:
        approve(settings, "r-2", release.digest)
    if clause is None:
        with pytest.raises(ApprovalNeeded, match="over shadow, canary, champion"):
            ask(settings, release, **why)
    else:
        assert ask(settings, release, **why).clause == clause


def test_evidence_without_a_trial_is_none(settings: Settings) -> None:
    release = made("fine_tuned")
    serve(settings, CHAMPION)
    judge(settings, "r-2", release.digest)
    with pytest.raises(ChangeNotCovered, match="its triggers are drift, schedule, labels, manual"):
        ask(settings, release, reason="rollout", evidence=CLEARED)


TWO = {"ge": GE, "aurora": AURORA}


@pytest.mark.parametrize(
    ("release", "words"),
    [
        (made("fine_tuned", target="density"), "its target is not that of r-1"),
        (made("trained", architecture="other"), "its architecture is not"),
        (made("exported", files={"weights.safetensors": "1"}), "its weights is not"),
        (replace(RECALIBRATED, files={"model.onnx": "1"}), "its network is not"),
        (
            replace(RECALIBRATED, operating_points=CHAMPION.operating_points | TWO),
            "operating points of aurora, ge, and one scanner's is allowed; derive it from r-1",
        ),
        (
            made("distilled"),
            "clauses for release are about exported, fine_tuned, joined, recalibrated",
        ),
    ],
)
def test_change_that_no_clause_covers(settings: Settings, release: Release, words: str) -> None:
    serve(settings, CHAMPION)
    judge(settings, "r-2", release.digest)
    approve(settings, "r-2", release.digest)
    with pytest.raises(ChangeNotCovered) as caught:
        ask(settings, release)
    assert words in str(caught.value)
    assert "change_control_plan.yaml in the home" in str(caught.value)


def test_intended_use_may_not_change_under_a_running_service(settings: Settings) -> None:
    serve(settings, CHAMPION)
    judge(settings, "r-2", RECALIBRATED.digest)
    before = ask(settings, RECALIBRATED)
    PredictionLog(settings.log_url).add_change("r-1", {"clause": before.to_dict()})
    assert ask(settings, RECALIBRATED) == before
    (settings.home / PLAN_FILE).write_text("intended_use: Decides alone.\n")
    with pytest.raises(ChangeNotCovered, match="intended use is another than when the last"):
        ask(settings, RECALIBRATED)


def test_the_way_back_is_never_closed(settings: Settings) -> None:
    (settings.home).mkdir(parents=True)
    (settings.home / PLAN_FILE).write_text("clauses: {C5: {stage: [champion]}}\n")
    for why in ({"reason": "harm", "by": "guard"}, {"reason": "rollback"}, {"reason": "so"}):
        directory = write(settings, CHAMPION)
        back = require_permitted(settings, directory, "champion", Why(**why), rollback=True)
        assert back.clause == "C12"
        assert ask(settings, CHAMPION, "stopped", **why).clause == "C13"
    told = r"stage \(did you mean stages\?\)"
    with pytest.raises(PlanInvalid, match=told):
        ask(settings, CHAMPION)


def test_plan_of_the_home_permits_more_or_less(settings: Settings) -> None:
    serve(settings, CHAMPION)
    release = made("fine_tuned")
    judge(settings, "r-2", release.digest)
    (settings.home / PLAN_FILE).write_text("clauses: {C5: {stages: [champion]}}\n")
    assert ask(settings, release).clause == "C5"
    (settings.home / PLAN_FILE).write_text("clauses: {C5: {approval: always}}\n")
    with pytest.raises(ApprovalNeeded, match="clause C5 of the change-control plan always asks"):
        ask(settings, release, "shadow")


def test_deployment_run_again_is_permitted_by_what_permitted_it(settings: Settings) -> None:
    release = made("fine_tuned")
    pointer = {**place(settings, release), "previous": None, "changed_at": "t"}
    why: dict[str, Any] = {"reason": "rollout", "evidence": CLEARED}
    said = Permit("C11", "so", ("shadow", "canary", "champion")).to_dict()
    moved = {**place(settings, release), "stage": "champion", "at": "t", "clause": said}
    write_pointer(settings.pointer_path, pointer | {"moved": moved})
    permit = ask(settings, release, **why)
    assert (permit.clause, permit.stages) == ("C11", ("shadow", "canary", "champion"))
