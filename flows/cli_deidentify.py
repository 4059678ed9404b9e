"""`mammo deidentify`: copies of DICOM files without anybody's identity."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import (
    Json,
    progress_bar,
    reported,
    settings_from_environment,
    show_with_refused,
)
from mammo.errors import SourceInvalid, SourceNotFound

if TYPE_CHECKING:
    from mammo.dicom.deidentified_copy import Copied


def add_deidentify_command(app: typer.Typer) -> None:
    """Add `deidentify`."""
    app.command(epilog="Example: mammo deidentify exams --to shareable")(deidentify)


@reported
def deidentify(
    path: Annotated[Path, typer.Argument(help="A DICOM file, or a folder of them.")],
    to: Annotated[Path, typer.Option(help="Folder for the copies, made if needed.")],
    as_json: Json = False,
) -> None:
    """Write de-identified copies, named by pseudonyms: PATIENT/EXAM/IMAGE.dcm.

    Header by PS3.15's basic profile, the same pixels; text burned into them stays, and
    is counted where the file admits it or keeps an overlay in coded pixels. Mammograms
    only. Running it again changes nothing. Status 2 when a file was refused.
    """
    from mammo.data.durable import storing
    from mammo.dicom.deidentified_copy import Copier
    from mammo.killable import KillablePool
    from mammo.reading import read_limits

    sources = _list_sources(path, to)
    settings = settings_from_environment()
    key, max_bytes = settings.pseudonym_key(), settings.max_file_mb * 2**20
    limits = read_limits(settings)
    outcomes = []
    with KillablePool(1, limits) as pool, progress_bar("files", quiet=as_json) as progress:
        copier = Copier(to, key, max_bytes, pool)
        for done, file in enumerate(sources, 1):
            with storing(to):
                outcomes.append((file, copier.copy(file)))
            progress(done, len(sources))
    _show(to, outcomes, as_json=as_json)


def _list_sources(path: Path, to: Path) -> list[Path]:
    """Return the files to copy, without those in the folder of copies."""
    from mammo.data.sources.registry import list_items

    if not path.exists():
        raise SourceNotFound("there is no file or folder at that path")
    if to.is_file():
        raise SourceInvalid("--to is a file: give another --to, a folder for the copies")
    files = [path] if path.is_file() else [one.path for one in list_items("dicom", path).items]
    sources = [file for file in files if not file.resolve().is_relative_to(to.resolve())]
    if not sources:
        raise SourceInvalid(
            f"all {len(files)} files lie in the folder of the copies: give another --to"
        )
    return sources


def _show(to: Path, outcomes: list[tuple[Path, Copied]], *, as_json: bool) -> None:
    counts = Counter(outcome.state for _, outcome in outcomes)
    told: dict[str, Any] = {state: counts[state] for state in ("written", "unchanged", "refused")}
    told["burned_in_annotation"] = sum(outcome.burned_in for _, outcome in outcomes)
    refused = [
        {"file": file.name, "sha256": one.sha256, "code": one.code, "message": one.message}
        for file, one in outcomes
        if one.state == "refused"
    ]
    show_with_refused({"to": str(to), **told}, refused, "De-identified", as_json=as_json)
    if refused:
        raise typer.Exit(2)
