"""Follows what the loop does about an episode of a drill: the run, the release, its way."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from flows.automations import emit_episode
from flows.demo import PATIENCE_SECONDS, run_deployment
from flows.demo_report import Recorder
from flows.demo_stream import PhantomExam, Stream
from flows.drill_checks import Claim, acted_once, came_back, recalls_on_target
from flows.follow import run_has_failed
from flows.stack_state import end_processes, find_processes, read_state
from mammo.errors import FlowRunFailed, StackUnhealthy
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from flows.drill_scenarios import Scenario
    from flows.drill_stage import Stage

Followed = tuple[list[Claim], dict[str, Any]]
"""What was claimed of what came of an episode, and figures beside."""
RETRAIN = "retrain/retrain"
DUPLICATES = 3
"""Times that an episode's event is sent again."""
POLL_SECONDS = 1.0


@dataclass
class Course:
    """One episode that acts, from its event to what is in service because of it."""

    settings: Settings
    recorder: Recorder
    stream: Stream
    episode: dict[str, Any]
    champion: str
    approved: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Key of the episode."""
        return str(self.episode["key"])

    @property
    def scanner(self) -> str:
        """The scanner that the episode is of; empty where it is of more than one."""
        episode = PredictionLog(self.settings.log_url).episode(self.key) or {}
        return str((episode.get("evidence") or {}).get("scanner") or "")

    def tell_again(self) -> None:
        """Send the episode's event again and again, as a network that stutters would."""
        for _ in range(DUPLICATES):
            emit_episode(self.episode)

    def wait_for_point(self, exams: Iterator[PhantomExam]) -> str:
        """Send exams until another release answers; return its id."""
        for exam in exams:
            if (served := in_service(self.settings)) != self.champion:
                return served
            self.stream.send_one(exam)
        for _ in patiently("set the operating point"):
            self._require_going()
            if (served := in_service(self.settings)) != self.champion:
                return served
        raise AssertionError("never ends by itself")

    def wait_until_closed(self) -> dict[str, Any]:
        """Return the episode when its run has closed it; a person's approval is given."""
        log, last = PredictionLog(self.settings.log_url), self.champion
        for _ in patiently("close the episode"):
            self._require_going()
            self._approve()
            served = in_service(self.settings)
            if served != last:
                self.recorder.swap(read_pointer(self.settings.pointer_path))
                last = served
            episode = log.episode(self.key)
            if episode is not None and episode["status"] == "closed":
                return episode
        raise AssertionError("never ends by itself")

    def wait_for(self, is_so: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait until the pointer is as ``is_so`` says."""
        for _ in patiently(what):
            if is_so(read_pointer(self.settings.pointer_path) or {}):
                return

    def once(self) -> Claim:
        """Say whether exactly one run acted on the episode, once those told after it have ended.

        While the run that acts still waits for outcomes, the others wait for it.
        """
        episode = PredictionLog(self.settings.log_url).episode(self.key) or {}
        closed = episode.get("status") == "closed"
        for _ in patiently("end the runs that were asked again"):
            runs = runs_of(self.settings, self.key)
            if not closed or all(run.state and run.state.is_final() for run in runs):
                break
        told = [{"id": run.id, "skipped": _skipped(run)} for run in runs]
        return acted_once([episode] if episode else [], {self.key: told})

    def _require_going(self) -> None:
        episode = PredictionLog(self.settings.log_url).episode(self.key) or {}
        run_id = episode.get("flow_run_id")
        if run_id and (told := run_has_failed(self.settings, run_id)):
            raise FlowRunFailed(f"Episode {self.key} is not answered: {told}")

    def _approve(self) -> None:
        """Approve what the run waits for: a drill's approver is the drill, and says so."""
        os.environ.update(self.settings.child_environment())  # before Prefect reads its address
        from flows.approve import approve_release, waiting_releases

        for name in waiting_releases(self.settings):
            told = approve_release(self.settings, name, "drill: phantoms, nobody is read")
            self.recorder.say(f"  approved {name}: {told['asked_because']}")
            self.approved.append(name)


def recalibrate(
    stage: Stage, course: Course, scenario: Scenario, exams: Sequence[PhantomExam]
) -> Followed:
    """Follow the first step alone: the point in service, its recall rate, and the way back.

    The run then waits for outcomes, which nobody tells here; the drill ends it.
    """
    course.tell_again()
    coming = iter(exams)
    served = course.wait_for_point(itertools.islice(coming, max(0, len(exams) - scenario.after)))
    began = len(stage.stream.scored)
    for exam in coming:
        stage.stream.send_one(exam)
    scanner = course.scanner
    changed = [one for one in stage.stream.scored[began:] if one["scanner"] == scanner]
    target, set_from = point_target(stage.settings, scanner), exams_of(stage.stream, scanner, began)
    rate = recalls_on_target("recall rate", changed, target, set_from)
    once = course.once()
    end_all_runs(stage.settings)
    seconds = _roll_back(course)
    back = came_back(seconds, in_service(stage.settings), stage.champion)
    return [once, rate, back], {"recalibrated": served, "rollback_seconds": round(seconds, 1)}


def only_taken_on(
    stage: Stage, course: Course, scenario: Scenario, exams: Sequence[PhantomExam]
) -> Followed:
    """Follow an episode that retrains by outcomes alone: a run takes it on, and waits."""
    course.tell_again()
    log = PredictionLog(stage.settings.log_url)
    for _ in patiently("take the episode on"):
        if (log.episode(course.key) or {}).get("status") == "acting":
            break
    once = course.once()
    end_all_runs(stage.settings)
    return [once], {"point": "none: a change that is less sure waits for outcomes"}


def _roll_back(course: Course) -> float:
    began = time.monotonic()
    run_deployment(course.settings, "deploy/deploy", {"rollback": True}, course.recorder)
    return time.monotonic() - began


def in_service(settings: Settings) -> str:
    """Return the release in service; raises StackUnhealthy without one."""
    pointer = read_pointer(settings.pointer_path)
    if pointer is None:
        raise StackUnhealthy("No release is in service any more.")
    return str(pointer["release_id"])


def exams_of(stream: Stream, scanner: str, until: int) -> int:
    """Return how many of the first ``until`` answered exams are of a scanner."""
    return sum(one["scanner"] == scanner for one in stream.scored[:until])


def point_target(settings: Settings, scanner: str) -> float:
    """Return the recall rate at which the operating point of a scanner aims."""
    from mammo.release import Release, find_release

    release = Release.read(find_release(settings.releases_dir, in_service(settings)))
    return float(release.operating_point(scanner).target_recall_rate)


def runs_of(settings: Settings, key: str) -> list[FlowRun]:
    """Return the retraining runs that were asked to act on an episode."""
    return [run for run in _runs(settings) if run.parameters.get("episode_key") == key]


def _runs(settings: Settings) -> list[FlowRun]:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    with client_of(settings) as client:
        found = client.read_deployment_by_name(RETRAIN)
        return client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
        )


