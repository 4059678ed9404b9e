"""A local Azure ML workspace for MLflow, over TLS: real MLflow behind the workspace's path.

MLflow's own server answers below ``/mlflow/v2.0/subscriptions/…``; around it is what Azure
has of its own: bearer tokens, a run history that gives places for files and new tokens for
jobs, and a storage with signed addresses. Every request is kept for the test to look at.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.azure.resource_manager import ROOT

MLFLOW, HISTORY = f"/mlflow/v2.0{ROOT}", f"/history/v1.0{ROOT}"
SIGNATURE = "sig=planted-signature"
EXPERIMENT = "mammo"
JOB_VARIABLES = (
    *("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"),
    *("MLFLOW_EXPERIMENT_NAME", "AZUREML_RUN_ID", "AZUREML_RUN_TOKEN", "AZUREML_ARM_PROJECT_NAME"),
)


def job_token(name: str, seconds: float) -> str:
    """Return a token of a job's form that ends in so many seconds; nobody signed it."""
    claims = {"sub": name, "exp": int(time.time() + seconds)}
    parts = [{"alg": "none"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join((*coded, "c2ln"))


@dataclass
class Workspace:
    """What the server keeps; ``good`` are the tokens that it lets in."""

    good: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    blocks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    storage_refuses: bool = False
    new_token_seconds: float = 3600
    port: int = 0
    store: Any = None

    @property
    def uri(self) -> str:
        """The tracking address, as `az ml workspace show` gives it."""
        return f"azureml://localhost:{self.port}{MLFLOW}"

    @property
    def runs_place(self) -> str:
        """Where files of runs of the experiment go, in Azure's form."""
        return f"{self.uri}/experiments/{EXPERIMENT}/runs"

    def answer(self, method: str, path: str, query: str, token: str, body: bytes) -> Any:
        """Return status and JSON (or bytes), or None where MLflow itself answers."""
        if path.startswith("/storage/"):
            return self._store(method, path.removeprefix("/storage/"), query, body)
        if token not in self.good:
            return 401, {"error": {"code": "AuthenticationFailed", "message": "planted"}}
        if self.refusals:
            status, code = self.refusals.pop(0)
            return status, {"error": {"code": code, "message": "planted"}}
        if path.startswith(HISTORY):
            return self._history(method, path.removeprefix(HISTORY), query, token, body)
        if path.startswith(f"{MLFLOW}/"):
            return None
        return 404, {"error": {"code": "WorkspaceNotFound", "message": path}}

    def _history(self, method: str, path: str, query: str, token: str, body: bytes) -> Any:
        asked = urllib.parse.parse_qs(query)
        run = path.split("/")[4]
        if path.endswith("/token"):
            self.good.remove(token)
            new = job_token(f"renewed {len(self.requests)}", self.new_token_seconds)
            self.good.add(new)
            return 200, {"token": new, "expiryTimeUtc": None}
        if path.endswith("/artifacts/batch/metadata"):
            return 200, self._make(run, [one["path"] for one in json.loads(body)["paths"]])
        if path.endswith("/artifacts/contentinfo"):
            return 200, {"contentUri": self._signed(f"{run}/{asked['path'][0]}")}
        names = sorted(one.removeprefix(f"{run}/") for one in self.files if one.startswith(run))
        start = int(asked.get("continuationToken", ["0"])[0])
        page = {"value": [{"path": one} for one in names[start : start + 2]]}
        more = str(start + 2) if start + 2 < len(names) else None
        return 200, page | {"continuationToken": more}

    def _make(self, run: str, paths: list[str]) -> dict[str, Any]:
        made, errors = {}, {}
        for path in paths:
            if f"{run}/{path}" in self.files:
                told = f"Resource Conflict: ArtifactId ExperimentRun/{run}/{path} already exists."
                errors[path] = {"error": {"code": "UserError", "message": told}}
            else:
                self.files[f"{run}/{path}"] = b""
                made[path] = {"contentUri": self._signed(f"{run}/{path}"), "path": path}
        return {"artifactContentInformation": made, "errors": errors}

    def _signed(self, name: str) -> str:
        place = urllib.parse.quote(name)
        return f"https://localhost:{self.port}/storage/{place}?sv=2024&{SIGNATURE}"

    def _store(self, method: str, name: str, query: str, body: bytes) -> Any:
        asked = urllib.parse.parse_qs(query)
        if self.storage_refuses or SIGNATURE not in query:
            return 403, {"error": {"code": "AuthorizationFailure"}}
        if method == "GET":
            return 200, self.files[name]
        if asked["comp"] == ["block"]:
            assert body, "Azure takes no empty block"
            self.blocks.setdefault(name, {})[asked["blockid"][0]] = body
        else:
            wanted = [one.text or "" for one in ElementTree.fromstring(body)]
            self.files[name] = b"".join(self.blocks[name][one] for one in wanted)
        return 201, b""


def _app(workspace: Workspace, mlflow: Callable[..., Any]) -> Callable[..., Any]:
    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        workspace.requests.append((environ["REQUEST_METHOD"], path, token))
        if path.startswith(f"{MLFLOW}/") and token in workspace.good and not workspace.refusals:
            return mlflow(environ | {"PATH_INFO": path.removeprefix(MLFLOW)}, start)
        body = environ["wsgi.input"].read(length)
        status, told = workspace.answer(environ["REQUEST_METHOD"], path, query, token, body)
        sent = told if isinstance(told, bytes) else json.dumps(told).encode()
        start(f"{status} answered", [("Content-Length", str(len(sent)))])
        return [sent]

    return serve


def make_database(folder: Path) -> Path:
    """Return an empty database of MLflow's: each copy of it saves the migrations of a year."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{folder / 'empty.db'}", str(folder))
    return folder / "empty.db"


@contextmanager
def served(certificate: Path, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """Serve on a free port of this machine until the block ends.

    Runs are kept in ``workspace.db`` of the folder, a copy of `make_database`'s.
    """
    from mlflow.server import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR, app, handlers
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from werkzeug.serving import make_server

    workspace = Workspace()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    application = _app(workspace, app)
    server = make_server("127.0.0.1", 0, application, threaded=True, ssl_context=context)
    workspace.port = server.server_port
    database = f"sqlite:///{folder / 'workspace.db'}"
    workspace.store = SqlAlchemyStore(database, str(folder))
    workspace.store.create_experiment(EXPERIMENT, workspace.runs_place)
    patch.setenv(BACKEND_STORE_URI_ENV_VAR, database)
    patch.setenv(ARTIFACT_ROOT_ENV_VAR, str(folder))
    patch.setattr(handlers, "_tracking_store", None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield workspace
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def job_of(workspace: Workspace, patch: pytest.MonkeyPatch, seconds: float, **other: str) -> str:
    """Make a run in the workspace and put this process into its job; return the run's id."""
    experiment = workspace.store.get_experiment_by_name("mammo").experiment_id
    run = workspace.store.create_run(experiment, "azure", int(time.time() * 1000), [], "job")
    token = job_token("first", seconds)
    workspace.good = {token}
    for name, value in {
        "MLFLOW_TRACKING_URI": workspace.uri,
        "MLFLOW_RUN_ID": run.info.run_id,
        "MLFLOW_TRACKING_TOKEN": token,
        "MLFLOW_EXPERIMENT_ID": experiment,
        **other,
    }.items():
        patch.setenv(name, value)
    return str(run.info.run_id)
