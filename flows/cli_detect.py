"""`mammo detect`: detectors of findings, trained and measured on the index."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_files import read_files, say_refused
from flows.cli_joined import KeepBoxFrame, add_joined_commands, screen_with_release
from flows.cli_terminal import (
    Json,
    reported,
    say,
    settings_from_environment,
    show,
    show_rows,
    stage_bars,
)

if TYPE_CHECKING:
    from mammo.appraisal.detection import DetectionSummary

commands = typer.Typer(
    help="Detectors of findings: train one, measure it, look for findings in files.",
    no_args_is_help=True,
)


def add_detect_commands(app: typer.Typer) -> None:
    """Add `mammo detect train`, `evaluate`, `files`, `join` and `agreement`."""
    add_joined_commands(commands)
    app.add_typer(commands, name="detect")


@commands.command(epilog="Example: mammo detect train ssd --epochs 30 --to detectors/ssd")
@reported
def train(
    name: Annotated[str, typer.Argument(help="faster_rcnn, ssd, yolov8n or yolov5n.")],
    to: Annotated[Path, typer.Option(file_okay=False, help="The folder to write.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
    release: Annotated[
        str | None, typer.Option(help="Leave out its holdout and golden patients: to `join` it.")
    ] = None,
    keep_box_frame: KeepBoxFrame = False,
    as_json: Json = False,
) -> None:
    """Train a detector on the findings of the index; one patient in five is held out."""
    from mammo.continual.fit_detector import fit_detector
    from mammo.release import find_release

    settings = settings_from_environment()
    with stage_bars(quiet=as_json) as bars:
        manifest = fit_detector(
            settings, name, to, epochs=epochs, seed=seed,
            release=None if release is None else find_release(settings.releases_dir, release),
            keep_box_frame=keep_box_frame, progress=bars,
        )  # fmt: skip
    told = {"detector": name, "folder": to.name, "data_version": manifest.data_version}
    show(told | {"patients": len(manifest.patients)} | manifest.training, as_json=as_json)


@commands.command(epilog="Example: mammo detect evaluate detectors/ssd --to froc.png")
@reported
def evaluate(
    folder: Annotated[Path, typer.Argument(help="A folder that `mammo detect train` wrote.")],
    to: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw the FROC curve, a PNG.")
    ] = None,
    keep_box_frame: KeepBoxFrame = False,
    as_json: Json = False,
) -> None:
    """Measure a detector on patients it was not trained on: mAP, overlap, FROC, 95% intervals."""
    from mammo.appraisal.detection import summarise_detections
    from mammo.continual.fit_detector import detections_held_out
    from mammo.detection.registry import load_detector

    if to is not None:
        _prepare_picture(to)
    settings = settings_from_environment()
    detector, manifest = load_detector(folder)
    found = detections_held_out(settings, detector, manifest, keep_box_frame=keep_box_frame)
    summary = summarise_detections(found)
    if as_json:
        show({"detector": manifest.name, "picture": to, **summary.to_dict()}, as_json=True)
    else:
        counts = (
            f"{summary.findings} findings, {summary.images} images, {summary.patients} patients"
        )
        show_rows(_rows(summary), ("measure", "value"), f"{counts} held out")
    if to is not None:  # after the numbers: a full disk is not to take them
        from mammo.appraisal.detection_plots import draw_froc

        draw_froc(to, {manifest.name: summary})
        if not as_json:
            say(f"drawn: {to}")


def _prepare_picture(to: Path) -> None:
    """Make the picture's folder before the work; refuse a name that is none of a PNG."""
    from mammo.data.durable import make_folder

    if to.suffix.lower() != ".png":
        raise typer.BadParameter(f"--to is a picture, FILE.png; given is {to.name}")
    try:
        make_folder(to.absolute().parent)
    except (FileExistsError, NotADirectoryError) as error:
        raise typer.BadParameter(f"--to: {to.parent.name} is a file, no folder") from error


def _rows(summary: DetectionSummary) -> list[dict[str, Any]]:
    """Return the measures with their intervals, for people."""
    froc = {
        f"found at {marks:g} false marks an image": one
        for marks, one in summary.froc["centre"].items()
    }
    names = {"mAP@50": summary.map50, "mAP@50-95": summary.map50_95}
    parts = {
        f"found of {part.findings} {name} at 1": part.sensitivity[1.0]
        for name, part in (summary.by_kind | summary.by_size).items()
    }
    measures = names | {"overlap of hits": summary.mean_iou} | froc | parts
    return [{"measure": name, "value": str(one)} for name, one in measures.items()]


@commands.command(epilog="Example: mammo detect files exam/*.dcm --detector detectors/ssd")
@reported
def files(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.")],
    detector: Annotated[
        Path | None, typer.Option(help="A folder that `mammo detect train` wrote.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(help="A release instead: classification and findings of each exam."),
    ] = None,
    least_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out below it; a release has its own.")
    ] = 0.1,
    as_json: Json = False,
) -> None:
    """Look for findings in DICOM files; places are in pixels of the original."""
    if (detector is None) == (release is None):
        raise typer.BadParameter("give --detector FOLDER or --release RELEASE")
    settings = settings_from_environment()
    named = read_files(paths, as_json=as_json)
    if detector is None:
        assert release is not None
        screen_with_release(settings, release, named, as_json=as_json)
        return
    from mammo.appraisal.detector_files import detect_files

    views, refused = detect_files(settings, detector, named, least_score=least_score)
    if as_json:
        told = [one.to_dict() for one in views]
        show({"views": told, "refused": [asdict(one) for one in refused]}, as_json=True)
        return
    rows = [row for one in views for row in one.rows()]
    columns = ("view", "score", "x", "y", "width", "height")
    show_rows(rows, columns, f"{detector.name}: findings in pixels of the original")
    say_refused(refused)
