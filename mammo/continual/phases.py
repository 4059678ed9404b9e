"""A stream of exams before, during and after a change: rates, AUC, and the picture."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.evaluation.metrics import auc_interval, recall_rate_interval
from mammo.evaluation.plots import Event, score_timeline

MIN_PER_CLASS = 2


def summarise_phase(exams: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return exams, cancers, recall rate and AUC of a phase, with patient intervals.

    Each exam has ``patient``, ``score``, ``recalled`` and ``label`` (0 or 1). An
    AUC needs two exams of either class; it is None below that.
    """
    frame = pd.DataFrame(list(exams), columns=["patient", "score", "recalled", "label"])
    row: dict[str, Any] = {"exams": len(frame), "cancers": int(frame["label"].sum())}
    row |= {"recall": None, "auc": None}
    if len(frame):
        recalled = frame["recalled"].astype(bool).to_numpy()
        row["recall"] = recall_rate_interval(recalled, frame["patient"].to_numpy()).to_dict()
    positives = row["cancers"]
    if min(positives, len(frame) - positives) >= MIN_PER_CLASS:
        labels = frame["label"].astype(int).to_numpy()
        interval = auc_interval(labels, frame["score"].to_numpy(), frame["patient"].to_numpy())
        row["auc"] = interval.to_dict()
    return row


def draw_stream(
    exams: Sequence[Mapping[str, Any]],
    events: Sequence[dict[str, Any]],
    path: Path,
    *,
    target_recall_rate: float | None,
) -> Path:
    """Draw the stream by exam number, with events (at, label, kind) marked."""
    numbers = [exam["number"] for exam in exams]
    frame = pd.DataFrame(
        {
            # counted anew: exams that were sent again are not among them
            "at": range(1, len(exams) + 1),
            "score": [exam["score"] for exam in exams],
            "recalled": [exam["recalled"] for exam in exams],
            "scanner": [exam["scanner"].removeprefix("Phantom ") for exam in exams],
            "label": [exam["label"] for exam in exams],
            "threshold": [exam["threshold"] for exam in exams],
        }
    )
    marks = [Event(**(event | {"at": bisect_right(numbers, event["at"])})) for event in events]
    title = "Exam scores of the demo's stream (phantoms)"
    return score_timeline(frame, marks, path, target_recall_rate=target_recall_rate, title=title)
