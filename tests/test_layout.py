"""What the house promises: every extra is locked, every command has an example."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = {
    line.split("==")[0]
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if "==" in line
}


def _name(requirement: str) -> str:
    return re.split(r"[<>=!\[ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_every_requirement_is_locked(extra: str) -> None:
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    assert {_name(one) for one in wanted} <= LOCKED


def test_environment_example_lists_every_setting() -> None:
    from mammo.settings import Settings

    text = (ROOT / ".env.example").read_text()
    variables = [
        str(field.validation_alias or f"MAMMO_{name}").upper()
        for name, field in Settings.model_fields.items()
    ]
    assert not [one for one in variables if one not in text]


def test_readme_shows_pictures_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    pictures = re.findall(r"\]\((docs/pictures/[^)]+)\)", text)
    assert len(pictures) >= 5
    assert not [one for one in pictures if not (ROOT / one).is_file()]


def test_readme_says_what_it_is_not_for() -> None:
    assert "Not a cleared medical device" in (ROOT / "README.md").read_text()
