"""The workflows as data: files, jobs, steps, and the shell that they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
ACTION = ROOT / ".github" / "actions" / "setup" / "action.yml"


def load(path: Path) -> dict[str, Any]:
    """Return a workflow; YAML 1.1 reads its key ``on`` as True."""
    document = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in document.items()}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each job with its name, `file:job`."""
    for path in FILES:
        for name, job in load(path)["jobs"].items():
            yield f"{path.stem}:{name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step with the name of its job; those of our own action too."""
    for name, job in jobs():
        for step in job.get("steps", ()):
            yield name, step
    for step in load(ACTION)["runs"]["steps"]:
        yield "setup", step


def scripts() -> list[tuple[str, str]]:
    """Return each block of shell with the name of its job."""
    return [(name, step["run"]) for name, step in steps() if "run" in step]
