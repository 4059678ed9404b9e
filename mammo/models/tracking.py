"""MLflow: one run and one model version a release, and the aliases that say its role.

With the stack up the server is used; without it the same database, directly. Runs may also
go to an Azure ML workspace (`workspace_uri`), and never anywhere else when it refuses; its
registry knows no aliases, so versions and roles stay in the database of the home.
"""

from __future__ import annotations

import json
import logging
import os
import posixpath
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError
from urllib.request import urlopen

from mammo.azure_mlflow.workspace import SCHEME, Workspace, find_job
from mammo.folder_entries import write_json
from mammo.settings import TELEMETRY_OFF, Settings

AZURE = f"{SCHEME}://"
EXPERIMENT = "mammo"
MODEL_NAME = "mammo-screening"
TOLD_OF_ALL = ("target", "architecture")
"""Parameters of every run, of whatever a release was made."""
KIND = "kind"
REGISTRY = "registry.json"
"""In a release's folder: which version and run it is in MLflow."""
NOT_IN_A_NAME = re.compile(r"[^\w.\- /]")
NAME_LENGTH = 250
"""What MLflow takes as a name of a metric, on every system that it runs on."""

_logger = logging.getLogger("mammo.tracking")


class Registrable(Protocol):
    """What is needed of a release to register it."""

    @property
    def id(self) -> str:
        """Name of the release."""

    @property
    def metrics(self) -> dict[str, Any]:
        """Numbers, intervals and nested groups of them."""

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest."""


@dataclass(frozen=True)
class Registered:
    """Where MLflow keeps a release."""

    run_id: str
    version: str
    url: str


def workspace_uri(settings: Settings) -> str | None:
    """Return the ``azureml://`` address of the workspace that runs go to; None without one.

    It is MAMMO_MLFLOW_ADDRESS or, in a job of Azure ML that names no other server, the
    job's own MLFLOW_TRACKING_URI.
    """
    job = os.environ.get("MLFLOW_TRACKING_URI") if find_job() else None
    given = settings.mlflow_address or job
    return given if given and given.startswith(AZURE) else None


def require_tracking(settings: Settings) -> None:
    """Ask the workspace that runs go to for our experiment: before a training, not after it.

    Raises an `AzureError` where it refuses; does nothing where runs stay in the house. From
    here on a job's token is kept fresh.
    """
    if workspace_uri(settings):
        mlflow_client(settings).get_experiment_by_name(EXPERIMENT)


def _own_uri(settings: Settings) -> str:
    """Return the server's address when it answers, else the database behind it."""
    if str(settings.mlflow_address).startswith(AZURE):
        return _store_uri(settings)
    try:
        with urlopen(f"{settings.mlflow_url}/health", timeout=2):
            return settings.mlflow_url
    except (URLError, OSError):
        return _store_uri(settings)


def _store_uri(settings: Settings) -> str:
    (settings.home.resolve() / "mlflow").mkdir(parents=True, exist_ok=True)
    return settings.mlflow_url_of_store


