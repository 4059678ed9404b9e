"""`mammo azure` with the real SDK, against a server of this machine that answers as Azure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mammo
from flows.azure_jobs import submit, wait_for
from flows.azure_specs import FOLDER
from flows.azure_workspace import AzureSettings, open_workspace
from mammo import errors
from tests.azure.commands import ran, refused
from tests.azure.conftest import make_token
from tests.azure.resource_manager import GROUP, SUBSCRIPTION, WORKSPACE, ResourceManager

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

pytestmark = pytest.mark.slow
IMAGE = f"registry.test/mammo-worker:v{mammo.__version__}"
OURS = f"--image {IMAGE}"
VERSION = f"mammo/versions/{mammo.__version__}"


def test_a_training_is_submitted_as_it_is_written(azure: ResourceManager) -> None:
    told = ran(f"azure submit train --tag reason=drift {OURS}")
    sent = azure.sent("PUT", "jobs/")
    assert [one.under for one in sent] == [f"jobs/{told['job']}"]
    asked = sent[0].body["properties"]
    assert asked["jobType"] == "Command" and asked["experimentName"] == "mammo"
    assert "mammo train --config ${{inputs.config}}" in asked["command"]
    assert asked["environmentId"].endswith(f"/environments/{VERSION}")
    assert asked["computeId"].endswith("/computes/mammo-gpu")
    assert asked["inputs"]["prepared"]["jobInputType"] == "uri_folder"
    assert asked["tags"]["reason"] == "drift"
    assert told["status"] == "NotStarted" and told["job"] in told["studio"]


def test_every_request_names_its_version_and_shows_the_token(azure: ResourceManager) -> None:
    ran(f"azure submit train {OURS}")
    sent = [one for one in azure.requests if one.path.startswith("/subscriptions")]
    assert sent
    for one in sent:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d(-preview)?", one.query["api-version"][0])
        token = make_token(f"https://localhost:{azure.port}/.default")
        assert one.headers["authorization"] == f"Bearer {token}"
        assert f"/{SUBSCRIPTION}/resourceGroups/{GROUP}/" in one.path and WORKSPACE in one.path


def test_the_environment_is_registered_once(azure: ResourceManager) -> None:
    ran(f"azure submit train {OURS}")
    ran(f"azure submit train {OURS}")
    made = azure.sent("PUT", "environments/")
    assert [one.under for one in made] == [f"environments/{VERSION}"]
    assert made[0].body["properties"]["image"] == IMAGE
    problem = refused("azure submit train --image registry.test/another:v0.1.0")
    assert problem["code"] == "AZURE_SPEC_INVALID"
    assert "a version never changes" in problem["detail"]


def test_the_pipeline_goes_out_with_its_four_components(azure: ResourceManager) -> None:
    told = ran(f"azure submit pipeline {OURS}")
    assert len(azure.sent("PUT", "components/azureml_anonymous/")) == 4
    job = azure.sent("PUT", f"jobs/{told['job']}")[0].body["properties"]
    assert job["jobType"] == "Pipeline" and list(job["jobs"]) == [
        "prepare", "train", "evaluate", "register",
    ]  # fmt: skip
    release, home = job["outputs"]["release"], job["outputs"]["home"]
    assert release["jobOutputType"] == "custom_model" and release["assetName"] == "mammo-release"
    assert home["jobOutputType"] == "uri_folder" and "assetName" not in home
    parts = job["jobs"]["register"]["outputs"]
    assert {name: one["value"] for name, one in parts.items()} == {
        "release": "${{parent.outputs.release}}", "home": "${{parent.outputs.home}}",
    }  # fmt: skip
    prepared = job["jobs"]["train"]["inputs"]["prepared"]
    assert prepared["value"] == "${{parent.jobs.prepare.outputs.home}}"


def test_a_job_is_followed_to_its_end(
    azure: ResourceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.azure_jobs.POLL_SECONDS", 0.0)
    azure.job_states = ["Queued", "Running", "Completed"]
    assert ran(f"azure submit train --wait {OURS}")["status"] == "Completed"
    azure.job_states = ["Running", "Failed"]
    problem = refused(f"azure submit train --wait {OURS}")
    assert problem["code"] == "AZURE_JOB_FAILED" and "ended as Failed" in problem["detail"]


@pytest.fixture
def job(azure: ResourceManager, monkeypatch: pytest.MonkeyPatch) -> tuple[MLClient, str]:
    """A client that asks once, and a job that it handed over."""
    monkeypatch.setattr("flows.azure_jobs.POLL_SECONDS", 0.0)
    monkeypatch.setattr("flows.azure_workspace.RETRIES", 0)
    client = open_workspace(AzureSettings())
    return client, submit(client, FOLDER / "train.yml", image=IMAGE)["job"]


def test_a_job_outlasts_answers_that_fail(
    azure: ResourceManager, job: tuple[MLClient, str]
) -> None:
    client, name = job
    azure.job_states = ["Completed"]
    for status in (503, 429, 401, 500, 503):
        azure.plant(f"jobs/{name}", status, "Planted")
    seen: list[str] = []
    assert wait_for(client, name, seen.append)["status"] == "Completed"
    assert seen == ["no answer"] * 5 + ["Completed"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(503, errors.AzureError), (429, errors.AzureThrottled), (401, errors.AzureSignedOut)],
)
def test_a_job_that_is_not_told_of_any_more_goes_on(
    azure: ResourceManager,
    job: tuple[MLClient, str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    kind: type[errors.AzureError],
) -> None:
    monkeypatch.setattr("flows.azure_jobs.PATIENCE_SECONDS", 0.0)
    client, name = job
    azure.plant(f"jobs/{name}", status, "Planted", times=9)
    with pytest.raises(errors.AzureError, match=f"goes on.*mammo azure status {name}") as caught:
        wait_for(client, name)
    assert type(caught.value) is kind and f"{status} Planted" in str(caught.value)


@pytest.mark.parametrize("status", [403, 404])
def test_a_job_that_is_refused_is_not_waited_for(
    azure: ResourceManager, job: tuple[MLClient, str], status: int
) -> None:
    client, name = job
    azure.plant(f"jobs/{name}", status, "Planted")
    with pytest.raises(errors.AzureError, match=f"{status} Planted"):
        wait_for(client, name)


def test_schedules(azure: ResourceManager) -> None:
    told = ran(f"azure submit schedule {OURS}")
    sent = azure.sent("PUT", f"schedules/{told['schedule']}")[0].body["properties"]
    assert sent["action"]["actionType"] == "CreateJob"
    assert sent["trigger"]["expression"] == "17 3 1 * *"


def test_a_monitor_tells_whom_you_name(azure: ResourceManager, tmp_path: Path) -> None:
    own = tmp_path / "monitor.yml"
    shipped = (FOLDER / "monitor.yml").read_text()
    own.write_text(shipped.replace("ALERTS@EXAMPLE.ORG", "physics@hospital.test"))
    told = ran(f"azure submit {own}")
    sent = azure.sent("PUT", f"schedules/{told['schedule']}")[0].body["properties"]
    assert sent["action"]["actionType"] == "CreateMonitor"
    assert "physics@hospital.test" in json.dumps(sent["action"])
    assert azure.sent("PUT", "environments/") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("environment", f"image is ghcr.io/OWNER/mammo-worker:v{mammo.__version__}"),
        ("pipeline", "--image"),
        ("schedule", "--image"),
        ("train --image ghcr.io/owner/mammo-worker:v0.1.0", "image is ghcr.io/owner/"),
        ("monitor", "monitor.yml: create_monitor.alert_notification.emails is ALERTS@EXAMPLE.ORG"),
    ],
)
def test_nothing_goes_out_with_a_name_of_nobody(
    azure: ResourceManager, line: str, told: str
) -> None:
    """An environment's version never changes: one with an image of nobody is lost."""
    problem = refused(f"azure submit {line}")
    assert problem["code"] == "AZURE_SPEC_INVALID" and told in problem["detail"]
    assert azure.sent("PUT", "") == []


