"""A small programme of drawn numbers, to rehearse that drift reaches people.

Nothing here is an image: exams are written to the log as the service writes them, with
features, embedding and score drawn at random. Reference, log, monitor, episode, report and
metrics are the real ones. What the drawn numbers can tell of detection: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog, exam_frame
from mammo.settings import Settings

RELEASE = "r-rehearsal"
SCANNERS = ("Rehearsal Aurora/A1", "Rehearsal Borealis/B2", "Rehearsal Cygnus/C3")
REFERENCE_EXAMS = 60
"""Reference exams of each scanner; a monitor wants 20 at least."""
CENTRES = {
    "mean_intensity": (0.45, 0.04),
    "contrast": (0.15, 0.02),
    "sharpness": (0.05, 0.005),
    "noise": (0.01, 0.001),
    "breast_fraction": (0.40, 0.08),
}
"""Mean and standard deviation of each image feature, the order of those of phantoms."""
MOVED = {"mean_intensity": 1.5, "contrast": -1.0, "sharpness": 1.5}
"""Standard deviations by which a feature moves where a scanner's processing changes."""


@dataclass
class Rehearsal:
    """Writes exams of three scanners, drawn from ``seed``, into the log of ``settings``."""

    settings: Settings
    seed: int = 11

    def __post_init__(self) -> None:
        self._rng, self._count = np.random.default_rng(self.seed), 0
        self.log = PredictionLog(self.settings.log_url).create()

    def put_into_service(self) -> None:
        """Make the reference of a release, and the pointer that names it. It cannot score."""
        folder = self.settings.releases_dir / RELEASE
        folder.mkdir(parents=True)
        rows = [self._exam(one) for _ in range(REFERENCE_EXAMS) for one in SCANNERS]
        cancers = pd.Series(self._rng.random(len(rows)) < 0.3).astype("Int8")
        exam_frame(rows).assign(cancer=cancers).to_parquet(folder / "reference.parquet")
        pointer = {"release_id": RELEASE, "release_dir": str(folder), "bento_tag": "none"}
        write_pointer(self.settings.pointer_path, pointer | {"previous": None})

    def score(self, exams: int, scanners: Sequence[str] = SCANNERS, shift: float = 0.0) -> None:
        """Log exams of scanners in turn; ``shift`` scales how far their images have moved."""
        for number in range(exams):
            self.log.append_exam([self._exam(scanners[number % len(scanners)], shift)])

    def _exam(self, scanner: str, shift: float = 0.0) -> dict[str, Any]:
        self._count += 1
        name = f"{self.seed}-{self._count:06d}"
        features = {
            one: mean + sd * (self._rng.standard_normal() + shift * MOVED.get(one, 0.0))
            for one, (mean, sd) in CENTRES.items()
        }
        logit = float(-2.5 + 0.8 * shift + 1.2 * self._rng.standard_normal())
        embedding = self._rng.standard_normal(32) + 0.4 * shift
        return {
            "exam_id": f"E-{name}",
            "patient_id": f"P-{name}",
            "level": "exam",
            "laterality": None,
            "release_id": RELEASE,
            "role": "champion",
            "scanner": scanner,
            "software_version": "1.0",
            "site": self.settings.site,
            "acquired_on": datetime.now(UTC).date(),
            "logit": logit,
            "probability": float(1 / (1 + np.exp(-logit))),
            "recall": logit > 0,
            "threshold": 0.5,
            "quality": "",
            "embedding": embedding.astype(np.float32),
            "features": features,
            "latency_ms": 50.0,
        }
