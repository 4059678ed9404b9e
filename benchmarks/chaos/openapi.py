"""schemathesis against the service: every request that its OpenAPI document allows or forbids.

    python -m benchmarks.chaos.openapi                   # minutes, writes the docs
    python -m benchmarks.chaos.openapi --examples 3      # a small one, writes nothing

All checks of schemathesis, in all its phases, with a token of all roles; the
binary bodies are real small mammograms (`benchmarks.chaos.openapi_hooks`). Exit
status 1 on any failure, on any 5xx, and where the service logged an unexpected error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.chaos.page import describe, spell, write_run
from benchmarks.chaos.served import ROOT, Served, make_installation, serve
from mammo.tokens import ROLES, TokenStore

EXAMPLES, SEED = 50, 1
OTHERS = "other methods and paths"
HOOKS = "benchmarks.chaos.openapi_hooks"


@dataclass(frozen=True)
class Tried:
    """What came of it.

    ``statuses`` counts the service's answers by operation and class of status, as it
    counted them itself; ``failures`` the distinct failures by their title.
    """

    operations: int
    cases: int
    statuses: dict[str, dict[str, int]]
    failures: dict[str, int]
    unexpected: int

    @property
    def passed(self) -> bool:
        """True where every operation was tried, nothing failed and nothing broke inside."""
        broken = any("5xx" in counts for counts in self.statuses.values())
        return not (self.failures or broken or self.unexpected) and self.cases > 0


def try_document(folder: Path, examples: int) -> tuple[Tried, str]:
    """Serve, let schemathesis loose; return what came of it and what it said."""
    settings = make_installation(folder / "home", auth="on")
    token = TokenStore(settings.tokens_path).add("schemathesis", ROLES)
    with serve(settings) as served:
        said = _run(served, folder, token, examples)
        report = json.loads((folder / "report.json").read_text())
        tried = Tried(
            operations=report["operations"]["tested"],
            cases=report["test_cases"]["generated"],
            statuses=_count_answers(served, token),
            failures={one["title"]: one["count"] for one in report["failures"]},
            unexpected=served.output.count("unexpected "),
        )
    return tried, said


def _run(served: Served, folder: Path, token: str, examples: int) -> str:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/openapi.json",
        "--checks", "all", "--max-examples", str(examples), "--seed", str(SEED),
        "--header", f"Authorization: Bearer {token}", "--continue-on-failure",
        "--no-color", "--generation-database", "none", "--request-timeout", "60",
        "--report", "json", "--report-json-path", str(folder / "report.json"),
    ]  # fmt: skip
    hooks = {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=os.environ | hooks, cwd=folder, capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def _count_answers(served: Served, token: str) -> dict[str, dict[str, int]]:
    """Return answers by operation and class of status, from the service's own counter."""
    headers = {"Authorization": f"Bearer {token}"}
    paths = httpx.get(f"{served.url}/openapi.json", headers=headers, timeout=30).json()["paths"]
    told = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    text = httpx.get(f"{served.url}/metrics", headers=headers, timeout=30).text
    counts: dict[str, Counter[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "mammo_requests_total":
                labels = sample.labels
                operation = f"{labels['method']} {labels['route']}"
                known = counts.setdefault(operation if operation in told else OTHERS, Counter())
                known[f"{labels['status'][0]}xx"] += int(sample.value)
    return {operation: dict(sorted(found.items())) for operation, found in counts.items()}


def write_tried(tried: Tried, run: dict[str, Any]) -> None:
    """Write the numbers and the table in the docs."""
    classes = ("2xx", "3xx", "4xx", "5xx")
    rows = [
        [operation, *(f"{counts.get(one, 0):,}" for one in classes)]
        for operation, counts in sorted(tried.statuses.items(), key=lambda one: one[0] == OTHERS)
    ]
    note = (
        f"{tried.operations} operations, {tried.cases:,} cases; failures: "
        f"{spell(tried.failures)}; unexpected errors in the service's log: {tried.unexpected}. "
        "Answers are as the service itself counted them."
    )
    write_run("openapi", {"run": run, **asdict(tried)}, ["operation", *classes], rows, note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.chaos.openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="cases per operation")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tried, said = try_document(Path(folder), given.examples)
    print(said[-20_000:] if not tried.passed else "", tried, sep="\n")
    if given.examples >= EXAMPLES:
        write_tried(tried, describe("python -m benchmarks.chaos.openapi"))
    return 0 if tried.passed else 1


if __name__ == "__main__":
    sys.exit(main())
