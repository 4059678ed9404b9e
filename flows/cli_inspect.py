"""`mammo inspect`: what a file or a folder is to mammo, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import (
    Json,
    output,
    progress_bar,
    reported,
    say,
    settings_from_environment,
    show,
)
from mammo.errors import ReadError, SourceNotFound

if TYPE_CHECKING:
    from mammo.settings import Settings


@reported
def inspect(
    target: Annotated[Path, typer.Argument(help="A DICOM file, or a folder of them.")],
    png: Annotated[
        Path | None, typer.Option(help="Draw the file as displayed and as the model sees it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what mammo reads in a DICOM file and why, without identity.

    Of a folder: its images by exam, the preferred view of each breast, and the
    refusals. Status 2 when nothing could be read.
    """
    settings = settings_from_environment()
    if target.is_dir():
        if png is not None:
            raise typer.BadParameter("--png draws one file, and this is a folder")
        found = _inspect_folder(target, settings, quiet=as_json)
        readable = bool(found["exams"])
    elif target.is_file():
        found = _inspect_file(target, settings, png)
        readable = found["readable"]
    else:
        raise SourceNotFound(f"there is no file {target.name} at that path")
    if as_json:
        show(found, as_json=True)
    else:
        (_show_folder if target.is_dir() else _show_file)(found)
        if png is not None:
            say(f"drawn: {png}")
    if not readable:
        raise typer.Exit(2)


def _inspect_file(path: Path, settings: Settings, png: Path | None) -> dict[str, Any]:
    """Read in a process that may die: a hostile file is a code, not the end."""
    from flows.preparation import choose_preprocess
    from mammo.describe import inspect_file, refused
    from mammo.killable import KillablePool
    from mammo.picture import draw_refusal
    from mammo.reading import read_limits

    if png is not None and not png.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {png.parent.name} to write {png.name} to")
    given = (settings.pseudonym_key(), settings.site, choose_preprocess(settings))
    limits = read_limits(settings)
    with KillablePool(1, limits) as pool:
        task = pool.submit(inspect_file, path.resolve(), *given, png is not None)
        try:
            described, picture = task.result()
        except ReadError as error:  # the process died: it can say nothing
            described = refused(path.name, error)
            picture = draw_refusal(described)
    if png is not None:
        png.write_bytes(picture)
    return dict(described)


def _inspect_folder(folder: Path, settings: Settings, *, quiet: bool) -> dict[str, Any]:
    from flows.preparation import choose_preprocess
    from mammo.data.sources.dicom_folder import list_dicom
    from mammo.describe_folder import describe_folder, read_folder
    from mammo.killable import KillablePool
    from mammo.reading import read_limits

    listing = list_dicom(folder)
    paths = [item.path.resolve() for item in listing.items]
    if not paths:
        raise SourceNotFound(f"the folder {folder.name} holds no file that could be DICOM")
    given = (settings.pseudonym_key(), settings.site, choose_preprocess(settings))
    root = folder.resolve()
    read = []
    limits = read_limits(settings)
    with KillablePool(2, limits) as pool, progress_bar("files", quiet=quiet) as progress:
        for path, found in read_folder(paths, pool, *given):
            read.append((str(path.relative_to(root)), found))
            progress(len(read), len(paths))
    read += [(str(place.relative_to(folder)), error) for place, error in listing.unentered]
    return describe_folder(read)


def _show_file(found: dict[str, Any]) -> None:
    """Print the facts of one file in groups, for 100 columns."""
    from rich.markup import escape
    from rich.table import Table

    console = output()
    view = (found.get("mammogram") or {}).get("view", "")
    console.print(f"[bold]{escape(found['file'])}[/]  {view}")
    if "refusal" in found:
        console.print(_refusal_panel(found["refusal"]))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", overflow="fold", max_width=22)
    table.add_column(overflow="fold", ratio=2, min_width=24)
    table.add_column(style="dim", overflow="fold", ratio=3)
    group = ""
    for fact in found.get("facts", []):
        if fact["group"] != group:
            group = fact["group"]
            table.add_row(f"[cyan]{group}[/]")
        told = [part for part in (fact["from"], fact["why"]) if part]
        table.add_row(*(escape(part) for part in (fact["name"], fact["value"], "; ".join(told))))
    console.print(table)


def _refusal_panel(refusal: dict[str, str]) -> Any:
    from rich.markup import escape
    from rich.panel import Panel

    told = [refusal["meaning"], refusal["message"], f"What to do: {refusal['advice']}"]
    title = f"refused: {refusal['code']}"
    return Panel("\n".join(map(escape, told)), title=title, title_align="left", border_style="red")


def _show_folder(found: dict[str, Any]) -> None:
    """Print a table an exam, and one of the refusals."""
    from rich.table import Table

    for exam in found["exams"]:
        title = f"exam {exam['exam']}, patient {exam['patient']}, {exam['scanner']}"
        table = Table(title=title, title_justify="left", title_style="bold")
        for column in ("view", "use", "file", "pixels", "day", "quality"):
            table.add_column(column, overflow="fold")
        for image in exam["images"]:
            table.add_row(*_image_row(image))
        output().print(table)
    if found["refused"]:
        counts = ", ".join(f"{count} {code}" for code, count in found["codes"].items())
        table = Table("file", "code", "message", title=f"refused: {counts}", title_justify="left")
        for one in found["refused"]:
            table.add_row(_plain(one["file"]), one["code"], _plain(one["message"]))
        output().print(table)


def _image_row(image: dict[str, Any]) -> tuple[str, ...]:
    use = "preferred" if image["preferred"] else "kept" if image["suitable"] else "-"
    if image["preferred"] and not image["suitable"]:
        use = "not scored"
    size = f"{image['rows']} x {image['columns']}"
    quality = ", ".join(image["quality"]) or "-"
    return image["view"], use, _plain(image["file"]), size, image["acquired_on"] or "-", quality


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
