"""Bentos as a build leaves them, and the service on a port, with fake releases inside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import yaml

from bentos.screening.app import create_app
from bentos.screening.deployment import deploy_release
from flows.servers import free_port
from mammo.errors import ParityError
from mammo.release import write_json
from mammo.settings import Settings
from tests.bentos.conftest import FakeScreener, make_release
from tests.bentos.judging import permit


def load_embedded(directory: Path) -> FakeScreener:
    """Load the fake whose id is in the manifest, as in a Bento's ``release/``."""
    manifest = json.loads((directory / "manifest.json").read_text())
    if manifest["id"].endswith("-bad"):
        raise ParityError("The golden image scores 1.0 here, 2.0 where it was made.")
    screener = FakeScreener(directory)
    screener.release = make_release(manifest["id"])
    return screener


def accept(_directory: Path) -> None:
    """A smoke test that lets everything pass."""


def pack(
    settings: Settings, release_id: str, *, kind: str = "trained", permitted: bool = True
) -> str:
    """Put into the store what a build leaves there, judged and approved unless said."""
    release = make_release(release_id, kind=kind)
    bento = settings.bentoml_home / "bentos" / "screening" / f"{release_id}-c0de"
    (bento / "src" / "release").mkdir(parents=True)
    write_json(bento / "src" / "release" / "manifest.json", release.to_dict())
    if permitted:
        permit(settings, release)
    described = {
        "version": bento.name,
        "labels": {"release": release_id},
        "creation_time": str(time.time()),
    }
    (bento / "bento.yaml").write_text(yaml.safe_dump(described))
    (settings.releases_dir / release_id).mkdir(parents=True, exist_ok=True)
    return f"screening:{bento.name}"


def own_settings(home: Path) -> Settings:
    return Settings(home=home, service_port=free_port(), mlflow_port=1, _env_file=None)


@contextmanager
def run_service(settings: Settings) -> Iterator[Settings]:
    """The service on a port, with fake releases."""
    app = create_app(settings, load=load_embedded)
    config = uvicorn.Config(app, port=settings.service_port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield settings
    finally:
        server.should_exit = True
        thread.join()


def deploy(settings: Settings, release: str | None, **options: Any) -> Any:
    return deploy_release(release, settings, check=options.pop("check", load_embedded), **options)


def serving(settings: Settings) -> str:
    return str(httpx.get(f"{settings.service_url}/v1/release").json().get("release"))
