"""The published record of a run: figures of every policy, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.continual.decisions.figures import aims, by_kind, by_policy, describe, quarters
from benchmarks.continual.decisions.judging import CONFIG
from benchmarks.continual.decisions.policies import OURS, POLICIES, RESEALED
from benchmarks.continual.decisions.result import Result
from benchmarks.report import describe_run


def make_record(
    results: Sequence[Result], asked: Mapping[str, Any], seconds: float | None
) -> dict[str, Any]:
    """Return everything that is published, JSON-able; ``seconds`` are of CPU, where known."""
    run = describe_run("", 0)
    grouped = by_policy(results)
    described = describe(grouped)
    return {
        "titles": {one.name: one.title for one in POLICIES if one.name in grouped},
        "aims": aims(described),
        "policies": described,
        "with_concept": describe(grouped, concept=True),
        "without_concept": describe(grouped, concept=False),
        "kinds": {name: by_kind(grouped[name]) for name in (OURS, RESEALED) if name in grouped},
        "quarters": {name: quarters(ones) for name, ones in grouped.items()},
        "gate": CONFIG.to_dict(),
        "programmes": asked["programmes"],
        "years": asked["years"],
        "seed": asked["seed"],
        "commit": run["commit"],
        "date": run["date"],
        "machine": run["machine"],
        "command": _command(asked),
        "cpu_seconds": None if seconds is None else round(seconds, 1),
    }


def _command(asked: Mapping[str, Any]) -> str:
    words = ["python -m benchmarks.continual.decisions", f"--programmes {asked['programmes']}"]
    words += [f"--years {asked['years']}"] if asked["years"] != 5 else []
    words += [f"--policy {name}" for name in asked["policy"] or ()]
    words += [f"--seed {asked['seed']}"] if asked["seed"] else []
    return " ".join(words)
