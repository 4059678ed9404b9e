"""A browser for the viewer's tests: the system's Chromium, drawing without a graphics card."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mammo.settings import Settings
from tests.viewer.reading import phantom_exam, serving

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a browser for one file: while it is open, an event loop runs, and no other may."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages that may complain of nothing and ask for nothing from elsewhere."""
    complaints: list[str] = []
    contexts = []

    def open_one(address: str, width: int = 1366, height: int = 768, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: _note(said, complaints))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: _hold(one.url, address, complaints))
        page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def _note(said: Any, complaints: list[str]) -> None:
    """Note what the page complains of; a refusal of the service is the test's own matter."""
    if said.type == "error" and "Failed to load resource" not in said.text:
        complaints.append(said.text)


def _hold(url: str, address: str, complaints: list[str]) -> None:
    origin = "/".join(address.split("/")[:3])
    if not url.startswith((origin, f"blob:{origin}")):
        complaints.append(f"asked elsewhere: {url}")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Settings]]:
    with serving(tmp_path_factory.mktemp("home")) as served:
        yield served


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return phantom_exam(tmp_path_factory.mktemp("phantom"))
