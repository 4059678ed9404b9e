"""Runbooks: each has what a person needs at night, and every command in it is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from flows.cli import app
from mammo import errors
from mammo.settings import Settings
from monitoring import input_codes
from tests.dashboards.rules import ALERTS, ROOT, RUNBOOKS

PAGES = sorted(RUNBOOKS.glob("Mammo*.md"))
SECTIONS = (
    "What it means",
    "What the system already does",
    "Look here",
    "Do this",
    "When to call somebody",
    "Silence it",
)
COMMANDS = typer.main.get_command(app)


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text()) for path in PAGES]


def test_there_is_a_page_for_each_alert_and_no_other() -> None:
    assert {path.stem for path in PAGES} == {rule["alert"] for rule in ALERTS}
    index = (RUNBOOKS / "README.md").read_text()
    for rule in ALERTS:
        assert f"({rule['alert']}.md) | {rule['labels']['severity']} |" in index


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_every_section_and_says_when_it_fires(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.M) == list(SECTIONS)
    rule = next(one for one in ALERTS if one["alert"] == path.stem)
    waits = f"after {rule['for']}" if "for" in rule else "at once"
    assert f"Severity **{rule['labels']['severity']}**" in text and f"fires {waits}" in text
    assert f"alertname={path.stem}" in text


def commands(text: str) -> list[str]:
    return re.findall(r"`mammo ([^`]+)`", text)


@pytest.mark.parametrize(
    ("page", "line"),
    [(path.stem, line) for path, text in texts() for line in commands(text)],
)
def test_a_command_of_a_page_exists_with_its_options(page: str, line: str) -> None:
    found: Any = COMMANDS
    words = line.split()
    while words and hasattr(found, "commands"):
        assert words[0] in found.commands, f"mammo {line}"
        found = found.commands[words.pop(0)]
    known = {option for one in found.params for option in one.opts}
    for word in (one for one in words if one.startswith("--")):
        assert word in known, f"mammo {line}"
    takes = [one for one in found.params if one.param_type_name == "argument"]
    needs = [one for one in takes if one.required]
    plain = re.sub(r'--\S+( "[^"]*"| [A-Za-z]\w*)?', "", " ".join(words))
    given = plain.split()
    assert len(needs) <= len(given), f"mammo {line} lacks {[one.name for one in needs]}"


def test_settings_codes_and_pages_that_are_named_exist() -> None:
    settings = {f"MAMMO_{name.upper()}" for name in Settings.model_fields} | {"MAMMO_HOME"}
    codes = {one.code for one in vars(errors).values() if hasattr(one, "code")}
    codes |= set(re.findall(r'"([A-Z_]{6,})"', Path(input_codes.__file__).read_text()))
    explained = ("drift.md", "gateway.md", "late_outcomes.md", "reading_cases.md")
    told = "".join((ROOT / "docs" / name).read_text() for name in explained)
    for path, text in texts():
        named = set(re.findall(r"\bMAMMO_[A-Z_]+\b", text))
        assert named <= settings, path.stem
        for code in set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b(?!\*)", text)) - named:
            assert code in codes or f"`{code}`" in told, f"{path.stem}: {code}"
        for page in re.findall(r"`(docs/[\w/]+\.md)`", text):
            assert (ROOT / page).is_file(), f"{path.stem}: {page}"
        for page in re.findall(r"\]\((\w+\.md)\)", text):
            assert (RUNBOOKS / page).is_file(), f"{path.stem}: {page}"
