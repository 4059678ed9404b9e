"""The gate's operating characteristic: what share of challengers passes, by their true AUC.

Half of the challengers are retrained, half fine-tuned; their true AUC differs from the
champion's by the same on every exam, and nothing else is wrong with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.continual.intervals import share
from benchmarks.gate.golden import NEWEST, PRODUCTION, Size
from benchmarks.gate.planted import (
    FINE_TUNED,
    RETRAINED,
    Kind,
    is_higher,
    judge_planted,
    service_config,
)

DIFFERENCES = (-0.10, -0.06, -0.04, -0.03, -0.02, -0.01, 0.0, 0.02, 0.05)
SMALL, SMALL_NEWEST = Size(800, 150), Size(800, 80)
SIZES = {"2000 exams, 500 cancers": (PRODUCTION, NEWEST), "800, 150": (SMALL, SMALL_NEWEST)}


def describe_operating(each: int) -> dict[str, list[dict[str, Any]]]:
    """Return, by golden size, a row for each true difference (JSON-able)."""
    return {
        name: [
            _row(difference, each, *sizes, seed=[3, place, step])
            for step, difference in enumerate(DIFFERENCES)
        ]
        for place, (name, sizes) in enumerate(SIZES.items())
    }


def _row(difference: float, each: int, size: Size, newest: Size, seed: list[int]) -> dict[str, Any]:
    decisions = [
        judge_planted(
            Kind("", difference, FINE_TUNED if number % 2 else RETRAINED),
            np.random.default_rng([*seed, number]),
            size=size,
            newest=newest,
            config=service_config(),
        )
        for number in range(each)
    ]
    counts = {
        "gate": sum(decision.passed for decision in decisions),
        "golden_clause": sum(decision.clauses[0].passed for decision in decisions),
        "higher": sum(is_higher(decision) for decision in decisions),
    }
    refused = [name for decision in decisions for name in decision.failed]
    return {
        "difference": difference,
        "judged": each,
        "power": float(np.mean([one.power["probability"] for one in decisions])),
        "refused_by": {name: refused.count(name) for name in dict.fromkeys(refused)},
        **{name: share(count, each).to_dict() for name, count in counts.items()},
    }
