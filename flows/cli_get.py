"""`mammo data get rsna` and `mammo data get dicomweb`: data from far away."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show, stage_bars

RSNA_EXAMPLE = "Example: mammo data get rsna --to rsna --images 100"
DICOMWEB_EXAMPLE = "Example: mammo data get dicomweb https://pacs.example/dicom-web"


def add_get_commands(get: typer.Typer) -> None:
    """Add the commands to the `mammo data get` sub-app."""
    get.command("rsna", epilog=RSNA_EXAMPLE)(get_rsna)
    get.command("dicomweb", epilog=DICOMWEB_EXAMPLE)(get_dicomweb)


@reported
def get_rsna(
    to: Annotated[Path, typer.Option(help="Folder to write to; the whole set needs 314 GB.")],
    only: Annotated[
        list[str] | None, typer.Option(help="Only this file, e.g. train.csv; may be repeated.")
    ] = None,
    patients: Annotated[
        str | None, typer.Option(help="Only these patients (patient_id), e.g. 5,10025.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Whole patients, in the table's order, up to so many images."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Download nothing; compare with checksums.sha256.")
    ] = False,
    connections: Annotated[int, typer.Option(min=1, max=16, help="Files at a time.")] = 4,
    as_json: Json = False,
) -> None:
    """Download the RSNA challenge from Kaggle (KAGGLE_API_TOKEN); run it again to go on."""
    from mammo.data.download_rsna import Choice, download_rsna
    from mammo.data.download_set import verify_set

    with stage_bars(quiet=as_json) as advance:
        if verify:
            show({"directory": to, "verified": verify_set(to, advance)}, as_json=as_json)
            return
        chosen = tuple(one.strip() for one in (patients or "").split(",") if one.strip())
        choice = Choice(tuple(only or ()), chosen, images)
        done = download_rsna(to, choice, connections=connections, advance=advance)
    result: dict[str, Any] = {"directory": to, "files": done.files, "fetched": done.fetched}
    show(result | {"megabytes": done.bytes / 1e6}, as_json=as_json)
    if not as_json:
        say(f"next: mammo ingest --source rsna {to}")


@reported
def get_dicomweb(
    url: Annotated[
        str | None, typer.Argument(help="The archive's DICOMweb root; MAMMO_DICOMWEB_URL if none.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder to write to; the home's spool if none is given.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Ask for studies from this day on, once."),
    ] = None,
    overlap_days: Annotated[
        int,
        typer.Option(min=0, max=36_500, help="Days before the watermark that are asked for again."),
    ] = 7,
    as_json: Json = False,
) -> None:
    """Fetch the mammograms that an archive got since the last time (QIDO-RS, WADO-RS)."""
    from mammo.data.sources.dicomweb import fetch_new

    with stage_bars(quiet=as_json) as advance:
        done = fetch_new(
            settings_from_environment(),
            url=url,
            folder=to,
            since=since.date() if since else None,
            overlap_days=overlap_days,
            advance=advance,
        )
    show(done.to_dict(), as_json=as_json, title="DICOMweb")
    if not as_json:
        say(f"next: mammo ingest --source dicomweb {done.directory}")
