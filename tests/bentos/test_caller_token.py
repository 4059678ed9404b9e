"""The token that the environment gives: let in from the start, on a home that has none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from bentos.screening.app import create_app
from mammo.settings import Settings
from tests.bentos.conftest import load_fake, point_to

TOKEN = "0123456789abcdef0123456789abcdef"


def statuses(settings: Settings, token: str) -> tuple[int, int]:
    """Return what reading the release and the audit's head answer to this token."""
    shown = {"Authorization": f"Bearer {token}"}
    with TestClient(create_app(settings, load=load_fake)) as client:
        answers = [client.get(path, headers=shown) for path in ("/v1/release", "/v1/audit/head")]
    return answers[0].status_code, answers[1].status_code


def given(settings: Settings, token: str) -> Settings:
    return settings.model_copy(update={"caller_token": SecretStr(token), "auth": "on"})


def test_it_may_predict_and_read_and_no_more(settings: Settings) -> None:
    point_to(settings, "r-1")
    assert statuses(given(settings, f"{TOKEN}\n"), TOKEN) == (200, 403)
    assert TOKEN not in settings.tokens_path.read_text()


def test_another_one_takes_its_place(settings: Settings) -> None:
    point_to(settings, "r-1")
    assert statuses(given(settings, TOKEN), TOKEN)[0] == 200
    other = given(settings, TOKEN[::-1])
    assert (statuses(other, TOKEN)[0], statuses(other, TOKEN[::-1])[0]) == (401, 200)


def test_a_short_one_lets_nobody_in_and_is_not_quoted(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    point_to(settings, "r-1")
    logging.getLogger("mammo").propagate = True  # a served test before this one may have ended it
    with caplog.at_level(logging.INFO):
        assert statuses(given(settings, "short"), "short") == (401, 401)
    assert "MAMMO_CALLER_TOKEN lets nobody in: The secret of caller has 5" in caplog.text
    assert "short" not in caplog.text


@pytest.mark.parametrize("as_file", [False, True])
def test_it_comes_as_a_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_file: bool
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    name, value = ("_FILE", str(tmp_path / "token")) if as_file else ("", TOKEN)
    monkeypatch.setenv(f"MAMMO_CALLER_TOKEN{name}", value)
    settings = Settings(home=tmp_path, _env_file=None)
    assert settings.caller_token is not None
    assert settings.caller_token.get_secret_value() == TOKEN
    assert TOKEN not in repr(settings) + settings.model_dump_json()
    assert settings.child_environment()["MAMMO_CALLER_TOKEN"] == TOKEN
