"""Follows an episode of a drill through the whole retraining, and measures what it won."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flows.demo import PATIENCE_SECONDS, SECONDS_PER_EXAM, SECONDS_PER_REPEAT, run_deployment
from flows.demo_stream import Background, PhantomExam
from flows.drill_checks import Claim, has_recovered, is_on_target
from flows.drill_course import POLL_SECONDS, Course, Followed, exams_of, in_service
from flows.drill_material import unseen_set
from flows.drill_scenarios import TRAINING, Scenario
from flows.follow import follow_run, start_run
from mammo.continual.recovery import Recovery, measure_recovery
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import find_release

if TYPE_CHECKING:
    from flows.drill_stage import Stage

TEST_EXAMS = 120
"""Exams of known scanners, and of the new one, of which no release learns."""
TEST_SEEDS = (211, 213)
GUARD_SECONDS = 60.0
"""The guard has so long to move a release on after the last exam."""
SHADOW_SECONDS, SHADOW_POLL_SECONDS = 5.0, 0.2


def retrain(
    stage: Stage, course: Course, scenario: Scenario, exams: Sequence[PhantomExam]
) -> Followed:
    """Follow the whole way: the run, its candidates, the gate, the rollout.

    Where the episode is of one scanner, its exams go on coming meanwhile, and what was won
    is measured.
    """
    course.tell_again()
    again = start_run(stage.settings, "retrain/retrain", {"episode_key": course.key})
    if not scenario.after:
        episode = course.wait_until_closed()
        return _judged(stage, course, episode, again)
    tests = _order_tests(stage, scenario)
    coming, after = exams[: -scenario.after], exams[-scenario.after :]
    with Background(stage.stream, coming, SECONDS_PER_EXAM, SECONDS_PER_REPEAT):
        episode = course.wait_until_closed()
        set_from = exams_of(stage.stream, course.scanner, len(stage.stream.scored))
    claims, figures = _judged(stage, course, episode, again)
    chosen = figures["chosen"]
    if chosen is None:
        return claims, figures
    claims.append(_led_into_service(stage, chosen, after))
    found = _measure(stage, course, chosen, tests)
    point = found.to_dict()["recall"]
    target = found.target or 0.0
    claims += [*has_recovered(found), is_on_target("recall rate", point, target, set_from)]
    return claims, figures | {"recovery": found.to_dict()}


def _judged(stage: Stage, course: Course, episode: dict[str, Any], again: Any) -> Followed:
    """Say what the gate said, and that nobody acted twice."""
    follow_run(stage.settings, again, timeout=PATIENCE_SECONDS)
    result = (episode["evidence"] or {}).get("result") or {}
    decisions = result.get("decisions") or []
    refused = {one["release"]: one["failed"] for one in decisions if not one["passed"]}
    chosen = result.get("chosen")
    text = f"chose {chosen or 'none: what serves stays'}"
    text += f" ({why})" if (why := (result.get("choice") or {}).get("text")) else ""
    text += "".join(f"; refused {name}: {', '.join(why)}" for name, why in refused.items())
    figures = {"chosen": chosen, "refused": refused, "approved": course.approved}
    return [course.once(), Claim("gate", bool(decisions), text)], figures


def _led_into_service(stage: Stage, chosen: str, exams: Sequence[PhantomExam]) -> Claim:
    """Send exams until the guard has led the release through its stages, or none is left."""
    began, sent = time.monotonic(), 0
    for exam in exams:
        if _is_settled(stage, chosen):
            break
        shadowed = _shadowed(stage, chosen)
        stage.stream.send_one(exam)
        stage.stream.post_due_outcomes()
        sent += 1
        _await_shadow(stage, chosen, shadowed)
    deadline = time.monotonic() + GUARD_SECONDS
    while _is_on_trial(stage, chosen) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    serves = in_service(stage.settings)
    text = f"{serves} serves after {sent} exams and {time.monotonic() - began:.0f} s"
    return Claim("rollout", serves == chosen, text)


def _shadowed(stage: Stage, chosen: str) -> int:
    log = PredictionLog(stage.settings.log_url)
    return len(log.scored_exams(chosen, role="shadow"))


def _await_shadow(stage: Stage, chosen: str, before: int) -> None:
    """Wait until a release in shadow has scored one exam more.

    A shadow works at low priority and drops what finds its queue full: a programme's exams
    come minutes apart, a drill's would outrun it.
    """
    deadline = time.monotonic() + SHADOW_SECONDS
    while _is_in_shadow(stage, chosen) and time.monotonic() < deadline:
        if _shadowed(stage, chosen) > before:
            break
        time.sleep(SHADOW_POLL_SECONDS)


def _is_in_shadow(stage: Stage, chosen: str) -> bool:
    challenger = (read_pointer(stage.settings.pointer_path) or {}).get("challenger") or {}
    return challenger.get("release_id") == chosen and challenger.get("stage") == "shadow"


def _is_settled(stage: Stage, chosen: str) -> bool:
    pointer = read_pointer(stage.settings.pointer_path) or {}
    return pointer.get("release_id") == chosen and not pointer.get("probation")


def _is_on_trial(stage: Stage, chosen: str) -> bool:
    challenger = (read_pointer(stage.settings.pointer_path) or {}).get("challenger") or {}
    return challenger.get("release_id") == chosen


def _order_tests(stage: Stage, scenario: Scenario) -> tuple[Scenario, Scenario]:
    known, new = TEST_SEEDS
    tests = (unseen_set(TRAINING, TEST_EXAMS, known), unseen_set(scenario, TEST_EXAMS, new))
    for one in tests:
        stage.studio.order(one)
    return tests


def _measure(
    stage: Stage, course: Course, chosen: str, tests: tuple[Scenario, Scenario]
) -> Recovery:
    """Ingest exams that no release has learnt from, and compare the releases on them."""
    for one in tests:
        given = {"source": "rsna", "directory": str(stage.studio.folder(one))}
        run_deployment(stage.settings, "ingest/ingest", given, stage.recorder)
    releases = stage.settings.releases_dir
    before, after = (find_release(releases, one) for one in (stage.champion, chosen))
    return measure_recovery(stage.settings, before, after, course.scanner)
