"""The documentation: every page is found, every link leads somewhere, every command exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parents[2]
SITE = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NO_COMMAND = {"mammo change record 1"}  # the words that a record's signature is over
TEXTS = [*PAGES, ROOT / "README.md"]


def _pages_of(nav: Any) -> Iterator[str]:
    for one in nav:
        if isinstance(one, str):
            yield one
            continue
        for value in one.values():
            yield from [value] if isinstance(value, str) else _pages_of(value)


def test_every_page_is_in_the_navigation_once() -> None:
    named = list(_pages_of(SITE["nav"]))
    folded = {one for one in named if one.endswith(("/index.md", "/README.md"))}
    whole = {Path(one).parent for one in folded}
    written = [str(one.relative_to(ROOT / "docs")) for one in PAGES]
    assert sorted(set(named)) == sorted(named)
    assert [one for one in named if one not in written] == []
    assert [one for one in written if one not in named and Path(one).parent not in whole] == []


def _commands(text: str) -> Iterator[str]:
    """Yield what a reader would type: lines of code blocks, and commands within a line."""
    for block in re.findall(
        r"^```(?:sh|bash|console)?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL
    ):
        for line in block.replace("\\\n", " ").splitlines():
            yield from re.findall(r"^(?:\w+=\S+ )*(mammo .*)$", line.split("  #")[0].strip())
    yield from re.findall(r"(?<!`)`(mammo [a-z][^`\n]*)`", text)


def _problem(command: str) -> str | None:
    """Return what is wrong with a command: no such command, or no such option."""
    from flows.cli import app

    at: Any = typer.main.get_command(app)
    words = shlex.split(command.replace("`", ""), comments=True)[1:]
    while words and hasattr(at, "commands"):
        if words[0].startswith("-"):
            return None
        found = at.commands.get(words[0].rstrip(",.;:)"))
        if found is None:
            return f"{command}: no command {words[0]}"
        at, words = found, words[1:]
    known = {name for one in at.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    asked = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}
    return f"{command}: no option {sorted(asked - known)}" if asked - known else None


@pytest.mark.parametrize("page", TEXTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_every_command_on_a_page_exists(page: Path) -> None:
    told = {one for one in _commands(page.read_text()) if "|" not in one and "..." not in one}
    problems = map(_problem, sorted(told - NO_COMMAND))
    assert [one for one in problems if one] == []


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert _problem("mammo trian --config demo") == "mammo trian --config demo: no command trian"
    assert _problem("mammo train --confg demo") == "mammo train --confg demo: no option ['--confg']"
    assert _problem("mammo data get phantoms --exams 4") is None


@pytest.mark.parametrize("page", TEXTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    assert [one for one in links if not (page.parent / one).exists()] == []


def test_every_picture_says_what_it_shows() -> None:
    bare = [str(one) for one in TEXTS if re.search(r"!\[\s*\]\(", one.read_text())]
    assert bare == []


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("zensical")
    config = ROOT / "zensical.toml"
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert (ROOT / "build" / "site" / "api" / "index.html").read_text().count("Screener") > 0
