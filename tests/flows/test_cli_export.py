"""`mammo export`: what its options ask for, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cli_export import _config
from mammo.export.settings import FP32


def test_help_has_a_sentence_an_example_and_json() -> None:
    output = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, ["export", "-h"]).output
    assert "Example: mammo export" in output and "--json" in output


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((False, None, None, False), [FP32]),
        ((True, None, None, True), [FP32, "torchscript", "onnx_int8"]),
        ((False, 0.2, None, False), [FP32, "pruned_fp32"]),
        ((True, 0.2, 0.01, False), [FP32, "onnx_int8", "pruned_fp32", "pruned_int8"]),
    ],
)
def test_options_choose_the_candidates(options: tuple, names: list[str]) -> None:
    config = _config(*options)
    assert list(config.candidates) == names
    assert config.prune == (options[1] or 0.3)
    assert config.max_auc_loss == (options[2] or 0.005)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("export r-1 --int8 --json", "RELEASE_NOT_FOUND"),
        ("export r-1 --prune 1.5 --json", "SOURCE_INVALID"),
    ],
)
def test_refusals_have_codes(
    line: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code != 0
    assert json.loads(result.output.strip().splitlines()[-1])["code"] == code
