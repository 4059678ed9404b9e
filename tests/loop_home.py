"""The homes that the stateful test of the loop starts from, and the exams that it logs.

The releases are manifests without a network, in the home and in Bentos as a build leaves
them; the policy of the rollout is so wide that some tens of exams clear a release.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from mammo.changes.signing import record_key
from mammo.prediction_log import PredictionLog
from mammo.release import Release, write_json
from mammo.settings import Settings
from tests.bentos.conftest import make_release
from tests.bentos.deploying import load_embedded, pack

KINDS = {"r-0": "trained", "r-1": "fine_tuned", "r-2": "fine_tuned", "r-3": "trained"}
TRIED = ("fine_tuned", "trained")
"""Kinds that the plan leads into service over a trial."""
POLICY = """
stages: [{stage: shadow, exams: 20}, {stage: canary, percent: 50, exams: 20}]
probation_exams: 20
alpha_clear: 0.5
alpha_harm: 0.05
errors_share: 0.4
disagree_share: 0.7
reorder_share: 0.7
slow_share: 0.7
recall_times: 9.0
"""
"""So wide that some tens of exams clear a release or show its harm."""
OPTIONS: dict[str, Any] = {"wait": False, "check": load_embedded}
_template: list[Path] = []


def fresh_home() -> Settings:
    """Return an installation with the releases packaged and nothing judged: a copy of one."""
    if not _template:
        _template.append(Path(tempfile.mkdtemp(prefix="loop-")))
        settings = settings_of(_template[0])
        PredictionLog(settings.log_url).create()
        (settings.home / "rollout.yaml").write_text(POLICY)
        record_key(settings.keys_dir)
        for release, kind in KINDS.items():
            pack(settings, release, kind=kind, permitted=False)
            write_manifests(settings, make_release(release, kind=kind))
    home = Path(tempfile.mkdtemp(prefix="loop-"))
    shutil.copytree(_template[0], home, dirs_exist_ok=True)
    return settings_of(home)


def write_manifests(settings: Settings, release: Release) -> None:
    """Write a manifest with its own digest, in the home and in the Bento."""
    sealed = replace(release, digest=release.compute_digest())
    bento = settings.bentoml_home / "bentos" / "screening" / f"{release.id}-c0de"
    for folder in (settings.releases_dir / release.id, bento / "src" / "release"):
        write_json(folder / "manifest.json", sealed.to_dict())


def settings_of(home: Path) -> Settings:
    """Return settings of a home without a service, whatever the environment says."""
    return Settings(home=home, mlflow_port=9, service_port=9)


def prediction(
    request: str, release: str, role: str, *, logit: float = 0.5, recall: bool = False
) -> dict[str, Any]:
    """Return the row of an exam that a release scored in a role."""
    return {
        "exam_id": f"E-{request}",
        "level": "exam",
        "patient_id": "P-1",
        "release_id": release,
        "role": role,
        "scanner": "Phantom/A1",
        "acquired_on": date(2026, 1, 1),
        "scored_at": datetime.now(UTC),
        "logit": logit,
        "probability": 0.62,
        "recall": recall,
        "latency_ms": 1.0,
        "features": {"paired_ms": 1.0},
    }
