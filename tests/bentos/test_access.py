"""Who may call what: tokens, roles, and the open door of a machine alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import Scope

from bentos.screening.access import (
    Access,
    Caller,
    SecurityHeaders,
    caller_of,
    warn_of_access,
)
from bentos.screening.access_rules import RULES
from mammo.settings import Settings
from mammo.tokens import ROLES, TokenStore

HERE = "http://127.0.0.1:3000"
REFUSED: list[tuple[str, str, str]] = []


def _note(code: str, caller: Caller, scope: Scope) -> None:
    REFUSED.append((code, caller.name, scope["route"].path))


def build(settings: Settings) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
    async def who(request: Request) -> dict[str, Any]:
        caller = caller_of(request.scope)
        return {"name": caller.name, "roles": sorted(caller.roles)}

    tokens = TokenStore(settings.tokens_path)
    app.add_middleware(Access, settings=settings, tokens=tokens, on_refused=_note)
    app.add_middleware(SecurityHeaders)
    return app


def client_of(settings: Settings, url: str = HERE, peer: str = "127.0.0.1") -> TestClient:
    return TestClient(build(settings), base_url=url, client=(peer, 50000))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    REFUSED.clear()
    return Settings(home=tmp_path / "home", _env_file=None)


@pytest.fixture
def secrets(home: Settings) -> dict[str, str]:
    store = TokenStore(home.tokens_path)
    return {role: store.add(f"its-{role}", [role]) for role in ROLES}


@pytest.fixture
def client(home: Settings, secrets: dict[str, str]) -> Iterator[TestClient]:
    yield client_of(home)


def bearer(secret: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {secret}"}


@pytest.mark.parametrize("rule", RULES, ids=lambda one: f"{one.method} {one.path}")
@pytest.mark.parametrize("role", ["none", *ROLES])
def test_each_role_opens_its_routes_and_no_other(
    client: TestClient, secrets: dict[str, str], rule: Any, role: str
) -> None:
    path = rule.path.replace("{exam}", "E-1").replace("{job}", "0a")
    shown = bearer(secrets[role]) if role in secrets else {}
    answer = client.request(rule.method, path, headers=shown)
    allowed = not rule.roles or role in rule.roles
    expected = 200 if allowed else 401 if role == "none" else 403
    assert answer.status_code == expected
    if allowed and rule.roles:
        assert answer.json() == {"name": f"its-{role}", "roles": [role]}


@pytest.mark.parametrize(
    ("headers", "code", "challenge"),
    [
        ({}, "TOKEN_MISSING", 'Bearer realm="mammo"'),
        (bearer("mammo_guess"), "TOKEN_INVALID", 'error="invalid_token"'),
        ({"Authorization": "Bearer"}, "TOKEN_INVALID", 'error="invalid_token"'),
        ({"Authorization": "Bearer  "}, "TOKEN_INVALID", 'error="invalid_token"'),
        ({"Authorization": "Basic bWU6bWU="}, "TOKEN_INVALID", 'error="invalid_token"'),
        ({"Authorization": "Bearer \xe9\xff"}, "TOKEN_INVALID", 'error="invalid_token"'),
    ],
)
def test_who_shows_no_good_token_is_told_so(
    client: TestClient, headers: dict[str, str], code: str, challenge: str
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = client.get("/v1/release", headers=raw)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert challenge in answer.headers["www-authenticate"]
    assert [(code, "anonymous", "/v1/release")] == REFUSED


def test_a_token_of_another_role_is_told_which_one(
    client: TestClient, secrets: dict[str, str]
) -> None:
    answer = client.post("/v1/outcomes", headers=bearer(secrets["read"]))
    assert "needs the role outcomes; the token its-read has read." in answer.json()["detail"]
    challenge = answer.headers["www-authenticate"]
    assert challenge == 'Bearer realm="mammo", error="insufficient_scope", scope="outcomes"'
    assert REFUSED == [("ROLE_MISSING", "its-read", "/v1/outcomes")]


def test_a_token_in_the_url_or_twice_is_none(client: TestClient, secrets: dict[str, str]) -> None:
    read = secrets["read"]
    assert client.get(f"/v1/release?access_token={read}").status_code == 401
    twice = [("Authorization", f"Bearer {read}"), ("Authorization", "Bearer x")]
    assert client.get("/v1/release", headers=twice).status_code == 401  # type: ignore[arg-type]
    assert client.get("/Doe^Jane").status_code == 401
    assert [path for _, _, path in REFUSED] == ["/v1/release", "/v1/release", "other"]
    assert client.get("/v1/release", headers=bearer(read, "bEARER")).status_code == 200


def test_revoking_works_on_the_next_request(
    client: TestClient, home: Settings, secrets: dict[str, str]
) -> None:
    shown = bearer(secrets["read"])
    assert client.get("/v1/release", headers=shown).status_code == 200
    for name in [one.name for one in TokenStore(home.tokens_path).list()]:
        TokenStore(home.tokens_path).revoke(name)
    assert client.get("/v1/release", headers=shown).status_code == 401
    assert client.get("/v1/release").status_code == 401  # no token left is not an open door


def test_a_damaged_store_lets_nobody_in(
    client: TestClient, home: Settings, secrets: dict[str, str]
) -> None:
    home.tokens_path.write_text("{")
    answer = client.get("/v1/release", headers=bearer(secrets["read"]))
    assert (answer.status_code, answer.json()["code"]) == (503, "TOKENS_UNREADABLE")
    assert client.get("/healthz").status_code == 200


def test_alone_on_its_machine_nobody_is_asked(home: Settings) -> None:
    client = client_of(home)
    assert client.post("/v1/exams").json() == {"name": "local", "roles": sorted(ROLES)}
    assert client_of(home, "http://localhost:3000").get("/v1/release").status_code == 200
    TokenStore(home.tokens_path).add("first", ["read"])
    assert client.post("/v1/exams").status_code == 401  # from the first token on


@pytest.mark.parametrize(
    ("change", "url", "peer", "headers"),
    [
        ({"auth": "on"}, HERE, "127.0.0.1", {}),
        ({"host": "0.0.0.0"}, HERE, "127.0.0.1", {}),
        ({"host": "::"}, HERE, "127.0.0.1", {}),
        ({"host": "mammo.hospital"}, HERE, "127.0.0.1", {}),
        ({}, "http://10.0.0.5:3000", "127.0.0.1", {}),
        ({}, HERE, "10.0.0.9", {}),
        ({}, HERE, "127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ({}, HERE, "127.0.0.1", {"Forwarded": "for=10.0.0.9"}),
        ({}, HERE, "127.0.0.1", {"Via": "1.1 proxy"}),
    ],
)
def test_the_door_is_open_only_to_this_machine(
    home: Settings, change: dict[str, Any], url: str, peer: str, headers: dict[str, str]
) -> None:
    client = client_of(home.model_copy(update=change), url, peer)
    answer = client.post("/v1/exams", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_MISSING")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 421, "HOST_FOREIGN"),
        ({"Host": "127.0.0.1.evil.example:3000"}, 421, "HOST_FOREIGN"),
        ({"Host": "127.0.0.1@evil.example"}, 421, "HOST_FOREIGN"),
        ({"Host": "[::1"}, 421, "HOST_FOREIGN"),
        ({"Host": ""}, 421, "HOST_FOREIGN"),
        ({"Host": "[::1]:3000"}, 200, None),
        ({"Host": "LOCALHOST:3000"}, 200, None),
        ({"Origin": "https://evil.example"}, 403, "ORIGIN_FOREIGN"),
        ({"Origin": "null"}, 403, "ORIGIN_FOREIGN"),
        ({"Origin": "http://127.0.0.1:8080"}, 403, "ORIGIN_FOREIGN"),
        ({"Origin": HERE}, 200, None),
    ],
)
def test_a_page_in_a_browser_cannot_use_the_open_door(
    home: Settings, headers: dict[str, str], status: int, code: str | None
) -> None:
    answer = client_of(home).post("/v1/exams", headers=headers)
    assert answer.status_code == status
    assert answer.json().get("code") == code
    assert client_of(home).get("/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "application/vnd.bentoml+pickle",
        "application/x-python-pickle",
        "Application/X-PICKLE; charset=utf-8",
        "application/x-joblib",
        "application/python-object",
    ],
)
@pytest.mark.parametrize("path", ["/v1/exams", "/v1/outcomes", "/anything"])
def test_pickles_are_refused_everywhere(home: Settings, kind: str, path: str) -> None:
    answer = client_of(home).post(path, content=b"\x80\x04N.", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_BODY")
    assert "never read here" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "make", "level", "text"),
    [
        ({}, False, logging.WARNING, "access is OPEN to everybody with an account"),
        ({"auth": "on"}, False, logging.WARNING, "nobody can call: there is no token"),
        ({"auth": "on"}, True, None, ""),
        ({}, True, None, ""),
    ],
)
def test_every_start_tells_of_an_open_door(
    home: Settings,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, str],
    make: bool,
    level: int | None,
    text: str,
) -> None:
    if make:
        TokenStore(home.tokens_path).add("pacs", ["read"])
    for _ in range(2):
        caplog.clear()
        settings = home.model_copy(update=change)
        warn_of_access(settings, TokenStore(settings.tokens_path))
        told = [one for one in caplog.records if one.name == "mammo.service"]
        assert [one.levelno for one in told] == ([] if level is None else [level])
        assert all(text in one.getMessage() for one in told)


def test_a_damaged_store_does_not_keep_the_service_from_starting(
    home: Settings, secrets: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    home.tokens_path.chmod(0o666)
    warn_of_access(home, TokenStore(home.tokens_path))
    assert "nobody can call" in caplog.text and "chmod 600" in caplog.text
    assert str(home.home) not in caplog.text
