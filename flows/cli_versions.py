"""`mammo data versions | diff | checkout | push | fetch | trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_terminal import (
    Json,
    reported,
    say,
    settings_from_environment,
    show,
    show_rows,
    tell,
)

SHOWN = ("release", "kind", "data_version", "index_md5", "shards", "images", "problems")
Version = Annotated[str, typer.Argument(help="Its name, how it begins, or `current`.")]


def add_version_commands(data: typer.Typer) -> None:
    """Add the commands on data versions to `mammo data`."""
    for command, example in (
        (versions, "mammo data versions --remote"),
        (diff, "mammo data diff 3f2a current"),
        (checkout, "mammo data checkout 3f2a"),
        (push, "MAMMO_DATA_REMOTE=s3://bucket/mammo mammo data push current"),
        (fetch, "mammo data fetch 3f2a"),
        (trace, "mammo data trace r-20261122-1a2b3c4d --out images.csv"),
    ):
        data.command(epilog=f"Example: {example}")(command)


@reported
def versions(
    remote: Annotated[bool, typer.Option("--remote", help="List the remote's instead.")] = False,
    as_json: Json = False,
) -> None:
    """List the data versions, oldest first; the one in the store is marked."""
    from mammo.data.version import current_version, list_versions
    from mammo.data.version_remote import remote_versions

    settings = settings_from_environment()
    known = remote_versions(settings) if remote else list_versions(settings)
    now = current_version(settings)
    rows = [
        {
            "version": name,
            "made_at": one["made_at"],
            "images": one["rows"],
            "in_store": name == now,
        }
        for name, one in known.items()
    ]
    if as_json:
        show({"versions": rows}, as_json=True)
        return
    show_rows(rows, ("version", "made_at", "images", "in_store"), "Data versions")
    if not rows:
        say(
            "there is no data version on the remote yet: `mammo data push` brings one"
            if remote
            else "there is no data version yet: `mammo ingest` makes one"
        )


@reported
def diff(before: Version, after: Version = "current", as_json: Json = False) -> None:
    """Say what changed from one data version to another."""
    from mammo.data.version_diff import diff_versions

    found = diff_versions(settings_from_environment(), before, after)
    if as_json:
        show(found.to_dict(), as_json=True)
        return
    for sentence in found.sentences():
        tell(sentence)


@reported
def checkout(version: Version, as_json: Json = False) -> None:
    """Put the store back to what it was in a version; nothing is lost."""
    from mammo.data.version import current_version
    from mammo.data.version_files import checkout_version

    settings = settings_from_environment()
    before = current_version(settings)
    name = checkout_version(settings, version)
    show({"version": name, "before": before}, as_json=as_json, title="Checkout")
    if not as_json and before not in ("", name):
        say(f"next: mammo data checkout {before} goes back")


@reported
def push(version: Version = "current", as_json: Json = False) -> None:
    """Copy a version to the remote (MAMMO_DATA_REMOTE: a folder, s3:// or azure://)."""
    from mammo.data.version_remote import push_version

    show(push_version(settings_from_environment(), version), as_json=as_json, title="Push")


@reported
def fetch(version: Version, as_json: Json = False) -> None:
    """Bring a version's files from the remote; the store stays as it is until `checkout`."""
    from mammo.data.version_remote import fetch_version

    result = fetch_version(settings_from_environment(), version)
    show(result, as_json=as_json, title="Fetch")
    if not as_json:
        say(f"next: mammo data checkout {result['version']}")


@reported
def trace(
    release: Annotated[str, typer.Argument(help="A release, as `mammo status` names it.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a row per image, with file hashes, as CSV.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Believe DVC's cache; do not hash its files anew.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Trace a release to the files it was made of. Status 1 when something does not agree."""
    from mammo.continual.trace import trace_release

    found = trace_release(settings_from_environment(), release, read_all=not quick)
    if out is not None:
        found.write_images(out)
    if as_json:
        show(found.to_dict(), as_json=True)
    else:
        for row in found.to_dict()["steps"]:
            told = _step(row)
            show({name: told[name] for name in SHOWN}, as_json=False, title="Made of")
        for step in found.steps:
            for problem in step.problems:
                tell(f"{step.release}: {problem}")
        if found.whole:
            tell(
                "every file is here; none was hashed anew (--quick)"
                if quick
                else "every file is here and is what was written"
            )
    if not found.whole:
        raise typer.Exit(1)


def _step(step: dict[str, Any]) -> dict[str, Any]:
    counts = step.pop("images")
    return step | {
        "images": ", ".join(f"{part} {count}" for part, count in counts.items()),
        "problems": len(step["problems"]),
    }
