"""Runs in an Azure ML workspace: MLflow's own client and server, with Azure's rules between."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mammo.azure_mlflow import artifacts, tokens
from mammo.azure_mlflow.workspace import Workspace as Address
from mammo.errors import (
    AzureError,
    AzureForbidden,
    AzureNotFound,
    AzureSignedOut,
    AzureThrottled,
    AzureUnreachable,
    AzureUnset,
)
from mammo.models import tracking
from mammo.settings import Settings
from tests.azure.resource_manager import ROOT
from tests.azure.workspace import JOB_VARIABLES, MLFLOW, SIGNATURE, Workspace, job_of

pytestmark = pytest.mark.slow
PARAMS = {"seed": 7, "preprocess": {"size": 512}}
HISTORY = [{"loss": 0.7}, {"loss": 0.5}]


@dataclass
class Release:
    """As much of a release as registering needs."""

    id: str = "r-20261129-0a1b2c3d"
    metrics: dict[str, Any] = field(default_factory=lambda: {"golden_auc": {"value": 0.75}})

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id}


class Credential:
    """What azure-identity gives: each token is new, and the workspace knows it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.scopes = workspace, []

    def get_token(self, scope: str) -> Any:
        from azure.core.credentials import AccessToken

        self.scopes.append(scope)
        token = f"entra-{len(self.scopes)}"
        self.workspace.good.add(token)
        return AccessToken(token, int(time.time()) + 60)


@pytest.fixture
def signed_in(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Credential:
    pytest.importorskip("azure.identity", reason="azure-identity is not installed: make setup")
    credential = Credential(workspace)
    monkeypatch.setattr(tokens, "entra_credential", lambda: credential)
    return credential


def settings_to(workspace: Workspace, home: Path, **given: Any) -> Settings:
    given = {"mlflow_address": workspace.uri} | given
    return Settings(home=home, _env_file=None, **given)  # type: ignore[call-arg]


def release_folder(home: Path) -> Path:
    folder = home / "releases" / Release().id
    (folder / "plots").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 40)  # three blocks, in these tests
    (folder / "plots" / "roc curve.png").write_bytes(b"\x89PNG")
    (folder / "empty.txt").write_bytes(b"")
    return folder


def register(settings: Settings) -> tracking.Registered:
    folder = settings.releases_dir / Release().id
    made = folder if folder.is_dir() else release_folder(settings.home)
    return tracking.register_release(settings, Release(), made, PARAMS, HISTORY)


