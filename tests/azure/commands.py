"""Runs `mammo azure …` as a user does, and reads what it says as JSON."""

from __future__ import annotations

import json

from typer.testing import CliRunner, Result

from flows.cli import app


def invoke(line: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line.split())


def ran(line: str) -> dict:
    result = invoke(f"{line} --json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(line: str) -> dict:
    result = invoke(f"{line} --json")
    assert result.exit_code in (1, 2) and "Traceback" not in result.output
    problem = json.loads(result.stderr.splitlines()[-1])
    return problem | {"exit": result.exit_code}
