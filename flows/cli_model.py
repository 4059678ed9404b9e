"""`mammo train`, `package`, `predict`, `monitor`, `retrain`; the gate is in `cli_gate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_card import log_cards, warn_of_lost_detector
from flows.cli_deploy import add_deploy_commands
from flows.cli_files import read_files
from flows.cli_gate import add_gate_commands
from flows.cli_terminal import (
    Json,
    ViaPrefect,
    may_name_files,
    quiet_mlflow,
    reported,
    say,
    settings_from_environment,
    show,
    show_rows,
    stage_bars,
)
from mammo.errors import NotReady

if TYPE_CHECKING:
    from mammo.settings import Settings

IN_A_ZIP = "within a ZIP"
PART_FIGURES = ("auc", "recall_rate", "sensitivity", "specificity")


def add_model_commands(app: typer.Typer) -> None:
    """Add the commands from training to retraining."""
    app.command(epilog="Example: mammo train --config demo --set epochs=12 --seed 1")(train)
    add_gate_commands(app)
    app.command(epilog="Example: mammo package r-20261122-1a2b3c4d")(package)
    add_deploy_commands(app)
    app.command(epilog="Example: mammo predict exam/*.dcm --json")(predict)
    app.command(epilog="Example: mammo monitor")(monitor)
    app.command(epilog="Example: mammo retrain --reason 'new scanner' --wait")(retrain)


@reported
def train(
    target: Annotated[str | None, typer.Option(help="Label to learn, e.g. abnormal.")] = None,
    config: Annotated[str, typer.Option(help="Name of a file in configs/, or a path.")] = "default",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the file, e.g. epochs=12.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of splits, draws and weights.")] = None,
    data_version: Annotated[
        str | None, typer.Option(help="Refuse unless the store is this data version.")
    ] = None,
    via_prefect: ViaPrefect = False,
    as_json: Json = False,
) -> None:
    """Train a release from the exam index: split, fit, calibrate, evaluate, register.

    The same command after a kill goes on after the last whole epoch, and ends
    with the same weights. docs/training.md tells every setting.
    """
    settings = settings_from_environment()
    asked = {"target": target, "overrides": change, "seed": seed, "data_version": data_version}
    given: dict[str, Any] = {k: v for k, v in asked.items() if v not in (None, [])}
    if via_prefect:
        show(_run("train/train", {"config": config} | given), as_json=as_json, title="Release")
        return
    from mammo.continual.fit import train_release

    quiet_mlflow()
    with stage_bars(quiet=as_json) as progress:
        trained = train_release(settings, config=config, progress=progress, **given)
    log_cards(settings, trained.directory)
    warn_of_lost_detector(settings, trained.directory)
    told = trained.to_dict()
    if as_json:
        show(told, as_json=True)
        return
    metrics = told.pop("metrics")
    show(told, as_json=False, title="Release")
    show_rows(_by_part(metrics), ("part", *PART_FIGURES), "Exams (95% intervals, by patient)")


def _by_part(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row of figures for each part of the patients that was evaluated."""
    parts = [name.removesuffix("_auc") for name in metrics if name.endswith("_auc")]
    rows = ({"part": part} | _figures(metrics, part) for part in parts)
    return [one for one in rows if len(one) > 1]


def _figures(metrics: Mapping[str, Any], part: str) -> dict[str, str]:
    found = {name: metrics.get(f"{part}_{name}") for name in PART_FIGURES}
    return {
        name: f"{one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        for name, one in found.items()
        if isinstance(one, dict)
    }


@reported
def package(
    release: Annotated[str, typer.Argument(help="Release to put into a Bento.")],
    as_json: Json = False,
) -> None:
    """Build the Bento of a release: the project's own wheel with the release inside."""
    from bentos.screening.packaging import package_release
    from mammo.release import find_release

    settings = settings_from_environment()
    tag = package_release(find_release(settings.releases_dir, release), settings)
    show({"release": release, "bento_tag": str(tag)}, as_json=as_json)


