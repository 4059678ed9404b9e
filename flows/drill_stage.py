"""One scenario of a drill: forget what was, plant, look until it is named, follow, judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.demo import run_deployment
from flows.demo_report import Recorder
from flows.demo_stream import PhantomExam, Stream
from flows.drill_checks import all_answered, has_pages, is_named
from flows.drill_course import Course, Followed, only_taken_on, recalibrate
from flows.drill_log import let_time_pass
from flows.drill_material import Studio
from flows.drill_records import records_hold
from flows.drill_report import Finding, pages_of
from flows.drill_reset import forget, set_automation
from flows.drill_retrain import retrain
from flows.drill_scenarios import Scenario
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

VERSION = "software_version"
CHUNK_EXAMS = 30
"""Exams between two looks of the monitor."""
MATURE_DAYS = 800
"""Past two years, so that outcomes of every maturity are there."""


@dataclass
class Stage:
    """The live stack that every scenario is played on; ``champion`` is its first release."""

    settings: Settings
    directory: Path
    recorder: Recorder
    stream: Stream
    studio: Studio
    champion: str


def play(stage: Stage, scenario: Scenario, coming: Scenario | None = None) -> Finding:
    """Play a scenario and judge it; the phantoms of the one that is ``coming`` are drawn."""
    began = time.monotonic()
    forget(stage, scenario.name)
    set_automation(stage.settings, on=scenario.course != "watch")
    exams = stage.studio.exams(scenario)
    if coming is not None:
        stage.studio.order(coming)
    sent, failed = stage.stream.sent, stage.stream.failed
    watched = exams[: scenario.exams]
    count, opened = watch(stage, scenario, watched)
    evidence, evidently = pages_of(opened, stage.settings)
    claims = [is_named(scenario, opened)]
    if scenario.causes:
        inputs = not scenario.outcomes and {one["cause"] for one in opened} != {VERSION}
        claims.append(has_pages(evidence, evidently, by_inputs=inputs))
    figures: dict[str, Any] = {}
    acting = [one for one in opened if "retrain" in one["action"]]
    if scenario.course != "watch" and acting and claims[0].holds:
        course = Course(stage.settings, stage.recorder, stage.stream, acting[0], stage.champion)
        more, figures = _follow(scenario, course)(stage, course, scenario, exams[count:])
        claims += more
    claims.append(all_answered(stage.stream.sent - sent, stage.stream.failed - failed))
    claims.append(records_hold(stage.settings))
    return Finding.of(
        scenario, count, opened, claims, (*evidence, *evidently), figures, began
    )  # fmt: skip


def _follow(scenario: Scenario, course: Course) -> Callable[..., Followed]:
    """Choose what to follow: where triage asked for candidates alone, no point is set at once."""
    if scenario.course == "retrain":
        return retrain
    sets_point = course.episode["action"] == "recalibrate_and_retrain"
    return recalibrate if sets_point else only_taken_on


def watch(
    stage: Stage, scenario: Scenario, exams: Sequence[PhantomExam]
) -> tuple[int, list[dict[str, Any]]]:
    """Send exams until all that has to be named was, or all were sent; what was opened."""
    log, sent = PredictionLog(stage.settings.log_url), 0
    opened: list[dict[str, Any]] = []
    at_once = scenario.at_once or scenario.outcomes
    while sent < len(exams) and not _is_over(scenario, opened):
        chunk = exams[sent : None if at_once else sent + CHUNK_EXAMS]
        for exam in chunk:
            stage.stream.send_one(exam)
        sent += len(chunk)
        if scenario.outcomes:
            stage.stream.post_remaining_outcomes()
            let_time_pass(stage.settings.log_url, MATURE_DAYS, scenario.outcome_days)
        run_deployment(stage.settings, "monitor/monitor", {}, stage.recorder)
        opened = log.episodes()
    return sent, opened


def _is_over(scenario: Scenario, opened: Sequence[dict[str, Any]]) -> bool:
    """True when all was named, or something acts that ends it; a mere note is waited out."""
    named = scenario.causes and is_named(scenario, opened).holds
    return bool(named) or any(one["action"] not in ("note", "ask") for one in opened)
