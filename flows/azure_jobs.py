"""Jobs, schedules and environments: hand them over, wait for them, tell how they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.azure_specs import FOLDER, kind_of, load_spec, require_filled_in
from flows.azure_workspace import may_pass, told
from mammo.errors import (
    AzureError,
    AzureJobFailed,
    AzureNotFound,
    AzureSignedOut,
    AzureSpecInvalid,
)

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

ENDED = ("Completed", "Failed", "Canceled", "NotResponding")
POLL_SECONDS = 20.0
PATIENCE_SECONDS = 900.0
"""A job is asked for so long without an answer: it goes on meanwhile, and another is paid for."""
SHOWN_JOBS = 10


def submit(
    client: MLClient, path: Path, *, image: str | None = None, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Hand a job, a schedule or an environment over; return what Azure made of it.

    A job's environment is registered first, where it is not there yet. ``image``
    goes over the environment's own.

    Raises
    ------
    AzureError
        Or one of its children: Azure refused, or could not be asked.
    AzureSpecInvalid
        The file is an endpoint or a deployment, which `mammo azure deploy` is for; or it
        still names nobody (OWNER, EXAMPLE.ORG). Nothing was handed over.
    """
    kind = kind_of(path)
    if kind in ("endpoint", "deployment"):
        raise AzureSpecInvalid(f"{path.name} is of a service: use `mammo azure deploy`")
    if kind == "environment":
        return _register(client, path, image)
    require_filled_in(path)
    entity = load_spec(path)
    # a monitor runs Azure's own code, and needs none of ours
    ours = FOLDER / "environment.yml"
    environment = {} if kind == "monitor" else _register(client, ours, image)
    if kind in ("schedule", "monitor"):
        with told(f"submit {path.name}"):
            made = client.schedules.begin_create_or_update(entity).result()
        return {"schedule": made.name, "enabled": made.is_enabled, **environment}
    entity.tags = {**(entity.tags or {}), **(tags or {})}
    with told(f"submit {path.name}"):
        job = client.jobs.create_or_update(entity)
    return {**tell_job(job), **environment}


def _register(client: MLClient, path: Path, image: str | None) -> dict[str, Any]:
    """Register the environment, unless this version is there with the same image."""
    changes = {"image": image} if image else {}
    require_filled_in(path, **changes)
    wanted = load_spec(path, **changes)
    name = f"{wanted.name}:{wanted.version}"
    try:
        with told(f"look for environment {name}"):
            there = client.environments.get(wanted.name, wanted.version)
    except AzureNotFound:
        with told(f"register environment {name}"):
            there = client.environments.create_or_update(wanted)
    if there.image != wanted.image:
        raise AzureSpecInvalid(
            f"environment {name} is registered with {there.image}, not {wanted.image}: "
            f"a version never changes, give {path.name} a new one"
        )
    return {"environment": name, "image": there.image}


def tell_job(job: Any) -> dict[str, Any]:
    """Return what is told of a job."""
    status = str(getattr(job.status, "value", job.status))
    told_of = {"job": job.name, "title": job.display_name, "status": status}
    return told_of | {"studio": job.studio_url}


def wait_for(
    client: MLClient,
    name: str,
    advance: Callable[[str], None] = lambda _status: None,
    poll_seconds: float | None = None,
) -> dict[str, Any]:
    """Follow a job to its end; ``advance`` is told each status, or ``no answer``.

    Raises
    ------
    AzureJobFailed
        It ended without completing.
    AzureError
        Or one of its children: Azure refused, or has not answered for a quarter of an hour.
    """
    unanswered_since: float | None = None
    while True:
        try:
            now = look_at(client, name)
            unanswered_since = None
        except AzureError as error:
            # whoever handed the job over was signed in: a token that fails now may be had again
            if not (may_pass(error) or isinstance(error, AzureSignedOut)):
                raise
            unanswered_since = unanswered_since or time.monotonic()
            _require_patience(name, error, time.monotonic() - unanswered_since)
            now = {"status": "no answer"}
        advance(now["status"])
        if now["status"] in ENDED:
            break
        time.sleep(POLL_SECONDS if poll_seconds is None else poll_seconds)
    if now["status"] != "Completed":
        raise AzureJobFailed(f"job {name} ended as {now['status']}; its log is at {now['studio']}")
    return now


def _require_patience(name: str, error: AzureError, seconds: float) -> None:
    """Raise the error, and say what becomes of the job, where it has lasted too long."""
    if seconds < PATIENCE_SECONDS:
        return
    raise type(error)(
        f"{error.message.rstrip('.')}. It has been so for {seconds / 60:.0f} minutes. The job goes "
        f"on: `mammo azure status {name}` tells how it is; submitted again it is paid for twice."
    ) from error


def look_at(client: MLClient, name: str) -> dict[str, Any]:
    """Return what is told of the job of this name."""
    with told(f"look at job {name}"):
        return tell_job(client.jobs.get(name))


def newest_jobs(client: MLClient, limit: int = SHOWN_JOBS) -> list[dict[str, Any]]:
    """Return the newest jobs of the experiment `mammo`, newest first."""
    found: list[dict[str, Any]] = []
    with told("list jobs"):
        for job in client.jobs.list():
            if getattr(job, "experiment_name", None) == "mammo":
                found.append(tell_job(job))
            if len(found) == limit:
                break
    return found
