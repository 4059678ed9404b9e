from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.azure.resource_manager import (
    GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    ResourceManager,
    make_certificate,
    served,
)
from tests.azure.workspace import JOB_VARIABLES, Workspace, make_database
from tests.azure.workspace import served as served_workspace


def _part(fields: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def make_token(scope: str) -> str:
    """Return a token of Entra's form for a scope, signed by nobody: the SDK looks into it."""
    audience = scope.removesuffix("/.default")
    return ".".join((_part({"alg": "none"}), _part({"tid": "tenant", "aud": audience}), "c2ln"))


class Token:
    """A credential: what `az login` or a managed identity would give."""

    def get_token(self, *scopes: str, **_kwargs: Any) -> Any:
        from azure.core.credentials import AccessToken

        return AccessToken(make_token(scopes[0]), int(time.time()) + 3600)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def azure(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResourceManager]:
    """The local Azure, and an environment in which the real client finds it."""
    pytest.importorskip("azure.ai.ml", reason="azure-ai-ml is not installed: make azure-check")
    with served(certificate) as manager:
        url = f"https://localhost:{manager.port}/metadata/endpoints"
        for name, value in {
            "ARM_CLOUD_METADATA_URL": url,
            "AZUREML_CURRENT_CLOUD": "LocalCloud",
            "REQUESTS_CA_BUNDLE": str(certificate),
            "SSL_CERT_FILE": str(certificate),
            "MAMMO_AZURE_SUBSCRIPTION": SUBSCRIPTION,
            "MAMMO_AZURE_RESOURCE_GROUP": GROUP,
            "MAMMO_AZURE_WORKSPACE": WORKSPACE,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("flows.azure_workspace.default_credential", Token)
        monkeypatch.setattr("flows.azure_rollout.PROBE_SECONDS", 0.0)
        yield manager


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def workspace(
    certificate: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    (tmp_path / "home" / "mlflow").mkdir(parents=True)
    for copy in ("workspace.db", "home/mlflow/mlflow.db"):
        shutil.copyfile(database, tmp_path / copy)
    from mammo.azure_mlflow import tokens

    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tokens.forget_tokens()
    with served_workspace(certificate, tmp_path, monkeypatch) as one:
        yield one
    tokens.forget_tokens()
