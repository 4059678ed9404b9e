"""Small made-up sets whose numbers are known, as frames with the index's columns."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from mammo.data.index import index_from_rows

VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))


def row(number: int, patient: int, side: str = "L", view: str = "CC", **facts: Any) -> dict:
    """Return one image of patient p<patient>, whose only exam is e<patient>."""
    return {
        "image_id": f"i{number:06d}", "exam_id": f"e{patient:05d}",
        "patient_id": f"p{patient:05d}", "laterality": side, "view": view, "source": "made-up",
        "site": "site-a", "scanner": "Maker/one", "sha256": f"{number:064x}", "shard": "s",
        "shard_row": number, "findings": "[]",
    } | facts  # fmt: skip


def cohort(patients: int = 200, *, seed: int = 3, **columns: Any) -> pd.DataFrame:
    """Return four images per patient; a column is a value or a function of (patient, side, rng).

    Without ``cancer`` every tenth patient has it, in the left breast.
    """
    rng = np.random.default_rng(seed)
    columns = {"cancer": lambda p, side, _: int(p % 10 == 0 and side == "L")} | columns
    rows = []
    for patient in range(patients):
        of_breast: dict[tuple[str, str], Any] = {}
        for side, view in VIEWS:
            for name, value in columns.items():
                if (name, side) not in of_breast:
                    of_breast[name, side] = value(patient, side, rng) if callable(value) else value
            facts = {name: of_breast[name, side] for name in columns}
            rows.append(row(len(rows), patient, side, view, **facts))
    return index_from_rows(rows)


def box(x: float, y: float, width: float, height: float, kind: str = "MASS") -> dict[str, Any]:
    """Return a finding as the index stores it."""
    return {"x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height, "kind": kind}


def boxed(*findings: dict[str, Any]) -> str:
    """Return findings as the index's column has them."""
    return json.dumps(findings)
