"""Prefect's server with the database of the settings: ``python -m flows.stack_prefect``.

In a container the URL of the database comes from a file, which Prefect cannot read itself.
The process becomes Prefect's, so that signals reach it.
"""

from __future__ import annotations

import os
import sys

from mammo.settings import Settings, read_settings


def server_command(settings: Settings) -> list[str]:
    """Return the command that serves Prefect's API and pages."""
    listen = ["--host", settings.host, "--port", str(settings.prefect_port)]
    return [sys.executable, "-m", "prefect", "server", "start", *listen]


if __name__ == "__main__":
    given = read_settings()
    os.environ.update(given.child_environment())
    command = server_command(given)
    os.execv(command[0], command)
