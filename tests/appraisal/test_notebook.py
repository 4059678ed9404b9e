"""The notebook: committed with what it showed, and it runs on another installation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from mammo.settings import Settings

from .runs import write_run
from .tables import scores_table

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NOTEBOOK = NOTEBOOKS / "model_comparison.ipynb"
MACHINE = re.compile(r"(/home/|/tmp/|/root/|/Users/|file://|sqlite:)")


def _execute_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute", NOTEBOOKS / "execute.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(notebook: Any, kind: str) -> list[str]:
    return [
        one["data"][kind]
        for cell in notebook.cells
        for one in cell.get("outputs", [])
        if kind in one.get("data", {})
    ]


def test_it_is_committed_with_its_outputs_and_without_the_machine() -> None:
    text = NOTEBOOK.read_text()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert len(text) < 500_000
    assert len(outputs(notebook, "image/png")) >= 4 and len(outputs(notebook, "text/html")) >= 3
    assert not MACHINE.findall(text)
    counts = [cell["execution_count"] for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [one for cell in notebook.cells for one in cell.get("outputs", [])
                if one["output_type"] in ("error", "stream")]  # fmt: skip
    assert "phantom" in " ".join(outputs(notebook, "text/markdown"))


@pytest.mark.slow
def test_it_runs_on_two_tiny_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mammo.continual.derive import derive_release
    from mammo.models.tracking import register_release
    from mammo.release import Release

    settings = Settings(home=tmp_path / "home", mlflow_port=9, service_port=9, _env_file=None)
    for name, shift in (("r-weak", 0.6), ("r-strong", 2.4)):
        place = write_run(settings.releases_dir, name, scores_table(90, seed=2, shift=shift))
        facts = {"target": "cancer", "architecture": "brightness"}
        register_release(settings, Release.read(place), place, facts, [])
    strong = Release.read(place)
    newest, child = derive_release(
        place, settings.releases_dir, operating_points=strong.operating_points, metrics={}
    )
    register_release(settings, newest, child, {"recalibrated": "GE/X"}, [])
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    monkeypatch.setenv("MAMMO_MLFLOW_PORT", "9")
    notebook = _execute_module().execute(NOTEBOOK)
    told = " ".join(outputs(notebook, "text/markdown"))
    assert "r-strong is better than r-weak by" in told and "same 90 exams" in told
    tables = [one for one in outputs(notebook, "text/html") if "r-strong" in one]
    assert len(tables) >= 3
    assert newest.id not in " ".join(outputs(notebook, "text/html"))
    pictures = outputs(notebook, "image/png")
    assert len(pictures) == 4 and min(map(len, pictures)) > 5_000
