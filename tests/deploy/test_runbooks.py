"""What a runbook says to type works under Compose: in a container that holds what it imports."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bentos.screening.access_rules import roles_for
from flows.cli import app
from tests.dashboards.rules import RUNBOOKS
from tests.deploy.compose import Here, read_compose
from tests.deploy.images import ROOT

COMPOSE = read_compose()
INDEX = (RUNBOOKS / "README.md").read_text()
PAGES = sorted(RUNBOOKS.glob("Mammo*.md"))
ROW = re.compile(r"^\| (.*`mammo.*|any other `mammo` command) \| (.*) \|$", re.M)
EXEC = re.compile(r"docker compose (?:exec|run --rm --no-deps) (\w+) mammo\b")
ANY_OTHER = "any other"


def places() -> dict[str, str]:
    """Return what the table says: the command's first words -> the container, "" for none."""
    found: dict[str, str] = {}
    for said, typed in ROW.findall(INDEX):
        place = EXEC.search(typed)
        names = re.findall(r"`mammo ([a-z ]+)", said) or [ANY_OTHER]
        found |= {name.strip(): place[1] if place else "" for name in names}
    return found


PLACES = places()


def commands() -> list[str]:
    """Return the commands of the pages without what is given to them, each once."""
    lines = {line for page in PAGES for line in re.findall(r"`mammo ([^`]+)`", page.read_text())}
    return sorted({_words(line) for line in lines})


def _words(line: str) -> str:
    found, kept = COMMANDS, list[str]()
    for word in line.split():
        if not hasattr(found, "commands"):
            break
        found = found.commands[word]
        kept.append(word)
    return " ".join(kept)


COMMANDS: Any = typer.main.get_command(app)


def place_of(command: str) -> str:
    """Return the container that the table sends a command to."""
    fitting = [name for name in PLACES if f"{command} ".startswith(f"{name} ")]
    return PLACES[max(fitting, key=len) if fitting else ANY_OTHER]


def imports_of(command: str) -> set[str]:
    """Return the modules that a command imports when it runs, in the functions that it calls."""
    found = COMMANDS
    for word in command.split():
        found = found.commands[word]
    function = inspect.unwrap(found.callback)
    wanted, seen = {function.__module__}, set[tuple[str, str]]()
    queue = [(function.__module__, function.__name__)]
    while queue:
        if (one := queue.pop()) in seen or not (tree := _tree(one[0])):
            continue
        seen.add(one)
        outer = _imported(tree.body)
        defined = {node.name: node for node in tree.body if isinstance(node, DEFINITIONS)}
        if (node := defined.get(one[1])) is None:
            queue += [outer[one[1]]] if one[1] in outer else []
            continue
        inner = _imported(list(ast.walk(node)))
        wanted |= {module for module, _ in inner.values()}
        used = {word.id for word in ast.walk(node) if isinstance(word, ast.Name)}
        queue += [(one[0], word) for word in used & set(defined)]
        queue += [source for word, source in (outer | inner).items() if word in used]
    return wanted


TRIED = """
import importlib
missing = []
for name in WANTED:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing.append(error.name)
print(missing)
"""
ASKED_FOR = {"distributed", "prefect_dask"}
"""What a person asks for besides: `mammo ingest --dask`, which no page does."""
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _tree(module: str) -> ast.Module | None:
    """Return a module of this project, read."""
    place = ROOT.joinpath(*module.split("."))
    file = next(
        (one for one in (place.with_suffix(".py"), place / "__init__.py") if one.exists()), None
    )
    return ast.parse(file.read_text()) if file else None


def _imported(nodes: Sequence[ast.AST]) -> dict[str, tuple[str, str]]:
    """Return the names that import statements bind: module and what is taken from it."""
    found: dict[str, tuple[str, str]] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            taken = {each.asname or each.name: (node.module, each.name) for each in node.names}
            found |= taken
        elif isinstance(node, ast.Import):
            found |= {each.asname or each.name: (each.name, "") for each in node.names}
    return found


def test_the_table_names_containers_and_commands_that_there_are() -> None:
    assert PLACES[ANY_OTHER] == "worker" and PLACES["status"] == ""
    assert set(PLACES.values()) - {""} <= set(COMPOSE["services"])
    for name in set(PLACES) - {ANY_OTHER}:
        assert _words(name) == name


@pytest.mark.slow
@pytest.mark.parametrize("container", sorted(set(PLACES.values()) - {""}))
def test_a_container_holds_what_its_commands_import(container: str, tmp_path: Path) -> None:
    sent = [one for one in commands() if place_of(one) == container]
    wanted = sorted({module for one in sent for module in imports_of(one)})
    assert sent and len(wanted) > len(sent) // 2
    here = Here(tmp_path)
    code = f"WANTED = {wanted!r}\n{TRIED}"
    done = subprocess.run(
        [sys.executable, "-c", code], env=here.environment(container), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1500:]
    assert set(ast.literal_eval(done.stdout)) <= ASKED_FOR


def test_who_asks_archives_gets_to_them() -> None:
    service = COMPOSE["services"][place_of("outbox check")]
    networks = {one: COMPOSE["networks"][one] or {} for one in service["networks"]}
    assert "archive" in networks, "Orthanc"
    assert any(not one.get("internal") for one in networks.values()), "the hospital's"


def test_the_service_is_asked_with_a_token_where_it_wants_one() -> None:
    """Under Compose tokens are asked for: without one the page shows a 401."""
    asked = []
    for page in PAGES:
        for line in re.findall(r"`(curl [^`]*localhost:3000[^`]*)`", page.read_text()):
            path = re.search(r"localhost:3000(/\S*)", line)
            assert path is not None, line
            asked.append(path[1])
            shown = "Authorization: Bearer" in line
            assert shown == bool(roles_for("GET", path[1])), f"{page.stem}: {line}"
    assert {"/readyz", "/v1/release"} <= set(asked)
