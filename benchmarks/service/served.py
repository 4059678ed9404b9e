"""The service as it is served, in a process of its own, and what it costs in processor time."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.service.exams import Exam
from flows.servers import free_port
from mammo.pointer import write_pointer
from mammo.settings import Settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
BOUNDARY = "mammo-benchmark-boundary"


class Served:
    """A running service: requests to it, and the processor time of its whole family."""

    def __init__(self, settings: Settings, server: psutil.Process) -> None:
        self.settings, self._server = settings, server
        self._connections: list[http.client.HTTPConnection] = []

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is kept open; close it with the context."""
        made = http.client.HTTPConnection("127.0.0.1", self.settings.service_port, timeout=120)
        made.connect()
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append(made)
        return made

    @property
    def pid(self) -> int:
        """Number of the server's first process."""
        return self._server.pid

    def cpu_s(self) -> float:
        """Return user and system seconds of the server, its workers and their children so far."""
        return cpu_of(self._server)

    def rss_mb(self) -> float:
        """Return the resident memory of the family, shared pages counted in each, in MiB."""
        return sum(one.memory_info().rss for one in _family(self._server)) / 2**20

    def close(self) -> None:
        """Close every connection."""
        for one in self._connections:
            one.close()


def cpu_of(root: psutil.Process) -> float:
    """Return user and system seconds of a process and of its living descendants."""
    times = [one.cpu_times() for one in _family(root)]
    return sum(one.user + one.system for one in times)


def _family(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def multipart(exam: Exam) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the request, made once so that no client's encoding is timed."""
    parts = []
    for number, data in enumerate(exam.files, 1):
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; '
            f'filename="{number}.dcm"\r\nContent-Type: application/dicom\r\n\r\n'
        )
        parts += [head.encode(), data, b"\r\n"]
    body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    return body, {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any], bytes]:
    """Send one request; return status, headers (small letters) and body of the answer."""
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, data


def score(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> Any:
    """Send one exam; return the answer's JSON. Raises RuntimeError for anything but 200."""
    status, _, data = ask(connection, "POST", "/v1/exams", body, headers)
    if status != 200:
        raise RuntimeError(f"the service answered {status}: {data[:500]!r}")
    return json.loads(data)


@contextmanager
def serve(home: Path, release: Path, **variables: str) -> Iterator[Served]:
    """Serve the release from ``home``; the variables go to its environment."""
    settings = Settings(home=home, service_port=free_port(), mlflow_port=1, _env_file=None)
    point_to(settings, release)
    command = [sys.executable, "-m", "bentoml", "serve", "bentos.screening.service:Screening"]
    command += ["--host", "127.0.0.1", "--port", str(settings.service_port)]
    with (home / "service.log").open("wb") as output:
        server = subprocess.Popen(
            [*command, "--working-dir", str(ROOT)],
            env=settings.child_environment() | variables,
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        served = Served(settings, psutil.Process(server.pid))
        try:
            _wait_until_ready(served, server)
            yield served
        finally:
            served.close()
            server.terminate()
            server.wait(60)


def point_to(settings: Settings, release: Path) -> None:
    """Let the pointer name the release."""
    pointer = {
        "release_id": release.name,
        "bento_tag": None,
        "release_dir": str(release.resolve()),
        "previous": None,
        "changed_at": "2026-03-01T09:00:00+00:00",
    }
    write_pointer(settings.pointer_path, pointer)


def _wait_until_ready(served: Served, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while not _is_ready(served):
        if server.poll() is not None or time.monotonic() > until:
            log = (served.settings.home / "service.log").read_text()[-2000:]
            raise RuntimeError(f"the service did not come up:\n{log}")
        time.sleep(0.2)


def _is_ready(served: Served) -> bool:
    try:
        return ask(served.connect(), "GET", "/readyz")[0] == 200
    except OSError:
        return False
