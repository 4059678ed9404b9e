"""`mammo data versions | diff | checkout`: results go to standard output, hints beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from mammo.dicom.phantom import write_phantoms

pytestmark = pytest.mark.slow


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_two_versions_are_told_apart_and_the_older_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    for seed in (1, 2):
        write_phantoms(tmp_path / f"set{seed}", exams=1, scanner="aurora", seed=seed)
        done = run("ingest", "--source", "rsna", str(tmp_path / f"set{seed}"), "--config", "smoke")
        assert done.exit_code == 0, done.output
    listed = json.loads(run("data", "versions", "--json").stdout)["versions"]
    assert [one["images"] for one in listed] == [4, 8]
    assert [one["in_store"] for one in listed] == [False, True]
    older = listed[0]["version"]
    told = run("data", "diff", older)
    assert "4 images of 1 exam and 1 patient" in told.stdout.replace("\n", " ")
    assert "came in" in told.stdout.replace("\n", " ")
    back = run("data", "checkout", older[:6], "--json")
    assert json.loads(back.stdout) == {"version": older, "before": listed[1]["version"]}
    unknown = run("data", "diff", "zzz")
    assert unknown.exit_code == 2 and "VERSION_UNKNOWN" in unknown.output
