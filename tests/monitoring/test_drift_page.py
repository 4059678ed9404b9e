"""docs/drift.md says what there is: codes, methods, metrics, settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from monitoring import loop_metrics
from monitoring.drift import METHODS
from monitoring.input_codes import TOLD
from monitoring.policy import read_policy_file
from monitoring.words import CODES

PAGE = (Path(__file__).parents[2] / "docs/drift.md").read_text()


@pytest.mark.parametrize("code", [*TOLD, *CODES])
def test_every_code_is_told(code):
    assert f"`{code}`" in PAGE


@pytest.mark.parametrize(("method", "kind"), METHODS.items())
def test_every_method_is_told_with_its_kind(method, kind):
    (row,) = [line for line in PAGE.splitlines() if f"`{method}`" in line and line[0] == "|"]
    assert f"| {kind} |" in row


def test_every_metric_of_the_control_is_told():
    source = Path(loop_metrics.__file__).read_text()
    names = set(re.findall(r'"(mammo_(?:monitor|outcome|control|auc|episodes)\w*)"', source))
    assert {
        one for one in names if one not in PAGE and f"_{one.split('_')[-1]}`" not in PAGE
    } == set()


def test_the_policy_that_is_shown_can_be_used(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "monitor.yaml").write_text(block)
    config = read_policy_file(tmp_path / "monitor.yaml")
    assert config.evidently_method == yaml.safe_load(block)["drift"]["evidently"]["method"]
