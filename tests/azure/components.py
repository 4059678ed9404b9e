"""Runs the commands of deploy/azure/components on this machine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from flows.azure_specs import FOLDER

BIN = Path(__file__).parents[2] / ".venv" / "bin"


def run_component(
    name: str,
    inputs: dict[str, object],
    output: Path,
    *,
    status: int = 0,
    programs: Path = BIN,
    **variables: str,
) -> str:
    """Run a component's command as Azure ML does, and return what it prints.

    ``output`` is the folder of its one output, or holds a folder for each; an optional input
    that is not given is left out. ``programs`` go before those of the environment.
    """
    component = yaml.safe_load((FOLDER / "components" / f"{name}.yml").read_text())
    command, places = component["command"], component["outputs"]
    folders = {one: output if len(places) == 1 else output / one for one in places}
    given = {f"inputs.{one}": str(value) for one, value in inputs.items()}
    given |= {f"outputs.{place}": str(folder) for place, folder in folders.items()}
    optional = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
    command = optional.sub(
        lambda found: found[1] if all(one in given for one in _names(found[1])) else "", command
    )
    for one in _names(command):
        command = command.replace("${{" + one + "}}", given[one])
    for folder in folders.values():
        folder.mkdir(parents=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAMMO_")}
    environment |= variables
    environment["PATH"] = f"{programs}:{BIN}:{environment['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=output, capture_output=True, text=True
    )
    assert ran.returncode == status, ran.stderr
    return ran.stdout


def _names(command: str) -> list[str]:
    return re.findall(r"\$\{\{([\w.]+)\}\}", command)
