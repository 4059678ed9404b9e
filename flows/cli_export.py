"""`mammo export`: other graphs of a release's network, the fastest that passes in a child."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import (
    Json,
    quiet_mlflow,
    reported,
    settings_from_environment,
    show,
    show_rows,
    stage_bars,
    tell,
)

if TYPE_CHECKING:
    from mammo.export.settings import ExportConfig

EPILOG = "Example: mammo export r-20261122-1a2b3c4d --int8"
COLUMNS = (
    "name", "AUC of breasts", "AUC change (95%)", "most logit difference", "MB", "ms a view",
    "times faster", "passed",
)  # fmt: skip


def add_export_command(app: typer.Typer) -> None:
    """Add `mammo export`."""
    app.command(epilog=EPILOG)(export)


@reported
def export(
    release: Annotated[str, typer.Argument(help="Release whose network to export.")],
    int8: Annotated[bool, typer.Option("--int8", help="Try the 8-bit graph.")] = False,
    prune: Annotated[
        float | None,
        typer.Option(help="Share of inner channels to take out, then fine-tune, e.g. 0.3."),
    ] = None,
    max_auc_loss: Annotated[
        float | None, typer.Option(help="AUC that a graph may lose (0.005).")
    ] = None,
    torchscript: Annotated[
        Path | None, typer.Option(help="Write a TorchScript file of the network here, too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a child release that carries the fastest graph that keeps up with the network.

    Each graph is held against PyTorch on the holdout patients: AUC, logits, size, latency.
    """
    from mammo.continual.exported import export_release, write_torchscript

    quiet_mlflow()
    settings = settings_from_environment()
    config = _config(int8, prune, max_auc_loss, torchscript is not None)
    with stage_bars(quiet=as_json) as progress:
        exported = export_release(settings, release, config, progress=progress)
    if torchscript is not None:
        write_torchscript(settings, release, torchscript)
    if as_json:
        show(exported.to_dict(), as_json=True)
        return
    exports = exported.exports
    show_rows([_row(one) for one in exports["candidates"].values()], COLUMNS, "Graphs")
    told = exported.to_dict()
    told["carries"] = exports["chosen"]
    show({n: v for n, v in told.items() if n != "exports"}, as_json=False, title="Release")
    tell(f"mammo gate {exported.release.id} judges it against the release in service.")


def _config(
    int8: bool, prune: float | None, max_auc_loss: float | None, torchscript: bool
) -> ExportConfig:
    from mammo.export.settings import FP32, TORCHSCRIPT, ExportConfig

    names = [FP32]
    names += [TORCHSCRIPT] * torchscript
    names += ["onnx_int8"] * int8
    if prune is not None:
        names += ["pruned_fp32", *["pruned_int8"] * int8]
    given: dict[str, Any] = {"prune": prune, "max_auc_loss": max_auc_loss}
    wanted = {name: value for name, value in given.items() if value is not None}
    return ExportConfig.from_dict({"candidates": names} | wanted)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    change = one["auc_change"]
    told = "not judged"
    if change is not None:
        told = f"{change['value']:+.4f} ({change['low']:+.4f} to {change['high']:+.4f})"
    values = (
        one["name"],
        "" if one["auc"] is None else f"{one['auc']:.3f}",
        told,
        f"{one['max_logit_difference']:.2g}",
        f"{one['size_mb']:.2f}",
        f"{one['latency_ms']:.1f}",
        f"{one['times_faster']:.2f}",
        "yes" if one["passed"] else "; ".join(one["failed"]),
    )
    return dict(zip(COLUMNS, values, strict=True))
