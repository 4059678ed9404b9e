"""Tables of scores with a known structure: two breasts of two views, scanners, findings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd


def scores_table(
    patients: int = 120, *, cancer: float = 0.3, seed: int = 0, shift: float = 1.8, **columns: Any
) -> pd.DataFrame:
    """Return mammograms of one exam a patient; ``columns`` replace what is drawn."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        side = "LR"[rng.integers(2)] if rng.random() < cancer else None
        own = rng.normal(scale=0.5)
        of_patient = {
            "patient_id": f"P-{patient:04d}",
            "exam_id": f"E-{patient:04d}",
            "scanner": f"Maker/{'AB'[patient % 2]}",
            "site": "site-1",
            "age_years": int(rng.integers(38, 80)),
            "density": "ABCD"[rng.integers(4)],
            "implant": bool(patient % 10 == 0),
            "source": "made",
            "part": "golden" if patient % 3 else "holdout",
        }
        kind = "mass" if rng.random() < 0.5 else "calcification"
        for laterality in "LR":
            cancerous = laterality == side
            breast = own + rng.normal(scale=0.6) + shift * cancerous - 1.5
            of_breast = {
                "laterality": laterality,
                "label": int(cancerous),
                "pooled": True,
                "findings": json.dumps([{"kind": kind}]) if cancerous else "[]",
            }
            rows += [
                of_patient
                | of_breast
                | {
                    "image_id": f"I-{patient:04d}-{laterality}-{view}",
                    "view": view,
                    "logit": float(breast + rng.normal(scale=0.7)),
                }
                for view in ("CC", "MLO")
            ]
    return pd.DataFrame(rows).assign(**columns)
