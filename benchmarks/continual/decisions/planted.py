"""Trainings that go wrong: outcomes joined to the wrong exams, as it happens in programmes.

One training in ten, by the luck of its day and so under every policy alike, is given labels
of which a part was shuffled among the exams. Nothing tells the programme. How often and how
badly are choices: no source is known to us that counts such accidents.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.continual.decisions.learner import Labelled

FAULTY = 0.10
SHUFFLED = 0.6
WRONG_JOIN = "outcomes joined to wrong exams"


def fault_of(rng: np.random.Generator) -> str | None:
    """Draw whether a training goes wrong, and how."""
    return WRONG_JOIN if rng.random() < FAULTY else None


def spoil(rows: Labelled, fault: str | None, rng: np.random.Generator) -> Labelled:
    """Return what the faulty training sees; the rows as they are without a fault."""
    if fault is None:
        return rows
    moved = np.flatnonzero(rng.random(len(rows)) < SHUFFLED)
    cancer = rows.cancer.copy()
    cancer[moved] = cancer[rng.permutation(moved)]
    return replace(rows, cancer=cancer)
