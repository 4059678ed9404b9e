"""Where a deployment runs, what it may be given, and that two never meet."""

from __future__ import annotations

import shutil

import pytest

from tests.ci.runner import Runner
from tests.ci.workflows import ROOT, jobs

ENDPOINT = ROOT / "deploy" / "azure" / "endpoint.yml"


def test_deploy_runs_where_the_house_says() -> None:
    given = dict(jobs())
    assert given["deploy:deploy"]["runs-on"] == "${{ vars.MAMMO_DEPLOY_RUNNER || 'ubuntu-24.04' }}"
    assert "reach" in given["deploy:deploy"]["needs"], "asked before a person is"
    assert "environment" not in given["deploy:reach"]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("", "no answer from ubuntu-24.04"),
        ("ubuntu-latest", "no answer from ubuntu-latest"),
        ("windows-2025", "no answer from windows-2025"),
        ("macos-15", "no answer from macos-15"),
        ("mammo-deploy", ""),
    ],
)
def test_a_private_endpoint_wants_a_runner_of_your_own(
    runner: Runner, label: str, told: str
) -> None:
    (runner.folder / "deploy").symlink_to(ROOT / "deploy")
    done = runner.step("deploy:reach", "reaches the endpoint", LABEL=label)
    assert (done.returncode, told in done.stderr) == (1 if told else 0, True)
    assert not told or "MAMMO_DEPLOY_RUNNER" in done.stderr


@pytest.mark.parametrize("access", ["enabled", "disabled", "Enabled # soon"])
def test_only_an_endpoint_that_is_public_is_asked_from_outside(runner: Runner, access: str) -> None:
    copy = runner.folder / ENDPOINT.relative_to(ROOT)
    copy.parent.mkdir(parents=True)
    shutil.copy(ENDPOINT, copy)
    text = copy.read_text()
    assert "public_network_access: disabled\n" in text
    copy.write_text(text.replace("access: disabled", f"access: {access}"))
    done = runner.step("deploy:reach", "reaches the endpoint", LABEL="")
    assert done.returncode == (access != "enabled")
