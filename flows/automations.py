"""The automation that starts the retraining flow from a drift event, and the event.

A confirmed episode is emitted as ``mammo.drift.confirmed`` about the resource
``mammo.episode.<key>``. The trigger is reactive with one bucket per episode:
repeated events of an episode within the window start one run, and the flow
itself refuses a second action for an episode that is no longer open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.events.schemas.automations import AutomationCore

EVENT = "mammo.drift.confirmed"
AUTOMATION = "Retrain on confirmed drift"
ACTING = ("recalibrate_and_retrain", "retrain")
"""The actions of an episode that call for the retraining flow."""
WINDOW = timedelta(seconds=60)
LOST_AFTER = timedelta(minutes=2)
"""Longer than the window and than an event takes: its run is not started a second time."""


def episode_event(episode: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `emit_event` for one episode (no ids of exams in it)."""
    facts = {name: str(episode[name]) for name in ("key", "cause", "action", "stratum")}
    resource = {
        "prefect.resource.id": f"mammo.episode.{facts['key']}",
        "prefect.resource.name": f"drift of {facts['stratum']}",
        "mammo.action": facts["action"],
        "mammo.cause": facts["cause"],
    }
    return {"event": EVENT, "resource": resource, "payload": facts}


def lost_episodes(
    episodes: Sequence[Mapping[str, Any]], at: datetime, *, after: timedelta = LOST_AFTER
) -> list[dict[str, Any]]:
    """Return episodes that call for action and that no flow run has taken up.

    An event can be lost (the server was down, its store keeps a week); an
    episode that is still ``open`` after a while is started without one.
    """
    return [
        dict(episode)
        for episode in episodes
        if episode["status"] == "open"
        and episode["action"] in ACTING
        and not episode.get("flow_run_id")
        and at - _utc(episode["opened_at"]) >= after
    ]


def _utc(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def emit_episode(episode: Mapping[str, Any]) -> None:
    """Emit the event of one episode and wait until the server has it.

    Events leave by a thread of Prefect's; a process that ends at once would
    lose them, hence the wait.
    """
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    emit_event(**episode_event(episode))
    EventsWorker.instance().wait_until_empty()


def retrain_automation(deployment_id: UUID) -> AutomationCore:
    """Return the automation that runs ``retrain/retrain`` for an episode."""
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    key = {"__prefect_kind": "jinja", "template": "{{ event.payload.key }}"}
    return AutomationCore(
        name=AUTOMATION,
        description="Starts the retraining flow when the monitor has confirmed a drift episode.",
        trigger=EventTrigger(
            expect={EVENT},
            match={"prefect.resource.id": "mammo.episode.*", "mammo.action": list(ACTING)},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=WINDOW,
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=deployment_id,
                parameters={"episode_key": key, "reason": "drift"},
                job_variables=None,
            )
        ],
    )


async def apply_automation(client: PrefectClient, deployment_id: UUID) -> UUID:
    """Create the automation, or bring the one of that name up to date; return its id."""
    automation = retrain_automation(deployment_id)
    for known in await client.read_automations_by_name(AUTOMATION):
        await client.update_automation(known.id, automation)
        return known.id
    return await client.create_automation(automation)