@reported
def predict(
    files: Annotated[list[Path], typer.Argument(help="DICOM files, or folders, of one exam.")],
    release: Annotated[
        Path | None, typer.Option(help="Folder of a release; the one in service if none.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask a running service instead, e.g. http://host:3000.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score the files of one exam: view, breast and exam, and the decision."""
    settings = settings_from_environment()
    found = read_files(files, as_json=as_json)
    if url:
        answer = ask_service(url, found, settings, named=may_name_files(as_json=as_json))
    else:
        answer = _score(settings, release, found)
    if as_json:
        show(answer, as_json=True)
        return
    apart = ("breasts", "views", "operating_point")
    unknown = {"abstention": "not known"} if answer["abstention"] is None else {}  # no good news
    whole = {name: value for name, value in answer.items() if name not in apart}
    show(whole | unknown, as_json=False)
    breasts = [one | _agreed(one) for one in answer["breasts"]]
    agreed = ("agreement",) if any(one.get("agreement") for one in breasts) else ()
    show_rows(breasts, ("laterality", "probability", "scale", "recall", *agreed), "Breasts")
    views = [view | _told(view) for view in answer["views"]]
    columns = ("laterality", "view", "probability", "logit", "pooled", "quality", "findings")
    show_rows(views, columns, "Views; findings in pixels of the original")


def _told(view: dict[str, Any]) -> dict[str, str]:
    """Return a view's codes and boxes in words, each box with what it rests on."""
    from mammo.findings import tell_sources

    boxes = (
        f"x {one['x_min']:.0f}-{one['x_max']:.0f}, y {one['y_min']:.0f}-{one['y_max']:.0f} "
        f"({tell_sources(one)})"
        for one in view.get("findings", [])
    )
    return {"quality": ", ".join(view["quality"]), "findings": "; ".join(boxes)}


def _agreed(breast: Mapping[str, Any]) -> dict[str, str]:
    """Return in words how many of a breast's places heat and detector both name."""
    told = breast.get("agreement")
    if told is None:  # a release without a detector
        return {}
    total = told["both"] + told["heat_only"] + told["detector_only"]
    return {"agreement": f"{told['both']} of {total} places named by both"}


def _score(
    settings: Settings, release: Path | None, files: Sequence[tuple[str, bytes]]
) -> dict[str, Any]:
    directory = release or directory_in_service(settings)
    from mammo.reading import ViewReader
    from mammo.screening import Screener

    screener = Screener.load(directory, reader=ViewReader.of(settings))
    return screener.score_files(files, key=settings.pseudonym_key(), site=settings.site).to_json()


def directory_in_service(settings: Settings) -> Path:
    """Return the folder of the release in service; NotReady before the first."""
    from mammo.pointer import read_pointer
    from mammo.release import find_release

    pointer = read_pointer(settings.pointer_path)
    if pointer is None:
        raise NotReady("no release is in service; train and deploy one, or give --release DIR")
    return find_release(settings.releases_dir, pointer["release_id"])


def ask_service(
    url: str, files: Sequence[tuple[str, bytes]], settings: Settings, *, named: bool
) -> dict[str, Any]:
    """Let a running service score files, name and content, with the token of ``MAMMO_TOKEN``.

    The service sees numbers for names; what lies in a ZIP keeps its own, to be told where
    files may be ``named``. Raises what `mammo.client.Screening.score` raises.
    """
    from mammo.client import Screening

    token = None if settings.token is None else settings.token.get_secret_value().strip()
    with Screening(url, token, tries=3) as service:
        answer = service.score([data for _, data in files])
    names = {f"{number}.dcm": name for number, (name, _) in enumerate(files, 1)}
    for one in answer.refused:
        one.file = names.get(one.file, one.file if named else IN_A_ZIP)
    return answer.model_dump(mode="json")


@reported
def monitor(via_prefect: ViaPrefect = False, as_json: Json = False) -> None:
    """Read the predictions since the last time, test for drift, open episodes, report."""
    settings = settings_from_environment()
    if via_prefect:
        show(_run("monitor/monitor", {}), as_json=as_json, title="Monitor")
        return
    from flows.stack import supervisor_alive
    from monitoring.policy import read_policy
    from monitoring.run import run_monitor

    report = run_monitor(settings, config=read_policy(settings)).to_dict()
    if supervisor_alive(settings):
        _tell(settings, report["episodes_opened"])
    show(report, as_json=as_json, title="Monitor")


def _tell(settings: Settings, episodes: Sequence[dict[str, Any]]) -> None:
    """Emit the events as the flow does; without a stack the next scheduled run does."""
    import os

    from flows.automations import emit_episode

    os.environ.update(settings.child_environment())
    for episode in episodes:
        emit_episode(episode)


@reported
def retrain(
    episode: Annotated[str | None, typer.Option(help="Key of the episode to act on.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "manual",
    strategy: Annotated[
        str | None,
        typer.Option(help="scratch, fine_tune, replay, distill or ewc; else the champion's own."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    hours: Annotated[
        float, typer.Option(min=0, help="With --wait: how long at most; the run itself goes on.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Start the retraining flow on the running stack; the gate decides what it may deploy."""
    from flows.follow import follow_run, start_run

    settings = settings_from_environment()
    given = {"episode_key": episode, "reason": reason, "strategy": strategy}
    run = start_run(settings, "retrain/retrain", given)
    limit = 3600 * hours
    result = follow_run(settings, run, timeout=limit, say=say) if wait else None
    show(run.to_dict() | dict(result or {}), as_json=as_json, title="Retraining")


def _run(deployment: str, parameters: dict[str, Any]) -> dict[str, Any]:
    from flows.follow import run_and_follow

    result = run_and_follow(settings_from_environment(), deployment, parameters, say=say)
    return dict(result or {})
