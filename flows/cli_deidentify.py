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
from mammo.errors import SourceNotFound

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

    Header by PS3.15's basic profile, the same pixels; text burned into them stays.
    Mammograms only. Running it again changes nothing. Status 2 when a file was refused.
    """
    from mammo.data.dicom_folder import list_dicom
    from mammo.dicom.deidentified_copy import Copier
    from mammo.killable import KillablePool, Limits

    if not path.exists():
        raise SourceNotFound("there is no file or folder at that path")
    settings = settings_from_environment()
    key, max_bytes = settings.pseudonym_key(), settings.max_file_mb * 2**20
    files = [path] if path.is_file() else [item.path for item in list_dicom(path).items]
    sources = [file for file in files if not file.resolve().is_relative_to(to.resolve())]
    limits = Limits(settings.read_seconds, settings.read_memory_mb)
    outcomes = []
    with KillablePool(1, limits) as pool, progress_bar("files", quiet=as_json) as progress:
        copier = Copier(to, key, max_bytes, pool)
        for done, file in enumerate(sources, 1):
            outcomes.append((file, copier.copy(file)))
            progress(done, len(sources))
    _show(to, outcomes, as_json=as_json)


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
