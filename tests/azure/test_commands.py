"""`mammo azure` without Azure: help, dry runs, what is missing."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from flows.azure_rollout import plan
from flows.cli import app
from mammo.errors import AzureSpecInvalid


def invoke(line: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line.split())


@pytest.mark.parametrize("command", ["submit", "deploy", "status"])
def test_help(command: str) -> None:
    output = invoke(f"azure {command} --help").output
    assert f"Example: mammo azure {command}" in output
    assert "--json" in output and "--dry-run" in output


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("azure submit nothing", "AZURE_SPEC_INVALID", "known: deployment"),
        ("azure deploy --image a --steps 50,10", "AZURE_SPEC_INVALID", "must rise"),
        ("azure status --dry-run", "AZURE_UNSET", "MAMMO_AZURE_SUBSCRIPTION, MAMMO_AZURE_RES"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, line: str, code: str, told: str
) -> None:
    for name in ("SUBSCRIPTION", "RESOURCE_GROUP", "WORKSPACE"):
        monkeypatch.delenv(f"MAMMO_AZURE_{name}", raising=False)
    result = invoke(line)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error {code}: ") and told in result.stderr


@pytest.mark.parametrize("line", ["azure submit train --tag x", "azure deploy --image a --steps x"])
def test_options_that_make_no_sense(line: str) -> None:
    assert invoke(line).exit_code == 2


@pytest.mark.parametrize("given", [[], [0, 100], [10, 10, 100], [10, 50], [110], [100, 50]])
def test_shares_rise_to_the_whole(given: list[int]) -> None:
    with pytest.raises(AzureSpecInvalid, match="rise and end at 100"):
        plan(given)


@pytest.mark.slow
def test_a_dry_run_shows_what_would_be_sent() -> None:
    pytest.importorskip("azure.ai.ml", reason="azure-ai-ml is not installed: make azure-check")
    shown = json.loads(invoke("azure submit train --dry-run").stdout)
    assert "mammo train" in shown["component"]["command"]
    assert shown["inputs"]["prepared"]["path"].startswith("azureml://datastores/")
    deployed = json.loads(invoke("azure deploy --image x/y:1 --dry-run").stdout)
    assert deployed["steps"] == [10, 50, 100]
    assert deployed["deployment"]["environment"]["image"] == "x/y:1"