@pytest.mark.parametrize(
    ("status", "said", "code", "told"),
    [
        (401, "ExpiredAuthenticationToken", errors.AzureSignedOut, "az login"),
        (403, "AuthorizationFailed", errors.AzureForbidden, "AzureML Data Scientist"),
        (404, "WorkspaceNotFound", errors.AzureNotFound, "MAMMO_AZURE_SUBSCRIPTION"),
        (409, "Conflict", errors.AzureConflict, "change under way"),
        (400, "InvalidTemplate", errors.AzureError, "400 InvalidTemplate"),
    ],
)
def test_refusals_have_codes_and_advice(
    azure: ResourceManager, status: int, said: str, code: type[errors.AzureError], told: str
) -> None:
    azure.plant("jobs", status, said)
    problem = refused("azure status")
    assert problem["code"] == code.code and problem["status"] == code.http_status
    assert said in problem["detail"] and told in problem["detail"]


def test_azure_is_asked_again_when_it_says(azure: ResourceManager) -> None:
    azure.plant("jobs", 429, "TooManyRequests", times=2, Retry_After="1")
    assert ran("azure status") == {"jobs": [], "endpoint": None}
    assert len(azure.sent("GET", "jobs")) == 3
    azure.plant("jobs", 429, "TooManyRequests", times=9, Retry_After="1")
    problem = refused("azure status")
    assert problem["code"] == "AZURE_THROTTLED" and "come again in 1 s" in problem["detail"]
    assert len(azure.sent("GET", "jobs")) == 3 + 4


def test_nobody_answers(azure: ResourceManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.azure_workspace.RETRIES", 0)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")  # nor is a certificate of nobody believed
    monkeypatch.setattr(ResourceManager, "_url", lambda self: "https://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", __import__("os").environ["SSL_CERT_FILE"])
    problem = refused("azure status")
    assert problem["code"] == "AZURE_UNREACHABLE" and "no answer" in problem["detail"]