def mlflow_client(settings: Settings) -> Any:
    """Return a client; its registry is where its runs are, unless those go to a workspace."""
    # MLflow would print a run's address among our JSON
    os.environ.update(TELEMETRY_OFF | {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"})
    from mlflow import MlflowClient

    own = _own_uri(settings)
    return MlflowClient(tracking_uri=workspace_uri(settings) or own, registry_uri=own)


def register_release(
    settings: Settings,
    release: Registrable,
    directory: Path,
    params: dict[str, Any],
    history: list[dict[str, float]],
) -> Registered:
    """Log a run with its metrics and files, and make a model version of it.

    ``params`` are what it was made with; target and architecture are logged beside them.
    Writes ``registry.json`` into the release's folder, outside its digest. The same release
    registered again returns what that file says; where it is damaged, it is made anew.
    """
    known = _read_registry(directory)
    if known is not None:
        return Registered(**known)
    client = mlflow_client(settings)
    run = _jobs_run(client, settings) or client.create_run(
        experiment_id(client, settings), run_name=release.id
    )
    run_id = run.info.run_id
    _log(client, run_id, release, params, history)
    client.log_artifacts(run_id, str(directory), "release")
    version = _version(client, run_id, release.id)
    client.set_terminated(run_id)
    registered = Registered(run_id, version, _page(settings, run.info.experiment_id, run_id))
    write_json(directory / REGISTRY, asdict(registered))
    return registered


def _read_registry(directory: Path) -> dict[str, Any] | None:
    """Return what ``registry.json`` says; None without one, and, told, for a damaged one."""
    try:
        known = json.loads((directory / REGISTRY).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:  # no JSON, or no text
        known = None
    if not isinstance(known, dict) or "version" not in known:
        _logger.warning("%s of %s is damaged, and read as missing", REGISTRY, directory.name)
        return None
    return known


def _jobs_run(client: Any, settings: Settings) -> Any:
    """Return the run of this job of Azure ML, whose page shows it; None where it has a release."""
    job = find_job()
    if job is None or workspace_uri(settings) is None:
        return None
    run = client.get_run(job.run_id)
    return None if "release" in run.data.tags else run


def _page(settings: Settings, experiment: str, run_id: str) -> str:
    uri = workspace_uri(settings)
    if uri is None:
        return f"{settings.mlflow_url}/#/experiments/{experiment}/runs/{run_id}"
    return Workspace.from_uri(uri).run_page(run_id)


def own_version(settings: Settings, directory: Path, release_id: str) -> str | None:
    """Return the version that this MLflow has of a release; None, and told, where it has none.

    A folder that came from elsewhere may name a version of the MLflow there, whose number is
    another release's here. Nothing is told of a release that was never registered.
    """
    version = named_version(directory)
    if version is None or (owner := version_owner(settings, version)) == release_id:
        return version
    if owner is not None:
        _logger.warning("MLflow's version %s is not of %s: left as it is", version, release_id)
    return None


def named_version(directory: Path) -> str | None:
    """Return the version that a release's folder names; None where it was never registered.

    A file that is damaged, by a kill of an older version, is told and names none.
    """
    known = _read_registry(directory)
    return None if known is None else str(known["version"])


def named_run(directory: Path) -> str | None:
    """Return the run that a release's folder names, as `named_version` does its version."""
    known = _read_registry(directory)
    return None if known is None else str(known["run_id"])


def version_owner(settings: Settings, version: str) -> str | None:
    """Return the release that a version of this MLflow is of; None, and told, where none says so.

    No database is made for the question.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    own = _own_uri(settings)
    if own.startswith("sqlite:///") and not Path(own.removeprefix("sqlite:///")).exists():
        _logger.warning("MLflow does not answer: whose its version %s is, is not known", version)
        return None
    try:
        found = mlflow_client(settings).get_model_version(MODEL_NAME, version)
    except (MlflowException, SQLAlchemyError) as error:
        why = getattr(error, "error_code", type(error).__name__)
        _logger.warning("MLflow tells of no version %s: %s", version, why)
        return None
    owner: str | None = found.tags.get("release")
    return owner


def set_alias(settings: Settings, version: str, alias: str) -> None:
    """Point an alias (``champion``, ``challenger``, ``previous``) at a model version."""
    mlflow_client(settings).set_registered_model_alias(MODEL_NAME, alias, version)


def tag_version(settings: Settings, version: str, tags: dict[str, str]) -> None:
    """Attach tags to a model version, such as the gate's verdict."""
    client = mlflow_client(settings)
    for name, value in tags.items():
        client.set_model_version_tag(MODEL_NAME, version, name, value[:5000])


def experiment_id(client: Any, settings: Settings, name: str = EXPERIMENT) -> str:
    """Return the id of an experiment, which is made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if not str(client.tracking_uri).startswith(("http", AZURE)):
        location = (settings.home.resolve() / "mlflow" / "artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _log(
    client: Any,
    run_id: str,
    release: Registrable,
    params: dict[str, Any],
    history: list[dict[str, float]],
) -> None:
    """Log everything with one call an epoch: a call per metric costs a round trip each."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    manifest = release.to_dict()
    flat = {name: manifest[name] for name in TOLD_OF_ALL if name in manifest} | flatten(params)
    numbers = {metric_name(k): v for k, v in flatten(release.metrics).items() if _is_number(v)}
    tags = {"release": release.id} | ({KIND: manifest[KIND]} if KIND in manifest else {})
    client.log_batch(
        run_id,
        metrics=[Metric(k, v, now, 0) for k, v in numbers.items()],
        params=[Param(k, str(v)[:500]) for k, v in flat.items()],
        tags=[RunTag(k, v) for k, v in tags.items()],
    )
    for epoch, metrics in enumerate(history):
        client.log_batch(run_id, metrics=[Metric(k, v, now, epoch) for k, v in metrics.items()])


def _version(client: Any, run_id: str, release_id: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(MODEL_NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = client.get_run(run_id).info.artifact_uri + "/release"
    version = client.create_model_version(
        MODEL_NAME, source, run_id=run_id, tags={"release": release_id}
    )
    return str(version.version)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, keys joined by a dot."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def metric_name(name: str) -> str:
    """Return a name as MLflow takes it: a scanner's has commas, brackets and more in it."""
    told = NOT_IN_A_NAME.sub("_", name)[:NAME_LENGTH]
    as_path = posixpath.normpath(told)
    return told if as_path == told and not told.startswith(("/", "..")) else told.replace("/", "_")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
