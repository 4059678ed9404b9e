"""What a release says of an exam: its views, breasts, what was refused; for callers and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from mammo import INTENDED_USE
from mammo.exam import Scanner


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not read: its name as the caller sent it, and why."""

    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ViewScore:
    """One image's raw logit; ``pooled`` is False where a preferred view stands for it."""

    image_id: str
    laterality: str
    view: str
    logit: float
    quality: tuple[str, ...]
    pooled: bool = True


@dataclass(frozen=True, slots=True)
class BreastScore:
    """One breast: the logit of its views together, calibrated for the scanner."""

    laterality: str
    logit: float
    probability: float
    recall: bool


@dataclass(frozen=True, slots=True, eq=False)
class ExamReport:
    """What a release says of one exam; ids are pseudonyms.

    ``probability`` is calibrated, in [0, 1]; ``embedding`` is (32,) float32;
    ``features`` are means over the pooled views of `preprocess.FEATURE_NAMES`.
    """

    exam_id: str
    patient_id: str
    scanner: Scanner
    site: str
    acquired_on: date | None
    release_id: str
    views: tuple[ViewScore, ...]
    breasts: tuple[BreastScore, ...]
    logit: float
    probability: float
    recall: bool
    threshold: float
    quality: tuple[str, ...]
    refused: tuple[Refused, ...]
    embedding: np.ndarray
    features: dict[str, float]
    latency_ms: float
    scored_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the service; no embedding, no identity."""
        return {
            "exam": self.exam_id,
            "release": self.release_id,
            "scanner": self.scanner.key,
            "site": self.site,
            "score": self.probability,
            "logit": self.logit,
            "decision": "recall" if self.recall else "no recall",
            "threshold": self.threshold,
            "breasts": [_fields(breast) for breast in self.breasts],
            "views": [_fields(view) | {"quality": list(view.quality)} for view in self.views],
            "quality": list(self.quality),
            "refused": [_fields(one) for one in self.refused],
            "latency_ms": self.latency_ms,
            "scored_at": self.scored_at.isoformat(),
            "intended_use": INTENDED_USE,
        }

    def to_log_rows(self, role: str = "champion") -> list[dict[str, Any]]:
        """Return the rows of the prediction log: one a breast, one for the exam."""
        common = {
            "exam_id": self.exam_id,
            "patient_id": self.patient_id,
            "release_id": self.release_id,
            "role": role,
            "scanner": self.scanner.key,
            "software_version": self.scanner.software_version,
            "site": self.site,
            "acquired_on": self.acquired_on,
            "scored_at": self.scored_at,
            "threshold": self.threshold,
            "quality": "|".join(self.quality),
            "latency_ms": self.latency_ms,
        }
        rows = [common | _breast_row(breast) for breast in self.breasts]
        exam = {
            "level": "exam",
            "laterality": None,
            "logit": self.logit,
            "probability": self.probability,
            "recall": self.recall,
            "embedding": self.embedding.astype(np.float32).tobytes(),
            "features": self.features,
        }
        return [*rows, common | exam]


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _breast_row(breast: BreastScore) -> dict[str, Any]:
    return _fields(breast) | {"level": "breast", "embedding": None, "features": None}
