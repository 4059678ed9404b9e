"""The reconcile flow: every ten minutes, bring what was begun to its end, once.

Events get lost, workers and servers are killed, deployments end before their record. Each
step here looks at what is there (the log, the pointer, Prefect's runs) and does what is
missing under a key that the database or the server keeps once, so that it may run at any
time, twice or beside the monitor. It also starts retraining when enough exams with an
outcome have come since the newest network was trained.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client

from bentos.screening.finishing import finish_move
from flows import approve, flow_runs
from flows.flow_runs import RETRAIN
from flows.retries import unforeseen
from mammo.continual import mend
from mammo.continual.fresh_labels import FreshLabels, fresh_labels
from mammo.continual.unfinished import unfinished
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings, read_settings
from monitoring.config import MonitorConfig
from monitoring.episodes import ACTING, OPEN
from monitoring.policy import read_policy

LABELS = "labels"
"""The reason of a retraining that new outcomes have started."""
again = task(retries=2, retry_delay_seconds=10, retry_condition_fn=unforeseen)


@again
def crash_dead(settings: Settings) -> list[str]:
    """Mark runs whose process is gone."""
    return flow_runs.crash_dead(settings)


@again
def free_abandoned(settings: Settings) -> list[str]:
    """Give back episodes whose run crashed or failed; return the keys of those given back."""
    return flow_runs.free_abandoned(settings)


@again
def start_lost(settings: Settings) -> list[str]:
    """Start a run for each open episode whose event led to none; return their keys."""
    return flow_runs.start_lost(settings)


@again
def start_unfinished(settings: Settings) -> str | None:
    """Go on with a retraining without an episode whose run died; return the new run's id."""
    if unfinished(settings) is None or is_busy(settings):
        return None
    return flow_runs.start_unfinished(settings)


@again
def start_on_labels(settings: Settings) -> dict[str, Any] | None:
    """Start retraining when enough exams with an outcome are new; return what is there."""
    fresh = fresh_labels(settings)
    if fresh is None:
        return None
    started = are_enough(fresh, read_policy(settings)) and not is_busy(settings)
    return fresh.to_dict() | {"started": _start(settings, fresh) if started else None}


def are_enough(fresh: FreshLabels, policy: MonitorConfig) -> bool:
    """Say whether exams and cancers with an outcome reach what the policy asks for."""
    return fresh.exams >= policy.retrain_exams and fresh.cancers >= policy.retrain_cancers


def is_busy(settings: Settings) -> bool:
    """Say whether a retraining runs or waits, or an episode will start one: one at a time.

    Also while a release is on trial: the next would take its place, and its exams be lost.
    """
    if mend.on_trial(settings) is not None or any(
        one["status"] == ACTING or (one["status"] == OPEN and "retrain" in one["action"])
        for one in PredictionLog(settings.log_url).create().episodes()
    ):
        return True
    with get_client(sync_client=True) as client:
        return bool(flow_runs.under_way(client, RETRAIN))


def _start(settings: Settings, fresh: FreshLabels) -> str | None:
    """Start a run; outcomes that three failed on, or a person cancelled, wait until they grow."""
    grown = fresh.exams // read_policy(settings).retrain_exams
    key = f"{LABELS}:{fresh.newest}:{grown}"
    with get_client(sync_client=True) as client:
        given = {"reason": LABELS, "work": key}
        run = flow_runs.start_once(client, RETRAIN, key, given)
    return None if run is None else str(run)


@again
def finish_deployment(settings: Settings) -> dict[str, Any] | None:
    """End a deployment that was killed before its record; None where there is none."""
    report = finish_move(settings)
    return None if report is None else report.to_dict()


@again
def begin_approved(settings: Settings) -> dict[str, str]:
    """Begin the rollout of approved releases whose run died while it waited; tell of each."""
    from flows.package import package

    return approve.begin_approved(settings, package)


@task
def explain(done: dict[str, Any]) -> None:
    """Leave what was brought to an end in the Prefect UI; nothing where nothing was."""
    done = done | {"approved_releases": _tell_each(done.get("approved_releases") or {})}
    lines = [f"- {name.replace('_', ' ')}: {told}" for name, told in done.items() if told]
    if lines:
        create_markdown_artifact(
            key="reconcile",
            markdown="\n".join(["## Brought to an end", *lines]),
            description="What was begun and had not ended",
        )


def _tell_each(became: dict[str, str]) -> str:
    return "; ".join(f"{name} {what}" for name, what in became.items())


@flow(name="reconcile", persist_result=True, result_serializer="json")
def reconcile() -> dict[str, Any]:
    """Free, start and finish what was left over; return what was done.

    A deployment that cannot be ended keeps no other step from being done; the run fails then.
    """
    settings = read_settings()
    done: dict[str, Any] = {
        "crashed_runs": crash_dead(settings),
        "freed_episodes": free_abandoned(settings),
        "started_episodes": start_lost(settings),
    }
    # before the steps that ask what was on trial: a worker may have refused to begin it
    finished = finish_deployment(settings, return_state=True)  # it needs the service
    ended = finished.result(raise_on_failure=False)
    done["finished_deployment"] = str(ended) if isinstance(ended, Exception) else ended
    done["unfinished_retraining"] = start_unfinished(settings)
    done["new_labels"] = start_on_labels(settings)
    done["approved_releases"] = begin_approved(settings)
    explain(done)
    finished.result()
    return done
