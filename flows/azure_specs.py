"""The files of deploy/azure, read by azure-ai-ml's own schemas."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flows.azure_workspace import told
from mammo.errors import AzureSpecInvalid
from mammo.project_files import project_folder

FOLDER = project_folder("deploy/azure")
KINDS = {
    "environment.schema.json": "environment",
    "commandJob.schema.json": "job",
    "pipelineJob.schema.json": "job",
    "schedule.schema.json": "schedule",
    "monitorSchedule.schema.json": "monitor",
    "managedOnlineEndpoint.schema.json": "endpoint",
    "managedOnlineDeployment.schema.json": "deployment",
}

PLACEHOLDERS = {
    re.compile("ghcr\\.io/owner/", re.I): (
        "give --image, or write in place of OWNER who has the images, in small letters"
    ),
    re.compile("@example\\.(org|com|net)$", re.I): "write the address of whoever is to be told",
}


def find_spec(name: str) -> Path:
    """Return the file that ``name`` means: a path, or a name in deploy/azure.

    Raises
    ------
    AzureSpecInvalid
        There is none.
    """
    for path in (Path(name), FOLDER / f"{name}.yml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yml")))
    raise AzureSpecInvalid(f"there is no file {Path(name).name} and no {name}.yml; known: {known}")


def kind_of(path: Path) -> str:
    """Return what a file describes, by its ``$schema``: job, schedule, endpoint …"""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise AzureSpecInvalid(f"{path.name} is no YAML: {error}") from error
    schema = str((document or {}).get("$schema", "")).rpartition("/")[2]
    if schema not in KINDS:
        raise AzureSpecInvalid(
            f"{path.name} has $schema {schema or 'none'}; known: {', '.join(KINDS)}"
        )
    return KINDS[schema]


def require_filled_in(path: Path, **changes: str) -> None:
    """Refuse a file that still has the names of nobody it is shipped with; ``changes`` go over it.

    Raises
    ------
    AzureSpecInvalid
        It has one; the message says where, and what belongs there.
    """
    for place, text in _texts({**yaml.safe_load(path.read_text()), **changes}):
        for placeholder, advice in PLACEHOLDERS.items():
            if placeholder.search(text):
                raise AzureSpecInvalid(f"{path.name}: {place} is {text}: {advice}")


def _texts(document: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text of a document, with the names that lead to it."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _texts(value, f"{place}.{name}" if place else str(name))
    elif isinstance(document, list):
        for value in document:
            yield from _texts(value, place)
    elif isinstance(document, str):
        yield place, document


def load_spec(path: Path, **changes: str) -> Any:
    """Return the SDK's object of a file; ``changes`` go over its top level.

    Raises
    ------
    AzureSpecInvalid
        Azure's schema refuses the file.
    """
    from azure.ai.ml import (
        load_environment,
        load_job,
        load_online_deployment,
        load_online_endpoint,
    )
    from azure.ai.ml.entities._load_functions import load_schedule  # in no public place

    loaders = {
        "environment": load_environment,
        "job": load_job,
        "schedule": load_schedule,
        "monitor": load_schedule,
        "endpoint": load_online_endpoint,
        "deployment": load_online_deployment,
    }
    override = [{name: value} for name, value in changes.items()]
    with told(f"read {path.name}"):
        return loaders[kind_of(path)](path, params_override=override)


def as_document(entity: Any) -> dict[str, Any]:
    """Return an object of the SDK as the document that it would be written as."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dumped.yml"
        returned = entity.dump(path)  # an endpoint returns what others write
        return dict(returned or yaml.safe_load(path.read_text()))
