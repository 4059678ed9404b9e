"""Rows of the log as the service writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from mammo.exam import Laterality, Outcome

T0 = datetime(2026, 3, 1, 9, tzinfo=UTC)
LEFT, RIGHT = Laterality.LEFT, Laterality.RIGHT


def exam_row(exam: str = "E-1", **changes: Any) -> dict[str, Any]:
    row = {
        "exam_id": exam,
        "level": "exam",
        "laterality": None,
        "patient_id": "P-1",
        "release_id": "r-1",
        "role": "champion",
        "scanner": "Phantom Aurora/A1",
        "software_version": "1.0",
        "site": "site-1",
        "acquired_on": date(2026, 2, 28),
        "logit": np.float32(0.5),
        "probability": 0.62,
        "recall": np.bool_(True),
        "threshold": 0.5,
        "quality": "MISSING_VIEW",
        "embedding": np.linspace(-1, 1, 32, dtype=np.float32),
        "features": {"contrast": np.float32(0.25), "noise": float("nan")},
        "latency_ms": 12.5,
    }
    return row | changes


def breast_row(exam: str = "E-1", side: str = "L", **changes: Any) -> dict[str, Any]:
    row = exam_row(exam, level="breast", laterality=side, embedding=None, features=None)
    return row | changes


def scoring(exam: str = "E-1", **changes: Any) -> list[dict[str, Any]]:
    """Both breasts and the exam."""
    breasts = [breast_row(exam, side, **changes) for side in "LR"]
    return [*breasts, exam_row(exam, **changes)]


def outcome(exam: str, cancer: bool, days: int = 0, side: Laterality | None = None) -> Outcome:
    return Outcome(exam, cancer, T0 + timedelta(days=days), "pathology", side)
