"""The GPU benchmark runs, small, on a CPU; without a GPU it says so and measures nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_training


@pytest.mark.slow
def test_a_tiny_run_fills_every_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert gpu_training.main(["--tiny", "--steps", "4", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["steps"] == 4 and told["images_per_s"] > 0 and 0 < told["busy"] <= 1
    # by hand: small_cnn's five convolutions at 128 x 64, forward; backward is about twice that
    widths, forward = (1, 16, 32, 64, 128, 192), 0
    for stage, (before, after) in enumerate(itertools.pairwise(widths), start=1):
        forward += 2 * 9 * before * after * (128 >> stage) * (64 >> stage)
    assert 2.5 < told["gflop_per_image"] * 1e9 / forward < 3.05
    assert "share of it that training reaches" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_training.main(["--out", str(tmp_path / "out.json")]) == 1
    assert "There is no GPU here, so nothing was measured" in capsys.readouterr().out
    assert not (tmp_path / "out.json").exists()
