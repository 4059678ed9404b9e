"""`mammo card`: the model card of a release, and the card of the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import (
    Json,
    own_command,
    reported,
    say,
    settings_from_environment,
    show,
    tell,
)
from mammo.errors import MammoError

if TYPE_CHECKING:
    from mammo.appraisal.card_files import CardFiles
    from mammo.settings import Settings

DATA = "data"
EPILOG = "Example: mammo card r-20261122-1a2b3c4d --html card.html"


def add_card_command(app: typer.Typer) -> None:
    """Add `mammo card`."""
    app.command(epilog=EPILOG)(card)


@reported
def card(
    what: Annotated[str, typer.Argument(help="Release id or folder; or `data` for the data.")],
    version: Annotated[
        str | None, typer.Option(help="With `data`: a data version, the index as it is by default.")
    ] = None,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="The page to write.")] = None,
    to: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for the page and its Markdown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the card of a release or of the data: use, who, how well, limits, what is unknown."""
    if html and to:
        raise typer.BadParameter("give --html FILE or --to FOLDER, not both")
    if html and html.suffix.lower() == ".md":
        raise typer.BadParameter(
            "--html names the page; the Markdown beside it has the same name with .md"
        )
    if version and what != DATA:
        raise typer.BadParameter("--version goes with `mammo card data`")
    written = _write(what, version, html, to)
    if as_json:
        show(written.to_dict(), as_json=True)
        return
    found = {"page": written.html, "markdown": written.markdown, "sections": len(written.sections)}
    show(found, as_json=False, title="Card")
    for sentence in written.warnings:
        tell(f"warning: {sentence}")


def log_cards(settings: Settings, directory: Path) -> None:
    """Put both cards into the MLflow run of a release, where it has one.

    What was trained or judged stands without them: why they are missing is said on stderr.
    """
    from mammo.appraisal.card_log import log_cards as log

    try:
        log(settings, directory, lambda told: say(f"warning: {told}"))
    except MammoError as error:
        say(f"warning: the cards are not in MLflow ({error.code}: {error.message})")


def warn_of_lost_detector(settings: Settings, directory: Path) -> None:
    """Say on stderr where a release would end the detection of the one in service."""
    from mammo.continual.carried_detector import tell_lost
    from mammo.continual.judge import in_service

    if sentence := tell_lost(in_service(settings), directory):
        say(f"warning: {sentence}")


def _write(what: str, version: str | None, html: Path | None, to: Path | None) -> CardFiles:
    from mammo.appraisal.card_files import write_dataset_card, write_model_card
    from mammo.release import find_release

    settings, command = settings_from_environment(), own_command()
    if what == DATA:
        return write_dataset_card(settings, version=version, html=html, to=to, command=command)
    folder = Path(what)
    directory = folder.resolve() if folder.is_dir() else find_release(settings.releases_dir, what)
    return write_model_card(settings, directory, html=html, to=to, command=command)
