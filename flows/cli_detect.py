"""`mammo detect`: detectors of findings, trained and measured on the index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show, stage_bars

commands = typer.Typer(help="Detectors of findings: train one, measure it.", no_args_is_help=True)


def add_detect_commands(app: typer.Typer) -> None:
    """Add `mammo detect train` and `mammo detect evaluate`."""
    app.add_typer(commands, name="detect")


@commands.command(epilog="Example: mammo detect train ssd --epochs 30 --to detectors/ssd")
@reported
def train(
    name: Annotated[str, typer.Argument(help="faster_rcnn, ssd, yolov8n or yolov5n.")],
    to: Annotated[Path, typer.Option(file_okay=False, help="The folder to write.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a detector on the findings of the index; one patient in five is held out."""
    from mammo.continual.fit_detector import fit_detector

    settings = settings_from_environment()
    with stage_bars(quiet=as_json) as bars:
        manifest = fit_detector(settings, name, to, epochs=epochs, seed=seed, progress=bars)
    told = {"detector": name, "folder": to.name, "data_version": manifest.data_version}
    show(told | {"patients": len(manifest.patients)} | manifest.training, as_json=as_json)


@commands.command(epilog="Example: mammo detect evaluate detectors/ssd --json")
@reported
def evaluate(
    folder: Annotated[Path, typer.Argument(help="A folder that `mammo detect train` wrote.")],
    as_json: Json = False,
) -> None:
    """Measure a detector on patients it was not trained on: mAP, overlap, FROC, 95% intervals."""
    from mammo.appraisal.detection import summarise_detections
    from mammo.continual.fit_detector import detections_held_out
    from mammo.detection.registry import load_detector

    settings = settings_from_environment()
    detector, manifest = load_detector(folder)
    summary = summarise_detections(detections_held_out(settings, detector, manifest))
    show({"detector": manifest.name, **summary.to_dict()}, as_json=as_json)
