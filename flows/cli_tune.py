"""`mammo tune`: settings searched on the training patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show

EPILOG = "Example: mammo tune --config demo --space configs/tune/demo.yaml --study first"


def add_tune_command(app: typer.Typer) -> None:
    """Add `mammo tune`."""
    app.command(epilog=EPILOG)(tune)


@reported
def tune(
    space: Annotated[Path, typer.Option(help="YAML: settings and their ranges.")],
    study: Annotated[str, typer.Option(help="Name; asked again, the study goes on.")],
    config: Annotated[str, typer.Option(help="Configuration to start from.")] = "demo",
    trials: Annotated[int, typer.Option(min=1, help="Whole trials in all.")] = 20,
    storage: Annotated[
        str | None, typer.Option(help="SQLAlchemy URL; without it, SQLite in the home folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search settings by out-of-fold AUC of the training patients; the golden set stays sealed."""
    from mammo.continual.tune import tune as run
    from mammo.continual.tune_space import read_space

    settings = settings_from_environment()
    found = run(settings, study, config, read_space(space), trials, storage)
    show(found.to_dict(), as_json=as_json)
