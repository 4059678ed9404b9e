"""Which roles a route wants, what is loopback, and what the documents say of it."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bentos.screening.access import Caller, require_own, secure
from bentos.screening.access_rules import RULES, is_loopback, roles_for
from mammo.errors import (
    HostForeign,
    JobUnknown,
    OriginForeign,
    RoleMissing,
    TokenInvalid,
    TokenMissing,
    TokensUnreadable,
)
from mammo.settings import Settings
from mammo.tokens import ROLES


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", _env_file=None)


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("GET", "/forgotten", {"read"}),
        ("HEAD", "/metrics", {"read", "operate"}),
        ("POST", "/forgotten", {"operate"}),
        ("DELETE", "/v1/exams/E-1", {"operate"}),
        ("OPTIONS", "/v1/exams", {"operate"}),
        ("POST", "/v1/exams/E-1", {"operate"}),
        ("POST", "/docs/assets/x", {"operate"}),
        ("GET", "/docs/assets/a/b.js", set()),
        ("GET", "/docs/assetsx", {"read"}),
        ("GET", "/v1/exams/", {"read"}),
        ("GET", "/v1/exams/a/b/c", {"read"}),
        ("POST", "/v1/exams\n", {"operate"}),
        ("POST", "/v1.exams", {"operate"}),
        ("POST", "/schema.json", {"operate"}),
    ],
)
def test_what_is_not_listed_is_shut(method: str, path: str, roles: set[str]) -> None:
    assert roles_for(method, path) == roles


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((one, True) for one in ("localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]")),
        ("::ffff:127.0.0.1", True),
        *((one, False) for one in ("", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.nip.io")),
        *((one, False) for one in ("testserver", "::ffff:10.0.0.1", "/run/mammo.sock")),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("change", "expected"), [({}, [{"bearer": []}, {}]), ({"auth": "on"}, [{"bearer": []}])]
)
def test_openapi_tells_which_routes_need_a_token(
    home: Settings, change: dict[str, str], expected: list[Any]
) -> None:
    document: dict[str, Any] = {"paths": {"/healthz": {"get": {}}, "/v1/exams": {"post": {}}}}
    settings = home.model_copy(update=change)
    told = secure(secure(document, settings), settings)
    assert told["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert told["paths"]["/healthz"]["get"] == {}
    operation = told["paths"]["/v1/exams"]["post"]
    assert operation["security"] == expected
    assert sorted(operation["responses"]) == ["401", "403"]
    assert operation["responses"]["403"]["description"] == "The role predict is needed."


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (Caller("pacs", frozenset({"predict"})), True),
        (Caller("other", frozenset({"predict"})), False),
        (Caller("other", frozenset({"predict", "read"})), True),
        (Caller("local", frozenset(ROLES)), True),
    ],
)
def test_who_may_only_predict_sees_no_job_of_others(caller: Caller, seen: bool) -> None:
    with nullcontext() if seen else pytest.raises(JobUnknown, match="No job of this caller"):
        require_own(caller, "pacs")


def test_the_documents_tell_every_route_and_refusal() -> None:
    told = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    rows = {
        f"| {one.method} | `{one.path}` | {', '.join(sorted(one.roles)) or '–'} |" for one in RULES
    }
    assert [row for row in rows if row not in told] == []
    refusals = [TokenMissing, TokenInvalid, RoleMissing, HostForeign, OriginForeign]
    refusals.append(TokensUnreadable)
    told_refusals = [f"| `{one.code}` | {one.http_status} |" for one in refusals]
    assert [row for row in told_refusals if row not in told] == []


def test_no_module_of_the_service_reads_pickles() -> None:
    root = Path(__file__).parents[2]
    found = subprocess.run(
        ["grep", "-rnE", r"import (pickle|joblib|dill|cloudpickle)|allow_pickle=True|torch\.load\("]
        + [str(root / one) for one in ("bentos", "mammo/screening.py", "mammo/client.py")],
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""
