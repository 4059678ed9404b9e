"""The shell of retrain.yml, with stand-ins for Python and mammo."""

from __future__ import annotations

import json

import pytest

import mammo
from tests.ci.runner import Runner

MAMMO = f"""#!/bin/bash
if [ "$1" = --version ]; then echo "mammo {mammo.__version__}"; exit; fi
printf '%s\\n' "$@" | jq --raw-input . | jq --slurp --compact-output . > asked
exit "$STATUS"
"""


@pytest.mark.parametrize("status", [0, 1])
def test_the_pipeline_runs_in_the_image_that_this_repository_built(
    runner: Runner, status: int
) -> None:
    programs = {runner.programs / "python": "#!/bin/bash\n"}
    (runner.folder / ".venv" / "bin").mkdir(parents=True)
    programs |= {runner.folder / ".venv" / "bin" / "mammo": MAMMO}
    for program, text in programs.items():
        program.write_text(text)
        program.chmod(0o755)
    given = {"REASON": "by hand", "AZURE_FEDERATED_TOKEN_FILE": "token", "STATUS": str(status)}
    done = runner.step("retrain:azure", "Submit", **given)
    assert done.returncode == status, done.stderr
    asked = json.loads(runner.told("asked"))
    image = f"ghcr.io/some-owner/mammo-worker:v{mammo.__version__}"
    assert asked == ["azure", "submit", "pipeline", "--image", image,
                     "--tag", "reason=by hand", "--wait"]  # fmt: skip
