"""The model card of a release, written from its own manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mammo import INTENDED_USE
from mammo.continual import card_words as say
from mammo.continual.point_origins import point_origins, told_measures, told_points
from mammo.data.sources.terms import names_phantoms
from mammo.foreign_text import markdown_row, markdown_text
from mammo.release import Release

CARD = "card.md"

LIMITS = (
    "Scores of scanners that are not listed use the default operating point and carry the "
    "quality code UNKNOWN_SCANNER. Numbers from phantoms say that the training works, not "
    "that the model reads mammograms of patients."
)


def write_card(path: Path, release: Release) -> None:
    """Write card.md: what it is for, what it was trained on, how well it does."""
    path.write_text(card_text(release))


def card_text(release: Release) -> str:
    """Return the card as Markdown."""
    rows = [
        f"| {name.replace('_', ' ')} | {told_number(value)} |"
        for name, value in sorted(release.metrics.items())
        if name.endswith(("_auc", "_rate", "_sensitivity", "_specificity", "_ece"))
    ]
    origins = point_origins(release)
    points = [
        markdown_row((name, f"{p.threshold:.3f}", f"{p.target_recall_rate:.2f}", origins[name]))
        for name, p in sorted(release.operating_points.items())
    ]
    return "\n".join(
        [
            f"# Release {release.id}",
            "",
            f"**Intended use.** {INTENDED_USE}",
            "",
            f"**Trained on.** {markdown_text(release.trained_on)}. "
            f"Data version {release.data_version}.",
            "",
            f"**What.** {release.kind} from {release.parent or 'no earlier release'}; "
            f"{release.architecture}, {release.preprocess.height} x {release.preprocess.width}; "
            f"target: {release.target}.",
            "",
            "## Exams that were not trained on (patient-bootstrap 95% intervals)",
            "",
            told_measures(release),
            "",
            "| measure | value |",
            "|---|---|",
            *rows,
            "",
            "## Operating points",
            "",
            markdown_text(" ".join(told_points(release))),
            "",
            "| scanner | threshold | target recall rate | set from |",
            "|---|---|---|---|",
            *points,
            "",
            *_exports(release.metrics.get("exports")),
            "## Not intended",
            "",
            *(f"- {one}" for one in say.NOT_INTENDED),
            "",
            "## Ethical notes",
            "",
            *(f"- {one}" for one in say.ETHICS),
            "",
            f"**Limits.** {LIMITS}",
            *(["", f"**{say.PHANTOMS}**"] if names_phantoms(release.trained_on) else []),
            "",
            "Numbers by subgroup, the gate's verdict and what is not known: "
            f"`mammo card {release.id}`.",
            "",
        ]
    )


def _exports(exports: dict[str, Any] | None) -> list[str]:
    """Return the table of graphs that were tried, where there was more than one."""
    if exports is None:
        return []
    on, where = exports["judged_on"], exports["machine"]
    rows = [_export_row(one) for one in exports["candidates"].values()]
    return [
        "## Graphs",
        "",
        f"model.onnx is **{exports['chosen']}**. Held against PyTorch "
        f"({exports['eager_ms']:.1f} ms a view, one core of {where['processor']}) on "
        f"{on['images']} mammograms of {on['patients']} patients ({on['source']}; {on['part']}); "
        "AUC of breasts, its change with the paired patient-bootstrap 95% interval.",
        "",
        "| graph | AUC | change | most, mean difference of a logit | MB | ms | times | passed |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _export_row(one: dict[str, Any]) -> str:
    change = one["auc_change"]
    told = "not judged"
    if change is not None:
        told = f"{change['value']:+.4f} ({change['low']:+.4f} to {change['high']:+.4f})"
    auc = "" if one["auc"] is None else f"{one['auc']:.3f}"
    return (
        f"| {one['name']} | {auc} | {told} | {one['max_logit_difference']:.2g}, "
        f"{one['mean_logit_difference']:.2g} | {one['size_mb']:.2f} | {one['latency_ms']:.1f} | "
        f"{one['times_faster']:.2f} | {'yes' if one['passed'] else '; '.join(one['failed'])} |"
    )


def told_number(value: Any) -> str:
    """Return a measure in words: its interval and patients where it has them."""
    if isinstance(value, dict) and "low" in value:
        told = f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        if "n_patients" not in value:
            return told
        return f"{told}, {value['n_patients']} patients, {value['n_positive']} positive"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {told_number(one)}" for name, one in value.items())
    return f"{value:.3f}"