def test_a_release_is_told_to_the_workspace(
    workspace: Workspace,
    signed_in: Credential,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(artifacts, "BLOCK_BYTES", 4000)
    settings = settings_to(workspace, tmp_path / "home")
    registered = register(settings)
    run = workspace.store.get_run(registered.run_id)
    assert run.data.params == {"seed": "7", "preprocess.size": "512"}
    assert run.data.metrics == {"golden_auc.value": 0.75, "loss": 0.5}
    history = workspace.store.get_metric_history(registered.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(0, 0.7), (1, 0.5)]
    assert run.data.tags["release"] == Release().id
    assert (run.info.status, run.info.run_name) == ("FINISHED", Release().id)
    assert capsys.readouterr().out == ""  # `mammo train --json` has stdout for itself
    assert registered.url.endswith(f"/runs/{run.info.run_id}?wsid={ROOT}")
    folder = settings.releases_dir / Release().id
    assert workspace.files == {
        f"{registered.run_id}/release/{name}": (folder / name).read_bytes()
        for name in ("model.onnx", "plots/roc curve.png", "empty.txt")
    }


def test_versions_and_roles_stay_in_the_house(
    workspace: Workspace, signed_in: Credential, tmp_path: Path
) -> None:
    """A workspace's registry knows no aliases, and nothing goes there before the gate."""
    from mlflow import MlflowClient

    settings = settings_to(workspace, tmp_path / "home")
    registered = register(settings)
    tracking.set_alias(settings, registered.version, "champion")
    tracking.tag_version(settings, registered.version, {"gate": "passed"})
    own = MlflowClient(settings.mlflow_url_of_store, settings.mlflow_url_of_store)
    version = own.get_model_version_by_alias(tracking.MODEL_NAME, "champion")
    assert version.run_id == registered.run_id and version.tags["gate"] == "passed"
    assert own.search_runs([one.experiment_id for one in own.search_experiments()]) == []
    assert not [p for _, p, _ in workspace.requests if "model" in p.removeprefix(MLFLOW)[:30]]


def test_every_request_shows_a_token_that_is_good_now(
    workspace: Workspace, signed_in: Credential, tmp_path: Path
) -> None:
    register(settings_to(workspace, tmp_path / "home"))
    asked = [(path, token) for _, path, token in workspace.requests if "/storage/" not in path]
    assert len(asked) >= 6 and all(ROOT in path for path, _ in asked)
    assert [token for _, token in asked] == [f"entra-{n}" for n in range(1, len(asked) + 1)]
    assert set(signed_in.scopes) == {"https://management.azure.com/.default"}
    stored = [token for _, path, token in workspace.requests if "/storage/" in path]
    assert stored and set(stored) == {""}  # the storage has the address's own signature


def test_a_jobs_own_run_gets_it_and_is_not_ended(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = job_of(workspace, monkeypatch, seconds=3600)
    settings = settings_to(workspace, tmp_path / "home", mlflow_address=None)
    assert register(settings).run_id == run_id
    run = workspace.store.get_run(run_id)
    assert run.data.params["seed"] == "7" and run.info.status == "RUNNING"
    again = Release("r-20261129-4e5f6a7b")
    folder = settings.releases_dir / again.id
    folder.mkdir()
    second = tracking.register_release(settings, again, folder, {"seed": 8}, [])
    assert second.run_id != run_id  # a run has one release
    assert not [p for _, p, _ in workspace.requests if p.endswith("/token")]


def test_a_jobs_token_is_renewed_before_it_ends(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = job_of(workspace, monkeypatch, seconds=tokens.AHEAD_SECONDS - 10)
    (first,) = workspace.good
    settings = settings_to(workspace, tmp_path / "home", mlflow_address=None)
    assert register(settings).run_id == run_id
    renewals = [path for _, path, _ in workspace.requests if path.endswith("/token")]
    assert len(renewals) == 1 and renewals[0].startswith(f"/history/v1.0{ROOT}/experimentids/")
    used = {token for _, path, token in workspace.requests if path.startswith(MLFLOW)}
    assert used == workspace.good and first not in used


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "has ended and was not renewed"), (3600, "the token is not accepted")],
)
def test_a_jobs_token_that_nobody_accepts(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    told: str,
) -> None:
    job_of(workspace, monkeypatch, seconds)
    workspace.good = {"another"}
    settings = settings_to(workspace, tmp_path / "home", mlflow_address=None)
    with pytest.raises(AzureSignedOut, match=told) as caught:
        tracking.require_tracking(settings)
    assert caught.value.code == "AZURE_SIGNED_OUT"


def test_a_token_that_is_not_renewed_is_used_while_it_lasts(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job_of(workspace, monkeypatch, seconds=120)
    workspace.refusals = [(403, "Forbidden")]
    settings = settings_to(workspace, tmp_path / "home", mlflow_address=None)
    with caplog.at_level(logging.WARNING, "mammo"):
        tracking.require_tracking(settings)
    assert "token was not renewed: AZURE_FORBIDDEN" in caplog.text


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, "ExpiredAuthenticationToken", AzureSignedOut),
        (403, "AuthorizationFailed", AzureForbidden),
        (404, "WorkspaceNotFound", AzureNotFound),
        (429, "TooManyRequests", AzureThrottled),
        (400, "UserError", AzureError),
        (500, "ServiceError", AzureError),
    ],
)
def test_a_refusal_has_a_code_and_leaves_nothing_here(
    workspace: Workspace,
    signed_in: Credential,
    tmp_path: Path,
    status: int,
    said: str,
    kind: type[AzureError],
) -> None:
    settings = settings_to(workspace, tmp_path / "home")
    workspace.refusals = [(status, said)]
    with pytest.raises(AzureError, match=f"answered {status} {said}") as caught:
        register(settings)
    assert type(caught.value) is kind and "planted" not in str(caught.value)
    assert not (settings.releases_dir / Release().id / tracking.REGISTRY).exists()


def test_nobody_answers_and_nothing_falls_back(
    workspace: Workspace, signed_in: Credential, tmp_path: Path
) -> None:
    settings = settings_to(
        workspace, tmp_path / "home", mlflow_address=workspace.uri.replace(str(workspace.port), "9")
    )
    for ask in (tracking.require_tracking, register):
        with pytest.raises(AzureUnreachable, match="does not answer"):
            ask(settings)


