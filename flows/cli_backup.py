"""`mammo backup` and `mammo restore`: all state of an installation, out and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show, stage_bars, tell

if TYPE_CHECKING:
    from mammo.backup import Manifest

TOLD = {
    "log": ("predictions", "outcomes", "episodes", "changes", "gates"),
    "mlflow": ("runs", "model_versions"),
    "prefect": ("flow_run",),
    "gateway": ("studies", "deliveries"),
}
"""Tables whose rows a person is told, by database; the JSON and the manifest have all."""


def add_backup_commands(app: typer.Typer) -> None:
    """Add `mammo backup` and `mammo restore`."""
    app.command(epilog="Example: mammo backup /mnt/backup/mammo-$(date +%F)")(backup)
    app.command(epilog="Example: mammo restore /mnt/backup/mammo-2026-11-29 --replace")(restore)


@reported
def backup(
    to: Annotated[Path, typer.Argument(help="The new folder to write, better on another disk.")],
    without_secrets: Annotated[
        bool, typer.Option("--without-secrets", help="Leave out keys and peers.yaml.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Leave out a folder, e.g. images; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy all state while the installation runs: log, releases, runs, data versions, books.

    SQLite is copied by its online backup, PostgreSQL by pg_dump. The folder holds patients'
    images and, unless left out, secret keys: it is for its owner alone (0700); keep it so.
    """
    from mammo.backup import take_backup

    settings = settings_from_environment()
    with stage_bars(quiet=as_json) as advance:
        taken = take_backup(
            settings,
            to,
            secrets=not without_secrets,
            without=tuple(without or ()),
            progress=advance,
        )
    if as_json:
        show({"folder": str(taken.folder), **_summary(taken.manifest)}, as_json=True)
        return
    _show(taken.manifest, f"Backup {taken.folder.name}")
    if taken.manifest.secrets and not without_secrets:
        tell(f"It holds secrets: {', '.join(taken.manifest.secrets)}.")


@reported
def restore(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="The folder of a backup.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Keep the state that is here aside, then restore.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check every byte of a backup, then make this installation what it was.

    End the services first (`mammo down`). Killed half-way, run the same command again.
    """
    from mammo.backup import restore_backup

    settings = settings_from_environment()
    with stage_bars(quiet=as_json) as advance:
        done = restore_backup(settings, source, replace=replace, progress=advance)
    aside = str(done.aside) if done.aside else None
    if as_json:
        show({"home": str(done.home), "aside": aside, **_summary(done.manifest)}, as_json=True)
        return
    _show(done.manifest, f"Restored from {source.name}")
    if aside:
        tell(f"What was here before lies in {aside}; remove it when all is well.")


def _summary(manifest: Manifest) -> dict[str, Any]:
    files = [one for one in manifest.entries if one.has_content]
    return {
        "created_at": manifest.created_at,
        "mammo_version": manifest.mammo_version,
        "files": len(files),
        "bytes": manifest.total_bytes,
        "databases": manifest.databases,
        "rows": manifest.rows,
        "secrets": list(manifest.secrets),
        "left_out": list(manifest.left_out),
    }


def _show(manifest: Manifest, title: str) -> None:
    summary = _summary(manifest)
    told: dict[str, Any] = {
        "taken at": manifest.created_at,
        "files": f"{summary['files']:,}, {manifest.total_bytes / 2**20:,.1f} MB",
    }
    for name, place in manifest.databases.items():
        rows = manifest.rows[name]
        counts = ", ".join(f"{rows[one]:,} {one}" for one in TOLD.get(name, ()) if one in rows)
        told[name] = " ".join([place["kind"], place.get("version", ""), counts]).strip()
    if manifest.left_out:
        told["left out"] = ", ".join(manifest.left_out)
    show(told, as_json=False, title=title)
