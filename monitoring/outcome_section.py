"""What late outcomes say, as HTML for the monitor's pages."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any


def outcomes_section(report: Mapping[str, Any]) -> str:
    """Return what is known from outcomes: the AUC of exams that have one."""
    return f"<p>{escape(_performance(report['performance']))}</p>"


def _performance(performance: Mapping[str, Any]) -> str:
    auc, reference = performance["auc"], performance["reference"]
    words = [f"{performance['exams']} exams have an outcome, {performance['positives']} a cancer."]
    if auc:
        words.append(f"AUC {auc['value']:.3f} (95% {auc['low']:.3f} to {auc['high']:.3f}).")
    if reference:
        words.append(f"Reference {reference['value']:.3f}.")
    if performance["loss"]:
        words.append("The loss is confirmed.")
    return " ".join([*words, performance["note"]]).strip()