def test_nobody_is_signed_in(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = pytest.importorskip("azure.identity")

    class Nobody:
        def get_token(self, _scope: str) -> None:
            raise identity.CredentialUnavailableError("no identity; planted")

    monkeypatch.setattr(tokens, "entra_credential", Nobody)
    with pytest.raises(AzureSignedOut, match="az login") as caught:
        tracking.require_tracking(settings_to(workspace, tmp_path / "home"))
    assert "planted" not in str(caught.value)


def test_nothing_is_trained_for_an_address_that_is_none(tmp_path: Path) -> None:
    from mammo.continual.fit import train_release
    from mammo.continual.tune import tune

    settings = Settings(home=tmp_path, mlflow_address="azureml://a", _env_file=None)  # type: ignore[call-arg]
    with pytest.raises(AzureUnset, match="az ml workspace show --query mlflow_tracking_uri"):
        train_release(settings, config="smoke")
    with pytest.raises(AzureUnset):
        tune(settings, "study", "smoke", {}, 1)  # type: ignore[arg-type]


def test_what_is_logged_again_goes_beside(
    workspace: Workspace, signed_in: Credential, tmp_path: Path
) -> None:
    settings = settings_to(workspace, tmp_path / "home")
    client = tracking.mlflow_client(settings)
    run_id = register(settings).run_id
    card = tmp_path / "cards" / "model.html"
    card.parent.mkdir()
    for text in ("trained", "judged", "judged again"):
        card.write_text(text)
        client.log_artifacts(run_id, str(card.parent), "cards")
    kept = {name.partition("/")[2]: file for name, file in workspace.files.items()}
    assert {name: file for name, file in kept.items() if "cards" in name} == {
        "cards/model.html": b"trained",
        "cards/model.2.html": b"judged",
        "cards/model.3.html": b"judged again",
    }


def test_files_come_back(workspace: Workspace, signed_in: Credential, tmp_path: Path) -> None:
    settings = settings_to(workspace, tmp_path / "home")
    run_id = register(settings).run_id
    client = tracking.mlflow_client(settings)
    found = {one.path: one.is_dir for one in client.list_artifacts(run_id, "release")}
    assert found == {
        "release/model.onnx": False,
        "release/plots": True,
        "release/empty.txt": False,
    }
    got = Path(client.download_artifacts(run_id, "release", str(tmp_path)))
    own = settings.releases_dir / Release().id
    for name in ("model.onnx", "plots/roc curve.png", "empty.txt"):
        assert (got / name).read_bytes() == (own / name).read_bytes()


def test_a_refusal_of_the_storage_does_not_tell_its_signature(
    workspace: Workspace, signed_in: Credential, tmp_path: Path
) -> None:
    workspace.storage_refuses = True
    with pytest.raises(AzureError, match=r"storage refused release/.* with 403") as caught:
        register(settings_to(workspace, tmp_path / "home"))
    assert SIGNATURE not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("address", "variables", "taken"),
    [
        ("azureml://a", {}, "azureml://a"),
        (None, {"MLFLOW_TRACKING_URI": "azureml://b"}, None),  # no job: another tool's setting
        (None, {"MLFLOW_TRACKING_URI": "azureml://b", "MLFLOW_RUN_ID": "1"}, "azureml://b"),
        ("http://c", {"MLFLOW_TRACKING_URI": "azureml://b", "MLFLOW_RUN_ID": "1"}, None),
        (None, {"MLFLOW_TRACKING_URI": "http://c", "MLFLOW_RUN_ID": "1"}, None),
    ],
)
def test_which_workspace(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    address: str | None,
    variables: dict[str, str],
    taken: str | None,
) -> None:
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings(home=tmp_path, mlflow_address=address, _env_file=None)  # type: ignore[call-arg]
    assert tracking.workspace_uri(settings) == taken


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("westeurope.api.azureml.ms", "https://management.azure.com/.default"),
        ("chinaeast2.api.ml.azure.cn", "https://management.chinacloudapi.cn/.default"),
        ("usgovvirginia.api.ml.azure.us", "https://management.usgovcloudapi.net/.default"),
    ],
)
def test_clouds(host: str, scope: str) -> None:
    one = Address.from_uri(f"azureml://{host}{MLFLOW}?query=1")
    assert one.token_scope == scope and one.path == ROOT
    assert one.mlflow_url == f"https://{host}{MLFLOW}"


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.e30.c"])
def test_tokens_that_do_not_say_when_they_end(token: str) -> None:
    assert tokens.expiry(token) is None
