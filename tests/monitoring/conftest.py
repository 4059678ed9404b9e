"""A small hospital: three known scanners, a fourth that the release has not met."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.exam import Outcome
from mammo.prediction_log import PredictionLog, exam_frame
from mammo.settings import Settings
from monitoring.config import MonitorConfig
from monitoring.run import MonitorReport, run_monitor

KNOWN = ("Phantom Aurora/A1", "Phantom Borealis/B2", "Phantom Cygnus/C3")
NEW = "Phantom Draco/D4"
LEVELS = {name: level for level, name in enumerate((*KNOWN, NEW))}
QUIET = MonitorConfig(evidently_on="never", streams=150, stream_exams=1000)
"""Without Evidently, whose import alone takes seconds, and with short streams."""


@dataclass
class Hospital:
    """Writes exams as the service does; ``shift`` and ``images`` are in SD."""

    settings: Settings
    rng: np.random.Generator
    count: int = 0
    cancers: dict[str, bool] = field(default_factory=dict)

    @property
    def log(self) -> PredictionLog:
        return PredictionLog(self.settings.log_url).create()

    def exam(
        self,
        scanner: str = KNOWN[0],
        *,
        shift: float = 0.0,
        images: float = 0.0,
        skill: float = 2.5,
        inverted: bool = False,
        release: str = "r-1",
        **columns: Any,
    ) -> dict[str, Any]:
        self.count += 1
        cancer = bool(self.rng.random() < 0.3)
        noise = self.rng.standard_normal(5)
        level = LEVELS.get(scanner, 0)
        features = {
            "mean_intensity": 0.45 + 0.04 * (noise[0] + images),
            "contrast": 0.15 + 0.02 * noise[1],
            "sharpness": 0.05 + 0.005 * (noise[2] + images),
            "noise": 0.01 + 0.001 * (noise[3] + 0.5 * level),
            "breast_fraction": 0.4 + 0.08 * noise[4],
        }
        if inverted:
            features["mean_intensity"] = 2.0 - features["mean_intensity"]
        logit = float(-2 + skill * cancer + shift + self.rng.standard_normal())
        name = f"E-{self.count:06d}"
        self.cancers[name] = cancer
        return {
            "exam_id": name,
            "patient_id": f"P-{self.count:06d}",
            "level": "exam",
            "laterality": None,
            "release_id": release,
            "role": "champion",
            "scanner": scanner,
            "software_version": "1.0",
            "site": "site-1",
            "acquired_on": date(2026, 1, 1) + timedelta(days=self.count // 20),
            "logit": logit,
            "probability": float(1 / (1 + np.exp(-logit))),
            "recall": logit > 0,
            "threshold": 0.5,
            "quality": "",
            "embedding": (self.rng.standard_normal(32) + images * 0.3).astype(np.float32),
            "features": features,
            "latency_ms": 50.0,
        } | columns

    def release(self, name: str = "r-1", exams: int = 40, scanners: Iterable[str] = KNOWN) -> Path:
        """Make a release with ``exams`` reference exams of each scanner and put it into service."""
        folder = self.settings.releases_dir / name
        folder.mkdir(parents=True)
        rows = [self.exam(one, release=name) for _ in range(exams) for one in scanners]
        frame = exam_frame(rows)
        known = [int(self.cancers[exam]) for exam in frame["exam_id"]]
        frame.assign(cancer=pd.array(known, dtype="Int8")).to_parquet(folder / "reference.parquet")
        pointer = {"release_id": name, "release_dir": str(folder), "bento_tag": "x", "previous": {}}
        pointer["changed_at"] = datetime.now(UTC).isoformat()
        self.settings.pointer_path.write_text(json.dumps(pointer))
        return folder

    def stream(self, exams: int, scanners: Iterable[str] = KNOWN, **changes: Any) -> list[str]:
        """Log exams, the scanners in turn; return their ids."""
        names, log = list(scanners), self.log
        rows = [self.exam(names[i % len(names)], **changes) for i in range(exams)]
        for row in rows:
            log.append_exam([row])
        return [row["exam_id"] for row in rows]

    def outcomes(self, exams: Iterable[str]) -> None:
        now = datetime.now(UTC)
        self.log.add_outcomes([Outcome(one, self.cancers[one], now, "biopsy") for one in exams])

    def monitor(self, config: MonitorConfig = QUIET) -> MonitorReport:
        return run_monitor(self.settings, config=config)


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(Settings(home=tmp_path, reports_port=0), np.random.default_rng(11))


@pytest.fixture
def make_reference() -> Callable[..., pd.DataFrame]:
    def make(exams: int = 40, scanners: Iterable[str] = KNOWN, **changes: Any) -> pd.DataFrame:
        home = Hospital(Settings(home=Path("unused")), np.random.default_rng(3))
        return exam_frame([home.exam(one, **changes) for _ in range(exams) for one in scanners])

    return make
