"""What is kept of a run, read from the files it wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.report import commit_time, name_run
from mammo.continual.recalibrate import MIN_EXAMS_TO_RECALIBRATE

SUMMARY = "summary.json"
SHORT = 7
"""Characters of a commit on a page."""
LEVELS = "most_levels_apart"
"""The property that tests/viewer/test_pixels.py leaves in pytest's JUnit file."""
REQUESTS = ("sent", "failed", "repeated_exams")
"""Of the requests all but the text of errors."""


class NotRecorded(ValueError):
    """A file cannot be recorded: the run failed, or no one knows of which commit it is."""


def demo(directory: Path) -> dict[str, Any]:
    """Return what `make demo` left in its folder: the whole of summary.json but errors' text.

    Raises NotRecorded where the demo failed or does not know its commit.
    """
    file = directory / SUMMARY
    summary = json.loads(file.read_text())
    if summary["failure"]:
        raise NotRecorded(f"the demo failed: {summary['failure']}")
    run = _of_code(file, "make demo", summary.pop("code"))
    summary["requests"] = {name: summary["requests"][name] for name in REQUESTS}
    return run | {"exams_to_set_threshold": MIN_EXAMS_TO_RECALIBRATE, "summary": summary}


def drills(directory: Path) -> dict[str, Any]:
    """Return what `mammo drill --all` left in its folder: which were right, and what it cost.

    Raises NotRecorded where it was ended early, was of some drills alone, or knows no commit.
    """
    file = directory / SUMMARY
    summary = json.loads(file.read_text())
    if summary["failure"]:
        raise NotRecorded(f"the drills were ended: {summary['failure']}")
    by_name = {one["scenario"]: one for one in summary["findings"]}
    if "faulty_release" not in by_name:
        raise NotRecorded("no faulty_release among the drills: record `mammo drill --all`")
    return _of_code(file, "mammo drill --all", summary["code"]) | {
        "right": summary["right"],
        "drills": summary["drills"],
        "wrong": [name for name, one in by_name.items() if not one["right"]],
        "requests": summary["requests"]["sent"],
        "failed": summary["requests"]["failed"],
        "faulty_release_seconds": by_name["faulty_release"]["figures"].get("rollback_seconds"),
        "seconds": summary["seconds_total"],
    }


def tests(quick: Path, stack: Path) -> dict[str, Any]:
    """Return how many tests `make test` passed and how long it took, from its two JUnit files."""
    parts = {"quick": _junit(quick), "stack": _junit(stack)}
    _of_checkout(stack, "make test", parts["stack"]["seconds"])
    run = _of_checkout(quick, "make test", parts["quick"]["seconds"])
    return run | {"read_from": f"{quick.name}, {stack.name}"} | parts


def int8(release: Path) -> dict[str, Any]:
    """Return what `mammo export RELEASE --int8` says of the 8-bit graph in the child's folder.

    Raises NotRecorded where none was tried or its AUC could not be judged.
    """
    file = release / "export.json"
    found = json.loads(file.read_text())["candidates"].get("onnx_int8")
    if found is None or found["auc_change"] is None:
        raise NotRecorded("export.json has no onnx_int8 whose AUC was judged")
    return _of_checkout(file, "mammo export RELEASE --int8", 0.0) | {
        "auc_change": found["auc_change"],
        "patients": found["auc_change"]["n_patients"],
        "times_as_fast": found["times_faster"],
    }


def viewer(junit: Path) -> dict[str, Any]:
    """Return by how many of 255 levels the browser's drawing differs from Python's, at most.

    Raises NotRecorded where a way of drawing was skipped or failed.
    """
    ways = {
        way: int(one.attrib["value"])
        for case in ElementTree.parse(junit).iter("testcase")
        for one in case.iter("property")
        for way in ("webgl", "processor")
        if one.attrib["name"] == LEVELS and f"[{way}]" in case.attrib["name"]
    }
    if set(ways) != {"webgl", "processor"}:
        raise NotRecorded(f"{junit.name} tells only of {sorted(ways) or 'no'} drawing")
    seconds = _junit(junit)["seconds"]
    return _of_checkout(junit, "pytest tests/viewer/test_pixels.py", seconds) | {
        "largest_difference_webgl": ways["webgl"],
        "largest_difference_processor": ways["processor"],
        "of": 255,
    }


def _junit(file: Path) -> dict[str, Any]:
    """Return passed, failed and skipped tests and the wall time in seconds."""
    suites = list(ElementTree.parse(file).iter("testsuite"))
    counts = {
        name: sum(int(suite.attrib[name]) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    bad = counts["failures"] + counts["errors"]
    return {
        "passed": counts["tests"] - bad - counts["skipped"],
        "failed": bad,
        "skipped": counts["skipped"],
        "seconds": round(sum(float(suite.attrib["time"]) for suite in suites), 1),
    }


def _of_code(file: Path, command: str, code: dict[str, Any]) -> dict[str, Any]:
    """Name the run by the commit that it noted itself when it began."""
    if code["commit"] is None:
        raise NotRecorded(f"{file.name} names no commit: it ran outside of a git checkout")
    commit = code["commit"][:SHORT] + ("-changed" if code["changed"] else "")
    return _named(file, command) | {"commit": commit}


def _of_checkout(file: Path, command: str, seconds: float) -> dict[str, Any]:
    """Name the run by what is checked out; refuse one that began before that was committed."""
    committed, began = commit_time(), file.stat().st_mtime - seconds
    if committed is None or began < committed:
        raise NotRecorded(
            f"{file.name} is of a run that began before what is checked out was committed: "
            "run again, or check out what ran"
        )
    return _named(file, command)


def _named(file: Path, command: str) -> dict[str, Any]:
    day = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
    return name_run(command) | {"date": day, "read_from": file.name}