def client_of(settings: Settings) -> SyncPrefectClient:
    """Return a client of the stack's Prefect, which this process may not have met before."""
    os.environ.update(settings.child_environment())
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def _skipped(run: FlowRun) -> bool:
    """Whether the run found its episode taken, or has not begun: it waits for the one at work."""
    if run.state is None or run.state.is_scheduled() or run.state.is_pending():
        return True
    if not run.state.is_completed():
        return False
    result: Any = run.state.result(raise_on_failure=False)
    return isinstance(result, dict) and "skipped" in result


def end_all_runs(settings: Settings) -> None:
    """Close what a run acts on and cancel it: it waits for outcomes that nobody will tell."""
    from prefect.states import Cancelled

    log = PredictionLog(settings.log_url)
    for one in log.episodes("acting"):
        log.update_episode(one["key"], status="closed")
    for run in _runs(settings):
        if _is_under_way(run):
            with client_of(settings) as client:
                client.set_flow_run_state(run.id, Cancelled(), force=True)
            _end_process(settings, str(run.id))


def _end_process(settings: Settings, run_id: str) -> None:
    """End the process of a flow run; the word Cancelled alone lets it sleep on."""
    state = read_state(settings.home)
    workers = find_processes(state.token, "worker") if state else []
    end_processes([one for one in workers if _runs_flow(one, run_id)])


def _runs_flow(process: psutil.Process, run_id: str) -> bool:
    try:
        return bool(process.environ().get("PREFECT__FLOW_RUN_ID") == run_id)
    except psutil.Error:  # it ended while we looked
        return False


def _is_under_way(run: FlowRun) -> bool:
    """Whether a run goes on, or was asked for; not one that a schedule will start."""
    if run.state is None or run.state.is_final():
        return False
    return not (run.state.is_scheduled() and run.auto_scheduled)


def patiently(what: str) -> Iterator[None]:
    """Yield once a second; raises StackUnhealthy when the patience has ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)
    raise StackUnhealthy(f"It took too long to {what}: see the runs in the Prefect UI.")
