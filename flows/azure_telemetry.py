"""Flow runs in Azure Monitor: Prefect traces them by OpenTelemetry, we filter and send.

Prefect names a span after its run, and a run may be named after anything. So
only names leave that stand in the source of our flows, as those of a function
with ``@flow`` or ``@task``.
"""

from __future__ import annotations

import ast
from pathlib import Path

from mammo import telemetry
from mammo.settings import Settings

DECORATORS = ("flow", "task")


def watch_flows(settings: Settings) -> None:
    """Send this flow run's spans and log lines, where the installation says where to."""
    if not settings.monitor_connection:
        return  # nothing is imported and nothing read
    started = telemetry.start("flows", settings.monitor_connection, names_of_runs())
    make_global = getattr(started, "make_global", None)
    if make_global:
        make_global()


def names_of_runs(folder: Path = Path(__file__).parent) -> set[str]:
    """Return the names of every flow and task in our source."""
    names: set[str] = set()
    for path in folder.glob("*.py"):
        names |= {
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_run(node)
        }
    return names


def _is_run(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    called = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return any(isinstance(one, ast.Name) and one.id in DECORATORS for one in called)
