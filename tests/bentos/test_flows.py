from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

import flows.deploy
import flows.package
from bentos.screening.deployment import DeployReport, Why
from mammo.errors import NoPreviousRelease, ReleaseNotFound

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    return tmp_path


def artifacts(key: str) -> str:
    with get_client(sync_client=True) as client:
        found = [one for one in client.read_artifacts() if one.key == key]
    return "\n".join(str(one.data) for one in found)


def test_package_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.package, "find_release", lambda folder, name: folder / name)
    monkeypatch.setattr(flows.package, "package_release", lambda *_: "screening:r-1-c0de")
    assert flows.package.package("r-1") == {"release": "r-1", "bento_tag": "screening:r-1-c0de"}
    assert "screening:r-1-c0de" in artifacts("bento")


def test_package_flow_of_an_unknown_release() -> None:
    with pytest.raises(ReleaseNotFound, match=r"No release 'r-9'"):
        flows.package.package("r-9")


def test_deploy_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    def deploy_release(
        release_id: str, _settings: Any, *, stage: str, percent: int, why: Why
    ) -> DeployReport:
        record = {"reason": why.reason, "episode_key": why.episode_key, "data_version": "d1"}
        tag = "screening:r-2"
        return DeployReport(release_id, tag, "r-1", True, True, 0.1, 0.5, record, stage, percent)

    monkeypatch.setattr(flows.deploy, "deploy_release", deploy_release)
    given = {"stage": "canary", "percent": 10}
    done = flows.deploy.deploy("r-2", reason="drift", episode_key="A:1", **given)
    assert (done["release"], done["previous"]) == ("r-2", "r-1")
    told = artifacts("deploy")
    assert "| episode | A:1 |" in told
    assert "| before | r-1 |" in told
    assert "| stage | canary, 10% of the exams |" in told


def test_rollback_flow_without_a_previous_release() -> None:
    with pytest.raises(NoPreviousRelease):
        flows.deploy.deploy(rollback=True)
