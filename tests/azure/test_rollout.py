"""`mammo azure deploy` with the real SDK: one colour beside the other, and back again."""

from __future__ import annotations

import _thread
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.azure.commands import ran, refused
from tests.azure.resource_manager import ResourceManager

pytestmark = pytest.mark.slow
IMAGE = "registry.test/mammo-service@sha256:" + "1" * 64
NEXT = "registry.test/mammo-service@sha256:" + "2" * 64
ENDPOINT = "onlineEndpoints/mammo-screening"


@pytest.fixture(autouse=True)
def heeds_ctrl_c() -> Iterator[None]:
    """Tests in the background of a shell ignore SIGINT; whoever deploys does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> int:
    """Be Ctrl-C, while the client asks how far a change is."""
    _thread.interrupt_main()
    return 200


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
    ("change", "told"), [(lambda: 403, "403 Planted"), (interrupt, "interrupted")]
)
def test_a_change_that_nobody_saw_end_is_taken_back(
    azure: ResourceManager, change: Callable[[], int], told: str
) -> None:
    """Azure has taken the shares, and then asking how far it is fails."""
    ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    azure.changes = [change]
    problem = refused(f"azure deploy --image {NEXT} --steps 10,100 --hold 0")
    assert problem["code"] == "AZURE_ROLLED_BACK" and told in problem["detail"]
    assert "blue has every request again" in problem["detail"]
    assert shares(azure) == [{"blue": 100}, {"green": 10, "blue": 90}, {"blue": 100}]


def test_a_first_colour_that_nobody_saw_begin_gets_no_request(azure: ResourceManager) -> None:
    azure.changes = [lambda: 200, lambda: 403]  # the endpoint is made; then its shares
    problem = refused(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    assert problem["code"] == "AZURE_ROLLED_BACK" and "no request goes" in problem["detail"]
    endpoint = next(one for path, one in azure.resources.items() if path.endswith(ENDPOINT))
    assert endpoint["properties"]["traffic"] == {}


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ([lambda: 403] * 2, "AZURE", "--name mammo-screening --traffic blue=100"),
        ([lambda: 403, interrupt], "AZURE", "interrupted"),
        ([lambda: 403] + [lambda: 409] * 2, "AZURE_ROLLED_BACK", "blue has every request again"),
        ([lambda: 403] + [lambda: 409] * 3, "AZURE", "mammo azure status"),
    ],
    ids=["refused", "interrupted", "still busy", "busy for too long"],
)
def test_giving_back_may_fail(
    azure: ResourceManager,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Callable[[], int]],
    code: str,
    told: str,
) -> None:
    monkeypatch.setattr("flows.azure_rollout.GIVE_BACK_TRIES", 3)
    monkeypatch.setattr("flows.azure_rollout.GIVE_BACK_SECONDS", 0.0)
    ran(f"azure deploy --image {IMAGE} --steps 100 --hold 0")
    azure.changes = list(answers)
    problem = refused(f"azure deploy --image {NEXT} --steps 10,100 --hold 0")
    assert problem["code"] == code and told in problem["detail"]
    assert ("unknown" in problem["detail"]) == (code == "AZURE")


def test_a_first_deployment_goes_to_the_whole_at_once(azure: ResourceManager) -> None:
    """There is no other colour for the rest, and Azure takes shares of 0 or 100 only."""
    told = ran(f"azure deploy --image {IMAGE} --hold 0")
    assert (told["old"], told["traffic"]) == (None, {"blue": 100})
    assert shares(azure) == [{"blue": 100}]


def test_an_image_of_nobody_is_not_deployed(azure: ResourceManager) -> None:
    problem = refused("azure deploy --image ghcr.io/OWNER/mammo-service-release:1 --hold 0")
    assert problem["code"] == "AZURE_SPEC_INVALID" and "in place of OWNER" in problem["detail"]
    assert azure.sent("PUT", "") == []
