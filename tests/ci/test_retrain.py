"""The shell of retrain.yml, with stand-ins for Python and mammo."""

from __future__ import annotations

import json

import pytest

import mammo
from tests.ci.runner import Runner
from tests.ci.workflows import ROOT, jobs

MAMMO = f"""#!/bin/bash
if [ "$1" = --version ]; then echo "mammo {mammo.__version__}"; exit; fi
printf '%s\\n' "$@" | jq --raw-input . | jq --slurp --compact-output . > asked
exit "$STATUS"
"""
SPEC = "deploy/azure/environment.yml"
OURS = f"ghcr.io/some-owner/mammo-worker:v{mammo.__version__}"
COPY = "house.azurecr.io/mammo-worker@sha256:" + "ab" * 32


@pytest.fixture
def checkout(runner: Runner) -> Runner:
    """A runner with the project's environment.yml, and stand-ins for Python and mammo."""
    (runner.folder / SPEC).parent.mkdir(parents=True)
    (runner.folder / SPEC).write_text((ROOT / SPEC).read_text())
    runner.stand_in(runner.programs / "python", "#!/bin/bash\n")
    runner.stand_in(runner.folder / ".venv" / "bin" / "mammo", MAMMO)
    return runner


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(
    ("filled_in", "variable", "image"),
    [
        (None, "", OURS),
        (COPY, "", None),
        (None, COPY, COPY),
        (COPY, OURS, OURS),
    ],
)
def test_the_pipeline_runs_in_the_image_that_the_house_chose(
    checkout: Runner, filled_in: str | None, variable: str, image: str | None, status: int
) -> None:
    """A version of an environment never changes: another image than the house's would stop it."""
    spec = checkout.folder / SPEC
    if filled_in:
        named = f"ghcr.io/OWNER/mammo-worker:v{mammo.__version__}"
        assert named in spec.read_text()
        spec.write_text(spec.read_text().replace(named, filled_in))
    given = {"REASON": "by hand", "AZURE_FEDERATED_TOKEN_FILE": "token", "STATUS": str(status)}
    done = checkout.step("retrain:azure", "Submit", IMAGE=variable, **given)
    assert done.returncode == status, done.stderr
    asked = json.loads(checkout.told("asked"))
    chosen = [] if image is None else ["--image", image]
    assert asked == ["azure", "submit", "pipeline", *chosen, "--tag", "reason=by hand", "--wait"]


def test_the_variable_of_the_house_is_handed_over() -> None:
    (step,) = [
        one for one in dict(jobs())["retrain:azure"]["steps"] if "OWNER" in one.get("env", {})
    ]
    assert step["env"]["IMAGE"] == "${{ vars.MAMMO_WORKER_IMAGE }}"
