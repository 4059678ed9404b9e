"""What was wrong with the exams that a run of the monitor took: stable codes, counted.

Every one has a safe default: what is missing changes no chart, what is doubtful is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monitoring.conformal import Floats
from monitoring.reference import ControlReference

TOLD = {
    "NO_NEW_EXAMS": "run found no new exam: nothing was tested",
    "EXAM_REPEATED": "exams were sent again soon after; counted once",
    "EMBEDDING_MISSING": "exams lack their embedding, or have one of another size; its channels "
    "were not tested by them",
    "VALUE_MISSING": "values lack that the reference has; their channels were not tested by them",
    "REFERENCE_CHANGED": "reference or setting differs from the last run's: the control began anew",
    "CHANNEL_CONSTANT": "channels have one same value in the whole reference: any other value "
    "looks far away",
}


def input_counts(values: Floats, phi: Floats, known: ControlReference) -> dict[str, int]:
    """Count what exams (n, C) and their embedding features (n, D) lack that the reference has."""
    usual = np.isfinite(known.values).mean(axis=0) > 0.5
    embedded = np.isfinite(known.phi[:, 0]).any() if known.phi.shape[1] else False
    names = np.array(["embedding" in name for name in known.channels.names])
    return {
        "EMBEDDING_MISSING": int(np.isnan(phi[:, 0]).sum()) if embedded else 0,
        "VALUE_MISSING": int(np.isnan(values[:, usual & ~names]).sum()),
    }


def constant_channels(known: ControlReference) -> list[str]:
    """Return numeric channels that have one same value throughout the reference.

    Flags (missing, refused, quality, recall) may well be zero everywhere.
    """
    flags = ("recall", "missing", "refused", "quality")
    return [
        name
        for name, column in zip(known.channels.names, known.values.T, strict=True)
        if name not in flags and len(np.unique(column[np.isfinite(column)])) == 1
    ]


def codes_of_input(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a code for each count above zero, with its words."""
    return [
        {"code": code, "count": int(n), "told": f"{int(n)} {TOLD[code]}."}
        for code, n in counts.items()
        if n
    ]
