"""MLflow's runs in an Azure ML workspace: what MLflow calls for the scheme ``azureml://``.

A workspace speaks MLflow's REST API 2.0 at its own path, with a bearer token; files of
a run go through its run history to its storage. Microsoft's plug-in `azureml-mlflow`
does the same and much more, and cannot be installed beside this project's MLflow.

    MAMMO_MLFLOW_ADDRESS=azureml://REGION.api.azureml.ms/mlflow/v2.0/subscriptions/...

Entry points in `pyproject.toml`; nothing is imported before MLflow asks for a store.
"""

from __future__ import annotations

from typing import Any


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """Return the store of an ``azureml://`` address (entry point ``mlflow.tracking_store``)."""
    from mammo.azure_mlflow.store import WorkspaceStore

    return WorkspaceStore(store_uri)


def artifact_repository(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> Any:
    """Return the files of a run (entry point ``mlflow.artifact_repository``)."""
    from mammo.azure_mlflow.artifacts import RunFiles

    return RunFiles(artifact_uri, tracking_uri, registry_uri)
