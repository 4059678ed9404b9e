"""What every answer tells a browser; the OpenAPI page still works under it."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.testclient import TestClient

from bentos.screening.security_headers import SHUT, SecurityHeaders, docs_policy


@pytest.fixture
def client() -> TestClient:
    app = FastAPI(docs_url=None)

    @app.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="mammo",
            swagger_js_url="/docs/assets/a.js",
            swagger_css_url="/docs/assets/a.css",
            swagger_favicon_url="/docs/assets/a.png",
        )

    @app.get("/docs/assets/a.js")
    async def asset() -> JSONResponse:
        return JSONResponse(1, headers={"Cache-Control": "max-age=60"})

    @app.get("/v1/release")
    async def release() -> JSONResponse:
        return JSONResponse({}, headers={"Server": "uvicorn/0.1", "Cache-Control": "public"})

    app.add_middleware(SecurityHeaders)
    return TestClient(app)


@pytest.mark.parametrize("path", ["/v1/release", "/absent", "/docs", "/docs/assets/a.js"])
def test_every_answer_has_them(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Origin": "https://other.example"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control-")]


def test_nothing_but_assets_lies_in_a_cache(client: TestClient) -> None:
    assert client.get("/v1/release").headers["cache-control"] == "no-store"
    assert client.get("/docs/assets/a.js").headers["cache-control"] == "max-age=60"
    assert client.get("/v1/release").headers["content-security-policy"] == SHUT


def test_preflights_of_other_origins_get_no_leave(client: TestClient) -> None:
    asked = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/v1/release", headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_page_may_run_its_own_script_and_no_other(client: TestClient) -> None:
    page = client.get("/docs")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    script = re.search(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert script is not None and "SwaggerUIBundle(" in script[1]
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    assert policy["default-src"] == "'none'"
    assert "https:" not in page.text


def test_a_page_without_scripts_has_its_own_files_only() -> None:
    assert "script-src 'self';" in docs_policy(b"<html></html>")
