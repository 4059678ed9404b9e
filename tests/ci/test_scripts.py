"""Release notes and the benchmark's comment."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType

import pytest

from tests.ci.workflows import ROOT

LOG = """# Changelog

## 0.2.0 (2027-01-01)

- Two.

## 0.1.0 (unreleased)

- One.

## 0.0.9

"""
PROJECT = '[project]\nname = "mammo"\nversion = "0.2.0"\n'


def script(name: str) -> ModuleType:
    path = ROOT / ".github" / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notes_are_the_section_alone() -> None:
    assert script("release_notes").section(LOG, "0.2.0") == "- Two.\n"


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.1.0", "still calls 0.1.0 unreleased"), ("0.0.9", "says nothing"), ("9", "no section 9")],
)
def test_what_is_no_release_is_refused(version: str, told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        script("release_notes").section(LOG, version)


def test_the_tag_is_the_version() -> None:
    notes = script("release_notes")
    assert notes.version_of("v0.2.0", PROJECT) == "0.2.0"
    with pytest.raises(SystemExit, match=r"the tag is v0\.3\.0, pyproject\.toml says 0\.2\.0"):
        notes.version_of("v0.3.0", PROJECT)


def test_the_real_changelog_has_the_section_of_the_version() -> None:
    import mammo

    assert f"\n## {mammo.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_comment_marks_what_became_slower() -> None:
    run = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    slower = json.loads(json.dumps(run))
    first, second, gone = run["rows"][0], run["rows"][1], slower["rows"].pop()
    slower["rows"][0]["ratio"] = first["ratio"] / 2
    told = script("benchmark_comment").table(run, slower)
    lines = {line.split(" | ")[0].strip("| "): line for line in told.splitlines() if "|" in line}
    assert lines[first["step"]].endswith(f"| {first['ratio'] / 2:.2f} | slower |")
    assert lines[second["step"]].endswith(f"{second['ratio']:.2f} |  |")
    assert lines[gone["step"]].endswith("|  | not measured |")
    assert f"Committed: commit {run['commit']}" in told
