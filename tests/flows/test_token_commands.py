"""`mammo token`: the secret is shown once, and nothing else is shown of it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.cli_token import RoleName
from mammo.settings import Settings
from mammo.tokens import ROLES, TokenStore


def invoke(line: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line.split())


def test_roles_of_the_command_are_those_of_the_store() -> None:
    assert tuple(one.value for one in RoleName) == ROLES


def test_a_token_is_made_listed_and_revoked(settings: Settings) -> None:
    made = invoke("token add pacs --role predict --role read")
    secret = made.stdout.strip()
    assert "This is the first token" in made.stderr and secret not in made.stderr
    found = TokenStore(settings.tokens_path).find(secret)
    assert found is not None and found.roles == ("predict", "read")
    as_json = json.loads(invoke("token add ris --role outcomes --json").stdout)
    assert TokenStore(settings.tokens_path).find(as_json["token"]) is not None
    listed = invoke("token list")
    assert "pacs" in listed.stdout and "predict, read" in listed.stdout
    shown = listed.stdout + invoke("token list --json").stdout
    assert secret not in shown and found.sha256 not in shown
    assert "1 token is left" in invoke("token revoke pacs").stderr
    assert TokenStore(settings.tokens_path).find(secret) is None
    assert "the service stays shut" in invoke("token revoke ris").stderr


@pytest.mark.parametrize("line", ["token add pacs", "token add pacs --role admin", "token add"])
def test_what_typer_refuses_makes_no_token(settings: Settings, line: str) -> None:
    assert invoke(line).exit_code == 2
    assert not settings.tokens_path.exists()
