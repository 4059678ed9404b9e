"""The results files, each with its commit, and how their numbers are written."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# where a benchmark keeps its results: the name that the templates use, and the file
FILES = {
    "reading": "benchmarks/results.json",
    "reading_before": "benchmarks/results_before.json",
    "index_scale": "benchmarks/index_scale.json",
    "known_truth": "benchmarks/known_truth.json",
    "mini_mias": "benchmarks/mini_mias.json",
    "rsna": "benchmarks/rsna_table.json",
    "exports": "benchmarks/export.json",
    "shortcuts": "benchmarks/shortcuts.json",
    "strategies": "benchmarks/strategies.json",
    "detectors": "benchmarks/detectors.json",
    "service": "benchmarks/service/speed.json",
    "chaos": "benchmarks/chaos/chaos.json",
    "faults": "benchmarks/chaos/faults.json",
    "guarded": "benchmarks/chaos/guarded.json",
    "soak": "benchmarks/chaos/soak.json",
    "stack_soak": "benchmarks/stack_soak/stack_soak.json",
    "continual": "benchmarks/continual.json",
    "decisions": "benchmarks/continual_decisions.json",
    "monitor": "benchmarks/monitor_speed.json",
    "gate": "benchmarks/gate.json",
    "gateway": "benchmarks/gateway/gateway.json",
    "recorded": "benchmarks/recorded.json",
}

WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)  # fmt: skip


class NoCommit(ValueError):
    """A results file does not say of which commit it is."""


@cache
def results(name: str) -> Any:
    """Return the contents of a results file.

    Raises KeyError where there is none of that name, NoCommit where it names no commit.
    """
    found = json.loads((ROOT / FILES[name]).read_text())
    if not _commits(found):
        raise NoCommit(f"{FILES[name]} names no commit: write it by its benchmark's --write")
    return found


def commit_of(part: Any) -> str:
    """Return the commit or commits of a results file or of a part of one, for print."""
    found = _commits(part)
    if not found:
        raise NoCommit("this part of the results names no commit")
    return ", ".join(sorted(found))


def _commits(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["commit"]} if isinstance(part.get("commit"), str) else set()
        return own.union(*map(_commits, part.values()))
    if isinstance(part, list):
        return set().union(*map(_commits, part))
    return set()


def copied(part: dict[str, Any]) -> str:
    """Write, to follow a commit, that a person copied the figures and from where; else nothing."""
    return f", copied by {part['copied_by']} from {part['source']}" if "copied_by" in part else ""


def how(part: dict[str, Any]) -> str:
    """Write what else is known of how a run was made, and whether a person copied it."""
    return ", ".join([*filter(None, [part.get("note")]), copied(part).lstrip(", ")]).rstrip(", ")


def made(part: Any) -> str:
    """Write who wrote a results file, or a part of one."""
    if isinstance(part, dict) and "copied_by" in part:
        return f"{part['copied_by']}, from {part['source']}"
    return "its benchmark" if not isinstance(part, dict) or "read_from" not in part else "its run"


def by_hand() -> list[str]:
    """Return the commands whose figures a person copied into a results file, for print."""
    parts = [*results("recorded").values(), *(results(name) for name in FILES)]
    return [command(part) for part in parts if isinstance(part, dict) and "copied_by" in part]


def command(part: dict[str, Any]) -> str:
    """Write the command of a run as code; one in words as it is."""
    told = str(part["command"])
    return told if told.startswith("a ") else f"`{told}`"


def spelled(count: int) -> str:
    """Write a count in words up to twelve, else in digits."""
    return WORDS[count] if 0 <= count < len(WORDS) else f"{count:,}"


def fixed(value: float, digits: int = 2) -> str:
    """Write a number with so many digits after the point, thousands with commas."""
    written = f"{value:,.{digits}f}"
    return written.lstrip("-") if float(written.replace(",", "")) == 0 else written


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds, with three digits."""
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:.0f}"


def percent(value: float, digits: int = 0) -> str:
    """Write a share of 1 in percent."""
    return f"{fixed(100 * value, digits)} %"


def interval(value: dict[str, float], digits: int = 2) -> str:
    """Write a value with its 95 % interval; only the value where it has none."""
    if value.get("low") is None or value.get("high") is None:
        return fixed(value["value"], digits)
    low, high = fixed(value["low"], digits), fixed(value["high"], digits)
    return f"{fixed(value['value'], digits)} ({low} to {high})"


def percent_interval(value: dict[str, float], digits: int = 0) -> str:
    """Write a share with its 95 % interval in percent."""
    scaled = {name: 100 * value[name] for name in ("value", "low", "high")}
    text = interval(scaled, digits)
    return text.replace(" (", " % (", 1)
