"""A flow run waits for a person on a real Prefect server, and goes on at `mammo approve`."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows import approve as paused
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

pytestmark = pytest.mark.stack


@flow(name="waits")
def wait_for_a_person(settings: Settings, release_id: str) -> bool:
    return paused.approved(settings, release_id, "drift", "k")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Why each release still needs a person; saying so is `mammo.continual.approval`'s."""
    why = {"r-1": "too few golden exams", "r-2": "too few golden exams"}

    def approve(_settings: Settings, release_id: str, *, reason: str) -> dict[str, Any]:
        del why[release_id]
        return {"reason": reason}

    monkeypatch.setattr(paused, "needs_approval", lambda _, release_id: why.get(release_id))
    monkeypatch.setattr(paused, "approve", approve)
    monkeypatch.setattr(paused, "require_running", lambda _: None)
    monkeypatch.setattr(paused, "POLL_SECONDS", 1)
    return why


def test_a_run_waits_until_a_person_approves(
    settings: Settings, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, came = PredictionLog(settings.log_url).create(), []
    with prefect_test_harness(server_startup_timeout=120), get_client(sync_client=True) as client:
        run = threading.Thread(target=lambda: came.append(wait_for_a_person(settings, "r-1")))
        run.start()
        run_id = _paused_run(client, log, "approval:r-1")
        client.resume_flow_run(run_id)  # in the UI, by somebody who approved nothing
        run.join(60)
        assert came == [False]

        run = threading.Thread(target=lambda: came.append(wait_for_a_person(settings, "r-1")))
        run.start()
        run_id = _paused_run(client, log, "approval:r-1", not_run=run_id)
        assert paused.approve_release(settings, "r-1", "reread") == {
            "reason": "reread",
            "goes_on": run_id,
        }
        run.join(60)
        assert came == [False, True]

        monkeypatch.setattr(paused, "PAUSE_SECONDS", 2)
        state = wait_for_a_person(settings, "r-2", return_state=True)
        assert "never resumed" in str(state.message)
        begun: list[str] = []
        monkeypatch.setattr(paused, "_begin_rollout", lambda _s, name, _w: begun.append(name))
        paused.approve_release(settings, "r-2", "reread")
        assert begun == ["r-2"]


def _paused_run(client: Any, log: PredictionLog, reader: str, not_run: str = "") -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        run_id = str(log.watermark(reader).state.get("run", not_run))
        if run_id != not_run and client.read_flow_run(run_id).state.is_paused():
            return run_id
        time.sleep(0.3)
    raise AssertionError("the run was never paused")
