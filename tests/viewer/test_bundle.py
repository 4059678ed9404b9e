"""The shipped bundle is the one that its sources make, and asks for nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bentos.screening.security_headers import SecurityHeaders
from bentos.screening.viewer.build import source_digests
from bentos.screening.viewer.bundle import DIST, MANIFEST, PAGE, VIEWER, read_manifest
from bentos.screening.viewer_routes import add_viewer
from mammo import INTENDED_USE

BUILD = "build it: python -m bentos.screening.viewer.build"


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI(docs_url=None)
    add_viewer(app)
    app.add_middleware(SecurityHeaders)
    return TestClient(app)


def test_bundle_is_of_these_sources() -> None:
    assert read_manifest()["sources"] == source_digests(), BUILD


def test_files_are_those_that_were_built() -> None:
    there = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in DIST.iterdir()
        if path.name != MANIFEST
    }
    assert there == read_manifest()["files"], BUILD


def test_page_and_files_are_served(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    asked = re.findall(r'(?:src|href)="(/viewer/[^"]+)"', page.text)
    assert len(asked) == 3
    for path in asked:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


def test_page_may_run_nothing_but_its_own_files(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    page = (DIST / PAGE).read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)


def test_page_says_what_it_is_for() -> None:
    assert INTENDED_USE in (DIST / PAGE).read_text(encoding="utf-8")


def test_page_loads_nothing_from_elsewhere() -> None:
    own = "".join((DIST / name).read_text(encoding="utf-8") for name in (PAGE, "main.css"))
    assert "//" not in re.sub(r"/\*.*?\*/", "", own.replace("<!doctype", ""), flags=re.DOTALL)
    assert "sourceMappingURL" not in (DIST / "main.js").read_text(encoding="utf-8")[-300:]


def test_lock_names_no_registry_and_has_a_digest_of_everything() -> None:
    lock = json.loads((VIEWER / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert not [name for name, one in packages.items() if "resolved" in one]
    assert not [name for name, one in packages.items() if "integrity" not in one]


def test_licences_of_others_come_along() -> None:
    text = (DIST / "THIRD_PARTY.txt").read_text(encoding="utf-8")
    for name in ("@cornerstonejs/core", "@cornerstonejs/tools", "@kitware/vtk.js"):
        assert f"==== {name} " in text
