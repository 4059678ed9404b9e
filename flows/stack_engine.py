"""What the worker starts for a flow run: Prefect's engine with a log of its own.

The worker's pipe would break when the worker is killed, and the run with it; a
file outlives the worker, and so the run goes on and reports by itself.
"""

from __future__ import annotations

import os
import runpy
import sys

from flows.azure_telemetry import watch_flows
from mammo.settings import read_settings


def run_engine() -> None:
    """Send output to ``logs/flow-runs.log`` and become ``prefect.engine``."""
    settings = read_settings()
    folder = settings.logs_dir
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "flow-runs.log").open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    watch_flows(settings)
    sys.argv = ["prefect.engine"]
    runpy.run_module("prefect.engine", run_name="__main__")


if __name__ == "__main__":
    run_engine()
