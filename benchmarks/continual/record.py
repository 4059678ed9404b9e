"""The published record of one run, and where and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.continual.figures import (
    OURS,
    confusion,
    describe_rule,
    describe_scenario,
    list_figures,
    list_limits,
)
from benchmarks.continual.ours import ablations
from benchmarks.continual.peers import YearTests, peers, sweep
from benchmarks.continual.simulate import Judged
from benchmarks.report import describe_run


def make_record(
    judged: Judged, scenarios: Sequence[str], asked: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """Return everything that is published, JSON-able."""
    run = describe_run("", 0)
    tests = YearTests()
    ran = {rule for rule, _ in judged}
    titles = {one.name: one.title for one in ablations() if one.name in ran}
    return {
        "figures": list_figures(judged),
        "ours": describe_rule(judged, OURS, "mammo"),
        "peers": {one.name: describe_rule(judged, one.name, one.title) for one in peers(tests)},
        "scenarios": {name: describe_scenario(judged, name) for name in scenarios},
        "confusion": confusion(judged),
        "ablations": {name: describe_rule(judged, name, title) for name, title in titles.items()},
        "sweep": {one.name: describe_rule(judged, one.name, one.title) for one in sweep(tests)},
        "limits": list_limits(scenarios),
        "commit": run["commit"],
        "date": run["date"],
        "machine": run["machine"],
        "command": _command(asked),
        "years": asked["years"],
        "seed": asked["seed"],
        "seconds": round(seconds, 1),
    }


def _command(asked: Mapping[str, Any]) -> str:
    words = ["python -m benchmarks.continual", f"--years {asked['years']}"]
    words += [f"--scenario {name}" for name in asked["scenario"] or ()]
    words += [] if asked["ablations"] else ["--no-ablations"]
    words += [f"--seed {asked['seed']}"] if asked["seed"] else []
    return " ".join(words)
