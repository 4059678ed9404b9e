from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows import stack
from flows.stack_ports import require_free_ports
from flows.stack_services import list_services, service_environment
from flows.stack_state import ProcessId, ServiceState, StackState, write_state
from mammo.errors import PortTaken, StackNotRunning, StackRunning
from mammo.settings import Settings

VARIABLES = {
    "prefect_port": "MAMMO_PREFECT_PORT",
    "mlflow_port": "MAMMO_MLFLOW_PORT",
    "service_port": "MAMMO_SERVICE_PORT",
    "reports_port": "MAMMO_REPORTS_PORT",
    "dicom_port": "MAMMO_DICOM_PORT",
}


def record_stack(settings: Settings, pid: int) -> None:
    supervisor = ProcessId.of(pid) or ProcessId(pid, 1.0)
    services = {"mlflow": ServiceState("healthy", None, settings.mlflow_port)}
    settings.home.mkdir(parents=True, exist_ok=True)
    recorded = settings.model_dump(mode="json")
    write_state(settings.home, StackState("none", supervisor, "t", recorded, services))


@pytest.mark.parametrize("field", VARIABLES)
def test_a_taken_port_is_named_with_its_owner_and_the_way_out(
    settings: Settings, taken_port: int, field: str
) -> None:
    with pytest.raises(PortTaken) as refusal:
        stack.up(settings.model_copy(update={field: taken_port}))
    message = refusal.value.message
    assert f"port {taken_port} for " in message
    assert f"process {os.getpid()} (" in message
    assert f"set {VARIABLES[field]} to a free port" in message
    assert "{" not in message
    assert stack.status(settings).running is False


def test_a_port_of_a_service_that_is_not_asked_for_may_be_taken(
    settings: Settings, taken_port: int
) -> None:
    require_free_ports(settings.model_copy(update={"mlflow_port": taken_port}), ["prefect"])


def test_down_and_status_without_a_stack(settings: Settings) -> None:
    assert stack.down(settings) == []
    assert stack.down(settings) == []
    report = stack.status(settings)
    assert (report.running, report.healthy, report.services) == (False, False, [])


def test_a_stale_state_is_cleared_by_down(settings: Settings) -> None:
    record_stack(settings, 2**22)
    assert stack.status(settings).running is False
    assert stack.down(settings) == []
    assert stack.status(settings).services == []


def test_a_stack_with_other_ports_is_not_taken_for_this_one(settings: Settings) -> None:
    record_stack(settings, os.getpid())
    with pytest.raises(StackRunning, match=r"already up with mlflow_port \d+; end it with"):
        stack.up(settings.model_copy(update={"mlflow_port": 1}))


def test_commands_that_need_the_stack_say_how_to_start_it(settings: Settings) -> None:
    with pytest.raises(StackNotRunning, match="start it with `mammo up`"):
        stack.require_up(settings)


def test_status_tells_a_dead_service_from_the_record(settings: Settings) -> None:
    record_stack(settings, os.getpid())
    report = stack.status(settings)
    assert report.running and not report.healthy
    assert [(one.name, one.status) for one in report.services] == [("mlflow", "down")]
    assert report.links["MLflow (experiments, models)"] == settings.mlflow_url


def test_children_get_every_setting_and_no_telemetry(settings: Settings) -> None:
    given = service_environment(settings, "worker", "abc")
    assert given["MAMMO_SERVICE_PORT"] == str(settings.service_port)
    assert given["MAMMO_HOME"] == str(settings.home.resolve())
    assert given["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert (given["MAMMO_STACK_TOKEN"], given["MAMMO_STACK_SERVICE"]) == ("abc", "worker")
    assert "MAMMO_DATABASE_URL" not in given or given["MAMMO_DATABASE_URL"] != "None"


def test_every_service_waits_only_for_services_that_exist(settings: Settings) -> None:
    services = list_services(settings)
    names = [service.name for service in services]
    assert len(set(names)) == len(names)
    for place, service in enumerate(services):
        assert set(service.after) <= set(names[:place])
        assert (service.port is None) == (service.variable is None)


@pytest.mark.parametrize(
    ("content", "line"),
    [("", "no output"), ("a\nboom\n\n", "boom"), (None, "no output"), ("x" * 400, "x" * 300)],
)
def test_last_line_of_a_log(tmp_path: Path, content: str | None, line: str) -> None:
    path = tmp_path / "service.log"
    if content is not None:
        path.write_text(content)
    assert stack.last_line(path) == line
