"""Where a deployment runs, what it may be given, and that two never meet."""

from __future__ import annotations

import shutil

import pytest

from tests.ci.runner import Runner
from tests.ci.workflows import FOLDER, ROOT, jobs, load

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
        ("ubuntu-24.04-arm", "no answer from ubuntu-24.04-arm"),
        ("mammo-deploy", ""),
        ("ubuntu-24.04-16core", ""),  # a larger runner is named by the house
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


def test_what_may_be_deployed_to_is_named_and_two_never_meet() -> None:
    """To each; a run to staging that waits for its reviewers holds up none to production."""
    workflow = load(FOLDER / "deploy.yml")
    given = workflow["on"]["workflow_dispatch"]["inputs"]["environment"]
    assert (given["type"], given["options"]) == ("choice", ["staging", "production"])
    assert workflow["concurrency"] == {
        "group": "deploy-${{ inputs.environment }}",
        "cancel-in-progress": False,
    }
    assert dict(jobs())["deploy:deploy"]["environment"] == "${{ inputs.environment }}"


def test_variables_are_of_an_environment_or_of_the_repository() -> None:
    """What stands outside of a job that has an environment sees the repository's alone."""
    told = (ROOT / "docs" / "ci.md").read_text().splitlines()
    (own,) = [line for line in told if line.startswith("| Variables of each of `staging`")]
    (shared,) = [line for line in told if line.startswith("| Variables of the repository")]
    for name in ("MAMMO_WITHDRAWN", "MAMMO_RETRAIN", "MAMMO_DEPLOY_RUNNER"):
        assert name in shared and name not in own
    for name in ("AZURE_CLIENT_ID", "MAMMO_AZURE_SUBSCRIPTION"):
        assert name in own and name not in shared


@pytest.mark.parametrize("status", [0, 1])
def test_the_rollout_says_how_it_ended_though_no_token_is_kept_any_more(
    runner: Runner, status: int
) -> None:
    # the keeper of tokens ends at once
    runner.stand_in(runner.programs / "python", "#!/bin/bash\n")
    mammo = f"#!/bin/bash\nsleep 0.2\nexit {status}\n"
    runner.stand_in(runner.folder / ".venv" / "bin" / "mammo", mammo)
    given = {"AZURE_FEDERATED_TOKEN_FILE": "token", "IMAGE": "image", "PERCENT": "10,100"}
    done = runner.step("deploy:deploy", "Blue and green", **given)
    assert done.returncode == status, done.stderr
