"""What a whole run wrote becomes its part of recorded.json, or the reason why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import __main__ as command
from benchmarks.record import runs
from flows.demo_report import Recorder, summarise
from flows.drill_checks import Claim
from flows.drill_report import Finding, finish_drill
from mammo.settings import Settings

CODE = {"sha256": "ab" * 32, "commit": "0123456789abcdef", "changed": False}
TESTS = """
import time
import pytest
@pytest.mark.parametrize("by", ["a", "b"], ids=["webgl", "processor"])
def test_drawn(by, record_property):
    time.sleep(0.06)  # seconds are told with one decimal
    record_property("most_levels_apart", 1 if by == "a" else 0)
def test_left_out():
    pytest.skip("not here")
"""
FAILING = "def test_one():\n    assert False\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", _env_file=None)


@pytest.fixture
def ended(tmp_path: Path, settings: Settings) -> Path:
    """What a demo leaves; its summary is made by the demo's own code."""
    recorder = Recorder(tmp_path, quiet=True, target_recall_rate=0.35, code=CODE)
    recorder.champion = {"release": "r-1", "metrics": {"golden_auc": {"value": 0.9}}}
    (settings.home).mkdir()
    (tmp_path / "summary.json").write_text(json.dumps(summarise(recorder, settings)))
    return tmp_path


def change(directory: Path, **parts: Any) -> None:
    file = directory / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | parts))


def finding(name: str, *, holds: bool, **figures: Any) -> Finding:
    return Finding(name, "planted", "", claims=(Claim("seen", holds, ""),), figures=figures)


def drilled(directory: Path, settings: Settings, *found: Finding) -> Path:
    finish_drill(
        directory, settings, Recorder(directory, quiet=True, code=CODE), found, as_json=True
    )
    change(directory, requests={"sent": 12, "failed": 1})
    return directory


def ran(folder: Path, tests: str) -> Path:
    """Run tests as `make test` does and return the JUnit file."""
    (folder / "test_it.py").write_text(tests)
    asked = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "--junitxml=found.xml"]
    subprocess.run([sys.executable, "-m", "pytest", *asked, "test_it.py"], cwd=folder, check=False)
    return folder / "found.xml"


# the demo


def test_a_demo_is_recorded_whole_and_names_its_commit(ended: Path) -> None:
    part = runs.demo(ended)
    assert (part["command"], part["commit"], part["read_from"]) == (
        "make demo", "0123456", "summary.json",
    )  # fmt: skip
    assert part["machine"] and part["date"]
    assert part["summary"]["champion"]["auc"] == 0.9
    assert part["summary"]["target_recall_rate"] == 0.35
    assert "errors" not in part["summary"]["requests"]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"failure": "StackUnhealthy: no"}, "the demo failed: StackUnhealthy: no"),
        ({"code": CODE | {"commit": None}}, "summary.json names no commit"),
    ],
)
def test_a_demo_that_says_nothing_of_a_commit_is_refused(
    ended: Path, parts: dict[str, Any], told: str
) -> None:
    change(ended, **parts)
    with pytest.raises(runs.NotRecorded, match=told):
        runs.demo(ended)


def test_changed_sources_are_told(ended: Path) -> None:
    change(ended, code=CODE | {"changed": True})
    assert runs.demo(ended)["commit"] == "0123456-changed"


# the drills


def test_drills_are_counted(tmp_path: Path, settings: Settings) -> None:
    directory = drilled(
        tmp_path,
        settings,
        finding("concept", holds=False),
        finding("faulty_release", holds=True, rollback_seconds=8.9),
    )
    part = runs.drills(directory)
    assert (part["right"], part["drills"], part["wrong"]) == (1, 2, ["concept"])
    assert (part["requests"], part["failed"], part["faulty_release_seconds"]) == (12, 1, 8.9)
    assert part["commit"] == "0123456"


def test_some_drills_alone_are_refused(tmp_path: Path, settings: Settings) -> None:
    directory = drilled(tmp_path, settings, finding("concept", holds=True))
    with pytest.raises(runs.NotRecorded, match="record `mammo drill --all`"):
        runs.drills(directory)


# tests, pixels, an export


def test_tests_are_counted_from_junit(tmp_path: Path) -> None:
    file = ran(tmp_path, TESTS)
    part = runs.tests(file, file)
    counted = {name: part["quick"][name] for name in ("passed", "failed", "skipped")}
    assert counted == {"passed": 2, "failed": 0, "skipped": 1}
    assert part["quick"]["seconds"] > 0 and part["read_from"] == "found.xml, found.xml"


def test_failed_tests_are_told(tmp_path: Path) -> None:
    assert runs.tests(*[ran(tmp_path, FAILING)] * 2)["stack"]["failed"] == 1


def test_pixels_are_read_from_what_the_test_noted(tmp_path: Path) -> None:
    part = runs.viewer(ran(tmp_path, TESTS))
    assert (part["largest_difference_webgl"], part["largest_difference_processor"]) == (1, 0)


def test_pixels_that_were_not_drawn_are_no_record(tmp_path: Path) -> None:
    with pytest.raises(runs.NotRecorded, match="tells only of no drawing"):
        runs.viewer(ran(tmp_path, FAILING))


def test_a_file_older_than_what_is_checked_out_is_refused(tmp_path: Path) -> None:
    file = ran(tmp_path, TESTS)
    os.utime(file, (0, 0))
    with pytest.raises(runs.NotRecorded, match=r"found\.xml is of a run that began before"):
        runs.viewer(file)


@pytest.mark.parametrize("candidates", [{}, {"onnx_int8": {"auc_change": None}}])
def test_an_export_without_a_judged_graph_is_refused(
    tmp_path: Path, candidates: dict[str, Any]
) -> None:
    (tmp_path / "export.json").write_text(json.dumps({"candidates": candidates}))
    with pytest.raises(runs.NotRecorded, match="no onnx_int8 whose AUC was judged"):
        runs.int8(tmp_path)


def test_an_export_is_recorded(tmp_path: Path) -> None:
    change_of_auc = {"value": 0.0, "low": -0.1, "high": 0.1, "n_patients": 73, "n_positive": 29}
    graph = {"auc_change": change_of_auc, "times_faster": 7.2}
    (tmp_path / "export.json").write_text(json.dumps({"candidates": {"onnx_int8": graph}}))
    part = runs.int8(tmp_path)
    assert (part["patients"], part["times_as_fast"]) == (73, 7.2)


# the file


def test_a_record_replaces_its_part_alone(
    ended: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ended / "recorded.json"
    file.write_text(json.dumps({"demo": {"copied_by": "a person"}, "tests": {"commit": "1"}}))
    monkeypatch.setattr(command, "RECORDED", file)
    monkeypatch.setattr("sys.argv", ["record", "demo", str(ended), "--note", "clean clone"])
    assert command.main() == 0
    whole = json.loads(file.read_text())
    assert whole["demo"]["note"] == "clean clone" and "copied_by" not in whole["demo"]
    assert whole["tests"] == {"commit": "1"}
    change(ended, failure="Stopped: by hand")
    before = file.read_text()
    assert command.main() == 1 and file.read_text() == before
    assert "not recorded: the demo failed: Stopped: by hand" in capsys.readouterr().out


def test_each_part_says_where_it_is_from() -> None:
    parts = json.loads(command.RECORDED.read_text())
    for name, part in parts.items():
        if name != "about":
            assert ("read_from" in part) != ("copied_by" in part and "source" in part), name
