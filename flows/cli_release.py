"""`mammo release`: a release on its way out of the house."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show


def add_release_commands(app: typer.Typer) -> None:
    """Add the `mammo release` sub-app."""
    release = typer.Typer(
        help="A release on its way into an image of the service (docs/ci.md).",
        no_args_is_help=True,
    )
    # a callback keeps the name of the only command
    release.callback()(lambda: None)
    release.command(epilog="Example: mammo release context r-20261122-1a2b3c4d context")(context)
    app.add_typer(release, name="release")


@reported
def context(
    release: Annotated[str, typer.Argument(help="Release that may go into service.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must not be there.")],
    as_json: Json = False,
) -> None:
    """Write the folder that an image of the service with this release inside is built from.

    Only of a release that the gate passed, that the change-control plan lets into
    service and that a trusted key signed. It holds pseudonyms of the exams that the
    release is compared with: hand it to private repositories and registries alone.
    """
    from bentos.screening.image_context import write_context

    told = write_context(release, settings_from_environment(), folder)
    show(told | {"context": str(folder)}, as_json=as_json, title="Context")
