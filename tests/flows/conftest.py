from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.servers import free_port
from mammo.settings import Settings

PORTS = ("prefect_port", "mlflow_port", "service_port", "reports_port", "dicom_port")


@pytest.fixture(scope="session", autouse=True)
def no_server_left() -> Iterator[None]:
    """Stop the servers that Prefect started for a flow called here.

    It would stop them at exit, and tell so on a stream that pytest has closed.
    """
    yield
    if module := sys.modules.get("prefect.server.api.server"):
        for server in list(module.SubprocessASGIServer._instances.values()):
            server.stop()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on free ports in an empty home, in the environment too."""
    ports = {name: free_port() for name in PORTS}
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    for name, port in ports.items():
        monkeypatch.setenv(f"MAMMO_{name.upper()}", str(port))
    return Settings(home=tmp_path / "home", **ports)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]
