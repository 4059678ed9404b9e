"""Exams in the log as the service writes them, for a release on trial beside a champion."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bentos.screening.workers import FOLDER, WorkerFile
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

RECALLED = 1.28
"""Logits from here on are recalled: a tenth, the target of the fake releases."""


@dataclass
class Programme:
    """Sends exams to whatever the pointer names; the challenger may have a fault.

    ``fault`` is one of none, errors, slow, recalls, sleeps, chance, moved.
    """

    settings: Settings
    fault: str = "none"
    seed: int = 1
    sent: int = 0
    faulty: str = "r-2"
    dice: np.random.Generator = field(init=False)
    log: PredictionLog = field(init=False)
    rows: list[list[dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = np.random.default_rng(self.seed)
        self.log = PredictionLog(self.settings.log_url).create()

    def send(self, exams: int) -> None:
        """Send exams while the pointer stands as it does now; one transaction for all.

        This process is the worker that answers them.
        """
        WorkerFile(self.settings.home / FOLDER).tell()
        pointer = read_pointer(self.settings.pointer_path) or {}
        for _ in range(exams):
            self._send(pointer)
        self.log.append_scorings(self.rows)
        self.rows = []

    def _send(self, pointer: dict[str, Any]) -> None:
        self.sent += 1
        challenger, champion = pointer.get("challenger"), pointer["release_id"]
        logit, name = float(self.dice.normal()), f"{self.seed}-{self.sent}"
        answering = (challenger or {}).get("stage") == "canary" and self.dice.random() < 0.5
        if answering and not self._fails(challenger["release_id"], "canary", name):
            self._log("canary", challenger["release_id"], name, logit)
            return
        if answering or not self._fails(champion, "champion", name):
            self._log("champion", champion, name, logit)
        else:
            self._log("standby", pointer["previous"]["release_id"], name, logit)
        if (challenger or {}).get("stage") == "shadow" and not self._fails(
            challenger["release_id"], "shadow", name
        ):
            self._log("shadow", challenger["release_id"], name, logit)

    def _fails(self, release: str, role: str, name: str) -> bool:
        fails = self.fault == "errors" and release == self.faulty
        if fails:
            self.log.add_failure(release, role, "SCORE_NOT_FINITE", f"q-{name}")
        return fails

    def _log(self, role: str, release: str, name: str, logit: float) -> None:
        faulty = release == self.faulty
        if faulty and role == "shadow":
            noise = float(self.dice.normal())
            logit = noise if self.fault == "chance" else 0.95 * logit + 0.3 * noise
        if faulty and self.fault == "moved":
            logit += 3.0
        recall = logit >= RECALLED
        if faulty and self.fault in ("recalls", "sleeps"):
            recall = self.fault == "recalls"
        latency = 200.0 if faulty and self.fault == "slow" else 20.0
        row = {
            "request_id": f"q-{name}",
            "exam_id": f"E-{name}",
            "level": "exam",
            "patient_id": f"P-{name}",
            "release_id": release,
            "role": role,
            "scanner": "Phantom/A1",
            "scored_at": datetime.now(UTC),
            "logit": logit,
            "probability": 0.1,
            "recall": bool(recall),
            "latency_ms": latency,
            "features": {"paired_ms": 20.0} if role == "shadow" else None,
        }
        self.rows.append([row])
