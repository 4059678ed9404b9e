"""The table of ratios as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.clock import Row

LIBRARIES = (
    "imagecodecs",
    "numpy",
    "opencv-python-headless",
    "pydicom",
    "python-gdcm",
    "pyjpegls",
    "pylibjpeg-libjpeg",
    "pylibjpeg-openjpeg",
    "pylibjpeg-rle",
    "pillow",
    "scikit-image",
)
ROOT = Path(__file__).parents[1]


def describe_run(image: str, turns: int) -> dict[str, Any]:
    """Return commit, day, machine, image and versions."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD") + _dirty(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores of {_processor()}",
        "image": f"3328 x 2560, 12 bits: {image}",
        "turns": turns,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def name_run(command: str) -> dict[str, str]:
    """Return what each results file says of itself: command, commit, day and machine."""
    run = describe_run("", 0)
    return {"command": command} | {name: run[name] for name in ("commit", "date", "machine")}


def commit_time() -> float | None:
    """Return when the commit that is checked out was made, in seconds; None where git is not."""
    seconds = _git("show", "-s", "--format=%ct", "HEAD")
    return float(seconds) if seconds else None


def format_table(rows: Sequence[Row], run: dict[str, Any]) -> str:
    """Return the Markdown table, and below it where it was measured."""
    lines = [
        "| step | ours, ms | usual way, ms | times faster | at least | fastest other, ms | times |",
        "|---|---|---|---|---|---|---|",
        *map(_line, rows),
        "",
        f"Commit {run['commit']}, {run['date']}, {run['machine']}. Image: {run['image']}.",
        f"The least of {run['turns']} turns; CPU time of one pinned core unless it says wall time.",
    ]
    missed = [row.step for row in rows if row.missed]
    return "\n".join([*lines, *([f"MISSED: {'; '.join(missed)}"] if missed else [])])


def write_results(path: Path, rows: Sequence[Row], run: dict[str, Any]) -> None:
    """Write the run and its rows; times in seconds."""
    lines = [
        {**vars(row), "ratio": round(row.ratio, 3), "fastest_ratio": round(row.fastest_ratio, 3)}
        for row in rows
    ]
    path.write_text(json.dumps({**run, "rows": lines}, indent=1) + "\n")


def _line(row: Row) -> str:
    bar = "" if row.bar is None else f"{row.bar:g}"
    verdict = " **MISSED**" if row.missed else ""
    wall = " (wall time)" if row.clock == "wall" else ""
    return (
        f"| {row.step}{wall} | {_ms(row.ours_s)} | {_ms(row.usual_s)} ({row.usual}) | "
        f"{row.ratio:.2f}{verdict} | {bar} | {_ms(row.fastest_s)} ({row.fastest}) | "
        f"{row.fastest_ratio:.2f} |"
    )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:.0f}"


def _dirty() -> str:
    return "-changed" if _git("status", "--porcelain", "--", "mammo", "benchmarks/*.py") else ""


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown" if words[0] == "rev-parse" else ""
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in names if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
