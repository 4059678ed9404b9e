"""What a release says of an exam: its views, breasts, what was refused; for callers and the log."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from mammo import INTENDED_USE
from mammo.exam import OperatingPoint, Scanner
from mammo.findings import Agreement, SourcedFinding
from mammo.heat_findings import HeatFinding


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not read: its name as the caller sent it, and why."""

    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ViewScore:
    """One image's raw logit; ``pooled`` is False where a preferred view stands for it.

    ``probability`` is what a breast of this view alone would have, calibrated, in
    [0, 1]; ``findings`` are the regions that speak most for the target and, where the
    release carries a detector, its marks in one list with them (:mod:`mammo.findings`).
    """

    image_id: str
    laterality: str
    view: str
    logit: float
    quality: tuple[str, ...]
    pooled: bool = True
    probability: float | None = None
    findings: tuple[HeatFinding | SourcedFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class BreastScore:
    """One breast: the logit of its views together, calibrated for the scanner.

    ``scale`` is that of :class:`ExamReport`.
    """

    laterality: str
    logit: float
    probability: float
    recall: bool
    scale: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ExamReport:
    """What a release says of one exam; ids are pseudonyms.

    ``probability`` is calibrated, in [0, 1]; ``embedding`` is (32,) float32;
    ``features`` are means over the pooled views of `preprocess.FEATURE_NAMES` and,
    where the headers tell them, `exam_features.HEADER_NAMES`.
    ``scale``, 1 to 10, is the tenth of the release's reference exams in which the
    probability falls, 10 the highest; None with fewer than 50 of them
    (:mod:`mammo.scale`). ``abstention`` holds the codes for which the score should
    not be relied on (:mod:`mammo.abstention`); they are no part of ``quality``,
    which is watched for drift. ``familiarity_judged`` is False where the release has too few
    reference exams to find an exam unlike them: then no OUT_OF_DISTRIBUTION means
    nothing. ``localised`` is False where the release does
    not tell where a score comes from: then no findings mean nothing. ``agreement`` says of
    each breast how far heat and detector agree; empty without a detector.
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
    scale: int | None = None
    abstention: tuple[str, ...] = ()
    familiarity_judged: bool = False
    data_version: str | None = None
    operating_point: OperatingPoint | None = None
    localised: bool | None = None
    agreement: tuple[Agreement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the service; no embedding, no identity."""
        return {
            "exam": self.exam_id,
            "release": self.release_id,
            "data_version": self.data_version,
            "scanner": self.scanner.key,
            "site": self.site,
            "score": self.probability,
            "scale": self.scale,
            "logit": self.logit,
            "decision": "recall" if self.recall else "no recall",
            "threshold": self.threshold,
            "operating_point": _point_fields(self.operating_point),
            "breasts": self._breast_fields(),
            "views": [_view_fields(view) for view in self.views],
            "quality": list(self.quality),
            "abstention": list(self.abstention),
            "familiarity_judged": self.familiarity_judged,
            "refused": [asdict(one) for one in self.refused],
            "latency_ms": self.latency_ms,
            "scored_at": self.scored_at.isoformat(),
            "localised": self.localised,
            "intended_use": INTENDED_USE,
        }

    def _breast_fields(self) -> list[dict[str, Any]]:
        agreed = {one.laterality: {"agreement": one.to_dict()} for one in self.agreement}
        return [asdict(one) | agreed.get(one.laterality, {}) for one in self.breasts]

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
            "scale": self.scale,
            "abstention": "|".join(self.abstention),
            "refused": [asdict(one) for one in self.refused],
        }
        return [*rows, common | exam]


def _view_fields(view: ViewScore) -> dict[str, Any]:
    findings = [one.to_dict() for one in view.findings]
    return asdict(view) | {"quality": list(view.quality), "findings": findings}


def _point_fields(point: OperatingPoint | None) -> dict[str, Any] | None:
    """Return where scores become a decision; not how they are calibrated."""
    if point is None:
        return None
    targets = ("target_recall_rate", "target_specificity", "target_sensitivity")
    return {name: getattr(point, name) for name in ("scanner", "threshold", *targets)}


def _breast_row(breast: BreastScore) -> dict[str, Any]:
    return asdict(breast) | {"level": "breast", "embedding": None, "features": None}
