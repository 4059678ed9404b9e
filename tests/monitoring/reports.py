"""A monitor's report made by hand: one scanner's images changed, the rest is quiet."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np

from monitoring.distances import shift_nodes
from monitoring.evidence import Evidence
from monitoring.evidence_page import Episode
from monitoring.strata import Stratum
from monitoring.triage import Triage, decide

NAMES = ("score", "recall", "missing", "embedding_distance", "mean_intensity", "kvp", "age_years")
KNOWN = Stratum("site-1", "Aurora/A1", "1.0")
CHANGED = Stratum("site-2", "Draco/D4", "2.1")
NODES = {
    Stratum("", "", ""): "programme",
    Stratum("site-1", "", ""): "site",
    Stratum("site-1", "Aurora/A1", ""): "scanner",
    KNOWN: "version",
    Stratum("site-2", "", ""): "site",
    Stratum("site-2", "Draco/D4", ""): "scanner",
    CHANGED: "version",
}
MOVES = {"score": 0.8, "embedding_distance": 1.5, "mean_intensity": 1.2, "kvp": 0.9}


def exams(count: int, moved: bool, rng: np.random.Generator) -> np.ndarray:
    """Return channel values (count, 7)."""
    shift = MOVES if moved else {}
    z = {name: rng.standard_normal(count) + shift.get(name, 0.0) for name in NAMES}
    return np.column_stack(
        [
            -4 + 1.2 * z["score"],
            rng.random(count) < (0.22 if moved else 0.1),
            rng.random(count) < 0.01,
            5.6 + 0.7 * z["embedding_distance"],
            0.45 + 0.04 * z["mean_intensity"],
            np.round(29 + 1.5 * z["kvp"]),
            60 + 7 * z["age_years"],
        ]
    ).astype(float)


def watched(stratum: Stratum, level: str) -> dict[str, Any]:
    """Return a node's line of the report."""
    moved = stratum == CHANGED
    return {
        "level": level,
        "site": stratum.site,
        "scanner": stratum.scanner,
        "software_version": stratum.software_version,
        "exams": 320 if "site-2" in stratum.site else 1840,
        "state": "confirmed" if moved else "in_control",
        "codes": ["VERSION_NEW"] if moved else [],
        "reference_exams": 2000,
        "cusum": 21.0 if moved else 2.0,
        "channel": "embedding_distance" if moved else "score",
        "threshold": 11.0,
        "evidence": 1.31 if moved else 0.08,
        "alert_at": 214 if moved else None,
        "confirmed_at": 221 if moved else None,
        "change_at": 205 if moved else None,
        "exams_to_alarm": 16 if moved else None,
    }


def evidence() -> Evidence:
    return Evidence(
        moved={
            "score": ("score",),
            "embedding": ("embedding_distance",),
            "image": ("mean_intensity",),
            "header": ("kvp",),
        },
        shifts={**dict.fromkeys(NAMES, 0.05), **MOVES},
        exams=115,
        version_new=True,
        strata_moved=1,
        strata_watched=6,
        onset="abrupt",
    )


def report(**changes: Any) -> dict[str, Any]:
    """Return the report of a run, as `MonitorReport.to_dict` does."""
    rng = np.random.default_rng(4)
    recent = np.vstack([exams(700, False, rng), exams(115, True, rng)])
    strata = [KNOWN] * 700 + [CHANGED] * 115
    reference = exams(4000, False, rng)
    shifts = shift_nodes(
        recent, strata, reference, [KNOWN] * 4000, NAMES, (Stratum("", "", ""), CHANGED)
    )
    return {
        "stamp": "20261128T080000-000",
        "release_id": "r-1",
        "read": 815,
        "policy": "control",
        "strata": {one.name: watched(one, level) for one, level in NODES.items()},
        "episodes_opened": [told()],
        "distances": shifts,
        "drift": {},
        "codes": [],
        "performance": {
            "exams": 300, "positives": 4, "auc": None, "reference": None, "loss": False,
            "note": "4 cancers and 296 others have an outcome; 10 of each are needed.",
        },
        "notes": [],
    } | changes  # fmt: skip


def triage() -> Triage:
    found = decide(evidence())
    assert found is not None
    return found


def told(**changes: Any) -> dict[str, Any]:
    """Return an episode as `Proposal.to_dict` does."""
    found = triage()
    return {
        "key": "r-1:site-2-draco-d4-2.1:act:1",
        "cause": found.cause,
        "action": found.action,
        "reason": found.reason,
        "stratum": CHANGED.name,
        "scanner": CHANGED.scanner,
        "exams_to_alarm": 16,
        "report_url": "http://host/drift/20261128T080000-000/",
    } | changes


def episode(picture: str = "") -> Episode:
    return Episode(told(), asdict(evidence()), triage().to_dict(), picture)


def node() -> SimpleNamespace:
    """Return a node as `Watch.nodes` does."""
    number = np.arange(1, 321, dtype=float)
    paths = np.abs(np.random.default_rng(2).standard_normal((320, len(NAMES)))) * 0.15
    paths[205:, 3] += np.minimum(0.11 * np.arange(115), 2.4)
    paths[205:, 4] += np.minimum(0.07 * np.arange(115), 1.8)
    proof = np.where(number > 205, np.minimum((number - 205) / 16, 1.31), 0.05)
    return SimpleNamespace(
        name=CHANGED.name,
        slug=CHANGED.slug,
        level="version",
        codes=("VERSION_NEW",),
        state="confirmed",
        exams=320,
        channels=NAMES,
        lead="embedding_distance",
        alert_at=214,
        change_at=205,
        confirmed_at=221,
        evidence=1.31,
        trace=np.column_stack([number, paths, proof]),
    )
