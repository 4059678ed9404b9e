"""An exam that is scored once for all tests of its documents."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from mammo.kept_result import KeptResult
from mammo.reports import ReportMaterial
from tests.reports.materials import every_state, make_original, score


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """The four images as they came."""
    return make_original(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="session")
def scored_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scoring is kept: its ``results`` are a `ResultStore`."""
    return tmp_path_factory.mktemp("scored")


@pytest.fixture(scope="session")
def scored(original: list[Dataset], scored_folder: Path) -> KeptResult:
    """What is kept of their scoring."""
    return score(original, scored_folder)


@pytest.fixture(scope="session")
def materials(original: list[Dataset], scored: KeptResult) -> dict[str, ReportMaterial]:
    """The material of each state of an exam."""
    return every_state(original, scored)
