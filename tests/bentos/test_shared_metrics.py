from __future__ import annotations

import os
from pathlib import Path

import pytest

from bentos.screening.shared_metrics import VARIABLE, share_metrics


def test_the_parent_makes_a_folder_and_its_children_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)
    ended, alive = tmp_path / "4194305", tmp_path / "1"  # above the largest number of a process
    for folder in (ended, alive):
        folder.mkdir()
    share_metrics(tmp_path)
    own = tmp_path / str(os.getpid())
    assert os.environ[VARIABLE] == str(own)
    assert sorted(tmp_path.iterdir()) == sorted([alive, own])
    share_metrics(tmp_path / "of a worker")
    assert os.environ[VARIABLE] == str(own)
