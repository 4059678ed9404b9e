"""The package flow: the Bento of a release."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from bentos.screening.packaging import package_release
from mammo.release import find_release
from mammo.settings import read_settings

__all__ = ["build", "package", "package_release"]


@task(retries=1, retry_delay_seconds=5)
def build(release_id: str) -> str:
    """Build the Bento, unless the store has it; return its tag."""
    settings = read_settings()
    return package_release(find_release(settings.releases_dir, release_id), settings)


@task
def explain(release_id: str, tag: str) -> None:
    """Leave the tag in the Prefect UI."""
    lines = [
        f"## Bento `{tag}`",
        f"Holds release `{release_id}`, the project's wheel and pinned packages.",
        f"Put it into service with `mammo deploy {release_id}`, or serve it alone:",
        f"`bentoml serve {tag}`.",
    ]
    create_markdown_artifact(key="bento", markdown="\n\n".join(lines), description="The Bento")


@flow(name="package", persist_result=True, result_serializer="json")
def package(release_id: str) -> dict[str, Any]:
    """Build the Bento of a release; return its tag."""
    tag = build(release_id)
    explain(release_id, tag)
    return {"release": release_id, "bento_tag": tag}
