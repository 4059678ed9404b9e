"""`mammo explore`: the report on the data, and the contact sheet of the augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show, stage_bars, tell

if TYPE_CHECKING:
    from flows.progress import Advance
    from mammo.explore.report import ExploreReport

EPILOG = "Example: mammo explore --source rsna path/to/train.csv --to rsna.html"


def add_explore_commands(app: typer.Typer) -> None:
    """Add `mammo explore` and `mammo explore augment`."""
    group = typer.Typer(invoke_without_command=True, epilog=EPILOG)
    group.callback()(explore)
    group.command("augment", epilog="Example: mammo explore augment --preset strong")(augment)
    app.add_typer(group, name="explore")


@reported
def explore(
    context: typer.Context,
    source: Annotated[
        tuple[str, Path] | None,
        typer.Option(
            metavar="NAME PATH",
            help="Report on a set's table alone (rsna, mini-mias, ...), not on the index.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The page to write.")] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page on what is in the data: the index, or a set's table alone."""
    if context.invoked_subcommand is not None:
        return
    with stage_bars(quiet=as_json) as bars:
        report = _explore(source, to, lambda stage, done, total: bars("sections", done, total))
    found = {"page": report.path, "sections": len(report.chapters)}
    found |= {"megabytes": round(report.bytes_written / 2**20, 2)}
    if as_json:
        told = {"warnings": report.warnings, "sentences": report.leads}
        show(found | told, as_json=True)
        return
    show(found, as_json=False, title="Exploration")
    for sentence in report.warnings:
        tell(f"warning: {sentence}")


def _explore(source: tuple[str, Path] | None, to: Path | None, progress: Advance) -> ExploreReport:
    from mammo.explore.report import REPORT_NAME, explore_index, explore_table

    settings = settings_from_environment()
    if source is None:
        return explore_index(settings, to=to, progress=progress)
    name, path = source
    page = to or settings.reports_dir / Path(REPORT_NAME).with_name(f"{name}.html")
    return explore_table(name, path, settings, to=page, progress=progress)


@reported
def augment(
    preset: Annotated[str, typer.Option(help="light, standard or strong.")] = "standard",
    config: Annotated[
        str | None, typer.Option(help="Take what this configuration asks for instead.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="A DICOM file, or the number of a row of the index.")
    ] = None,
    each: Annotated[int, typer.Option(min=1, max=20, help="Draws of each transform.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed draws the same sheet.")] = 7,
    to: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("augment.png"),
    as_json: Json = False,
) -> None:
    """Draw what augmentation does to an image: the original, each transform alone, all at once."""
    from mammo.augment_settings import resolve_augment
    from mammo.data.durable import write_file
    from mammo.explore.augment_sheet import draw_augment_sheet
    from mammo.explore.chosen import choose_image

    asked = _asked(preset, config)
    names = list(resolve_augment(asked))
    pixels, boxes = choose_image(settings_from_environment(), image)
    sheet = draw_augment_sheet(pixels, boxes, asked, each=each, seed=seed)
    write_file(to, lambda handle: handle.write(sheet), drafts=to.absolute().parent)
    show({"sheet": to, "transforms": names, "boxes": len(boxes)}, as_json=as_json)


def _asked(preset: str, config: str | None) -> bool | str | dict[str, object]:
    if config is None:
        return preset
    from mammo.models.config import read_config

    return read_config(config).augment
