"""Between two scenarios: what one left is kept aside, and the first release is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.automations import AUTOMATION
from flows.demo import run_deployment
from flows.drill_course import client_of, end_all_runs, in_service
from flows.drill_log import empty_log, keep_log
from mammo.errors import DeployFailed
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from monitoring.closing import close_episode
from monitoring.config import WATERMARK

if TYPE_CHECKING:
    from flows.drill_stage import Stage


def forget(stage: Stage, coming: str) -> None:
    """Make ready for what is ``coming``: no episode, no run, no exam, the first release serves.

    The log as it was is in ``logs/before-<coming>.db``.
    """
    settings = stage.settings
    log = PredictionLog(settings.log_url).create()
    for one in log.episodes("open"):
        close_episode(log, one["key"], "the drill's scenario is over")
    end_all_runs(settings)
    bring_back(stage)
    keep_log(settings.home / "log.db", stage.directory / "logs" / f"before-{coming}.db")
    empty_log(settings.log_url)
    log.set_watermark(WATERMARK, 0, {})
    clear_inbox(settings)
    stage.stream.pending.clear()


def bring_back(stage: Stage) -> None:
    """End a trial and roll back, until the drill's first release serves alone.

    Raises DeployFailed where one rollback does not lead to it.
    """
    settings = stage.settings
    if (read_pointer(settings.pointer_path) or {}).get("challenger"):
        run_deployment(settings, "deploy/deploy", {"stop_challenger": True}, stage.recorder)
    if in_service(settings) != stage.champion:
        run_deployment(settings, "deploy/deploy", {"rollback": True}, stage.recorder)
    if in_service(settings) != stage.champion:
        raise DeployFailed(
            f"After a rollback {in_service(settings)} serves, not the drill's {stage.champion}; "
            "what follows would be of another release."
        )


def clear_inbox(settings: Settings) -> None:
    """Take away what was landed: it is of another scenario, and no retraining may learn it."""
    for path in settings.inbox_dir.glob("*.dcm"):
        path.unlink(missing_ok=True)


def set_automation(settings: Settings, *, on: bool) -> None:
    """Let events start the retraining, or not: a scenario that only watches starts none."""
    with client_of(settings) as client:
        for one in client.read_automations_by_name(AUTOMATION):
            (client.resume_automation if on else client.pause_automation)(one.id)
