"""The runner that the workflows' tests share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.ci.runner import Runner


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    if shutil.which("jq") is None:
        pytest.skip("no jq is installed; GitHub's runners have it")
    return Runner(tmp_path)
