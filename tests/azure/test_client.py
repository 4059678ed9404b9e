"""`mammo azure` with the real SDK, against a server of this machine that answers as Azure."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from mammo import errors
from tests.azure.conftest import make_token
from tests.azure.resource_manager import GROUP, SUBSCRIPTION, WORKSPACE, ResourceManager

pytestmark = pytest.mark.slow
IMAGE = "registry.test/mammo-service@sha256:" + "1" * 64
NEXT = "registry.test/mammo-service@sha256:" + "2" * 64
ENDPOINT = "onlineEndpoints/mammo-screening"


def invoke(line: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line.split())


def ran(line: str) -> dict:
    result = invoke(f"{line} --json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(line: str) -> dict:
    result = invoke(f"{line} --json")
    assert result.exit_code in (1, 2) and "Traceback" not in result.output
    problem = json.loads(result.stderr.splitlines()[-1])
    return problem | {"exit": result.exit_code}


def test_a_training_is_submitted_as_it_is_written(azure: ResourceManager) -> None:
    told = ran("azure submit train --tag reason=drift")
    sent = azure.sent("PUT", "jobs/")
    assert [one.under for one in sent] == [f"jobs/{told['job']}"]
    asked = sent[0].body["properties"]
    assert asked["jobType"] == "Command" and asked["experimentName"] == "mammo"
    assert "mammo train --config ${{inputs.config}}" in asked["command"]
    assert asked["environmentId"].endswith("/environments/mammo/versions/0.1.0")
    assert asked["computeId"].endswith("/computes/mammo-gpu")
    assert asked["inputs"]["prepared"]["jobInputType"] == "uri_folder"
    assert asked["tags"]["reason"] == "drift"
    assert told["status"] == "NotStarted" and told["job"] in told["studio"]


def test_every_request_names_its_version_and_shows_the_token(azure: ResourceManager) -> None:
    ran("azure submit train")
    sent = [one for one in azure.requests if one.path.startswith("/subscriptions")]
    assert sent
    for one in sent:
        assert re.fullmatch(r"20\d\d-\d\d-\d\d(-preview)?", one.query["api-version"][0])
        token = make_token(f"https://localhost:{azure.port}/.default")
        assert one.headers["authorization"] == f"Bearer {token}"
        assert f"/{SUBSCRIPTION}/resourceGroups/{GROUP}/" in one.path and WORKSPACE in one.path


def test_the_environment_is_registered_once(azure: ResourceManager) -> None:
    ran("azure submit train")
    ran("azure submit train")
    made = azure.sent("PUT", "environments/")
    assert [one.under for one in made] == ["environments/mammo/versions/0.1.0"]
    assert made[0].body["properties"]["image"].endswith("mammo-worker:v0.1.0")
    problem = refused(f"azure submit train --image {IMAGE}")
    assert problem["code"] == "AZURE_SPEC_INVALID"
    assert "a version never changes" in problem["detail"]


def test_the_pipeline_goes_out_with_its_four_components(azure: ResourceManager) -> None:
    told = ran("azure submit pipeline")
    assert len(azure.sent("PUT", "components/azureml_anonymous/")) == 4
    job = azure.sent("PUT", f"jobs/{told['job']}")[0].body["properties"]
    assert job["jobType"] == "Pipeline" and list(job["jobs"]) == [
        "prepare", "train", "evaluate", "register",
    ]  # fmt: skip
    assert job["outputs"]["release"]["jobOutputType"] == "custom_model"
    prepared = job["jobs"]["train"]["inputs"]["prepared"]
    assert prepared["value"] == "${{parent.jobs.prepare.outputs.home}}"


def test_a_job_is_followed_to_its_end(
    azure: ResourceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.azure_jobs.POLL_SECONDS", 0.0)
    azure.job_states = ["Queued", "Running", "Completed"]
    assert ran("azure submit train --wait")["status"] == "Completed"
    azure.job_states = ["Running", "Failed"]
    problem = refused("azure submit train --wait")
    assert problem["code"] == "AZURE_JOB_FAILED" and "ended as Failed" in problem["detail"]


@pytest.mark.parametrize(("name", "action"), [("schedule", "CreateJob"), ("monitor", "Create")])
def test_schedules(azure: ResourceManager, name: str, action: str) -> None:
    told = ran(f"azure submit {name}")
    sent = azure.sent("PUT", f"schedules/{told['schedule']}")[0].body["properties"]
    assert sent["action"]["actionType"].startswith(action)
    if name == "schedule":
        assert sent["trigger"]["expression"] == "17 3 1 * *"
    else:
        assert azure.sent("PUT", "environments/") == []


def shares(azure: ResourceManager) -> list[dict[str, int]]:
    """Return the shares of requests that were asked for, in order."""
    sent = [one for one in azure.sent("PUT", ENDPOINT) if "deployments" not in one.under]
    return [one.body["properties"]["traffic"] for one in sent if one.body["properties"]["traffic"]]


def test_the_first_deployment_makes_endpoint_and_blue(azure: ResourceManager) -> None:
    told = ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    assert (told["old"], told["new"], told["traffic"]) == (None, "blue", {"blue": 100})
    made = azure.sent("PUT", f"{ENDPOINT}/deployments/blue")[0].body
    assert made["properties"]["endpointComputeType"] == "Managed"
    assert made["sku"] == {"name": "Default", "capacity": 1}
    token = made["properties"]["environmentVariables"]["MAMMO_CALLER_TOKEN"]
    assert token == "${{azureml://connections/mammo/credentials/MAMMO_CALLER_TOKEN}}"
    endpoint = azure.sent("PUT", ENDPOINT)[0].body["properties"]["properties"]
    assert endpoint == {"enforce_access_to_default_secret_stores": "enabled"}
    environment = azure.sent("PUT", "environments/mammo-service/")[0].body["properties"]
    assert environment["image"] == IMAGE
    assert environment["inferenceConfig"]["scoringRoute"] == {"path": "/v1/exams", "port": 3000}
    assert shares(azure) == [{"blue": 100}]


def test_the_second_goes_green_by_steps(azure: ResourceManager) -> None:
    ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    told = ran(f"azure deploy --image {NEXT} --steps 10,50,100 --hold 0")
    assert (told["old"], told["new"]) == ("blue", "green")
    assert shares(azure)[1:] == [{"green": 10, "blue": 90}, {"green": 50, "blue": 50},
                                 {"green": 100}]  # fmt: skip
    probes = [one for one in azure.requests if one.path == "/readyz"]
    asked = {one.headers["azureml-model-deployment"] for one in probes[-12:]}
    assert asked == {"green"} and probes[-1].headers["authorization"] == "Bearer key-one"
    seen = ran("azure status")["endpoint"]["colours"]
    assert {one["colour"]: (one["percent"], one["image"]) for one in seen} == {
        "blue": (0, IMAGE), "green": (100, NEXT),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "led"), [([503], []), ([200] * 4 + [500], [{"green": 10, "blue": 90}])]
)
def test_an_unwell_colour_gives_every_request_back(
    azure: ResourceManager, answers: list[int], led: list[dict[str, int]]
) -> None:
    ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    azure.health["green"] = list(answers)
    problem = refused(f"azure deploy --image {NEXT} --steps 10,100 --hold 0")
    assert problem["code"] == "AZURE_ROLLED_BACK" and problem["exit"] == 1
    assert f"/readyz of green answered {answers[-1]}" in problem["detail"]
    assert "blue has every request again" in problem["detail"]
    assert shares(azure) == [{"blue": 100}, *led, *([{"blue": 100}] if led else [])]
    assert ran("azure status")["endpoint"]["colours"][0]["percent"] == 100


def test_azure_may_refuse_in_the_middle(azure: ResourceManager) -> None:
    ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    azure.plant(f"{ENDPOINT}/deployments/green", 409, "ConflictingOperation")
    problem = refused(f"azure deploy --image {NEXT} --steps 10,100 --hold 0")
    assert (
        problem["code"] == "AZURE_ROLLED_BACK" and "409 ConflictingOperation" in problem["detail"]
    )
    assert shares(azure) == [{"blue": 100}]


def test_shared_requests_are_not_touched(azure: ResourceManager) -> None:
    """A rollout that was killed half way leaves both colours answering: a person decides."""
    ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    key = next(one for one in azure.resources if one.endswith(ENDPOINT))
    azure.resources[key]["properties"]["traffic"] = {"blue": 90, "green": 10}
    problem = refused(f"azure deploy --image {NEXT} --hold 0")
    assert problem["code"] == "AZURE_SPEC_INVALID" and "under way" in problem["detail"]


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
