"""The table of `model_table.json` in docs/models.md; the words around it are written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.written import markdown_table, write_between

NAME = "model table"
HEAD = [
    "model", "starts from", "AUC of exams (95% interval)", "on those trained on", "parameters, M",
    "latency, ms", "model.onnx, MiB", "training, CPU s",
]  # fmt: skip


def write_page(page: Path, rows: list[dict[str, Any]]) -> None:
    """Put table and caption between the page's marks."""
    write_between(page, NAME, f"{_table(rows)}\n\n{_caption(rows)}")


def _table(rows: list[dict[str, Any]]) -> str:
    """Return the table, the smallest model first."""
    ordered = sorted(rows, key=lambda row: row["parameters"])
    return markdown_table(HEAD, [_cells(row) for row in ordered])


def _cells(row: dict[str, Any]) -> list[str]:
    auc = row["auc"]
    return [
        f"`{row['name']}`",
        "random" if row["weights"] == "random" else "ImageNet",
        f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})",
        f"{row['auc_trained_on']:.3f}",
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['latency_ms']:.0f}",
        f"{row['onnx_mib']:.1f}",
        f"{row['fit_cpu_s']:.0f}",
    ]


def _caption(rows: list[dict[str, Any]]) -> str:
    """Return what the table was made with, in words and numbers."""
    study, auc = rows[0]["study"], rows[0]["auc"]
    commits = ", ".join(sorted({row["run"]["commit"] for row in rows}))
    run = rows[0]["run"]
    return (
        f"Unit: exam. {auc['n_patients']} patients that were not trained on, {auc['n_positive']} "
        f"with cancer; intervals resample patients. Phantoms, {study['exams']} exams in all, "
        f"prepared at {study['height']} x {study['width']}; {rows[0]['epochs']} epochs, about "
        f"{study['draws']} views drawn in batches of {study['batch_size']}, AdamW at "
        f"{study['learning_rate']:g}, dropout {study['dropout']:g}, precision "
        f"{study['precision']}, no augmentation. Latency: median CPU time of {study['turns']} "
        f"views of {study['latency_height']} x {study['latency_width']} in ONNX Runtime on one "
        f"core, with logit, features and heat map, float32. Commit {commits}, {run['date']}, "
        f"{run['machine']}."
    )
