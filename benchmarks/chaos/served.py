"""The service as a client system meets it: `bentoml serve` with several workers.

    with serve(home_with_release(folder), workers=2) as served:
        httpx.post(f"{served.url}/v1/exams", ...)

BentoML takes the number of workers from ``BENTOML_CONFIG_OPTIONS``. The server's
children are the workers; theirs are the decoders, which read the files.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from flows.servers import free_port
from mammo.pointer import write_pointer
from mammo.settings import Settings

ROOT = Path(__file__).parents[2]
SERVICE = "bentos.screening.service:Screening"
RELEASE = "r-20260301-aaaaaaaa"
DECODERS_PER_WORKER = 2
START_SECONDS = 120.0


@dataclass(frozen=True)
class Served:
    """A running service; ``server`` is the process that started the workers."""

    settings: Settings
    server: psutil.Process

    @property
    def url(self) -> str:
        """Its address."""
        return self.settings.service_url

    @property
    def output(self) -> str:
        """What it wrote to standard output and error so far."""
        return _output_path(self.settings).read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """The living processes that answer requests."""
        return _children(self.server)

    def workers_at_work(self) -> list[psutil.Process]:
        """The workers that have their decoders, which start with them."""
        return [one for one in self.workers() if len(_children(one)) >= DECODERS_PER_WORKER]

    def decoders(self) -> list[psutil.Process]:
        """The living processes that read files."""
        return [child for worker in self.workers() for child in _children(worker)]

    def is_ready(self, workers: int = 1) -> bool:
        """True when that many workers have their decoders and one of them can score."""
        return len(self.workers_at_work()) >= workers and self.answers("/readyz")

    def has_started(self, workers: int) -> bool:
        """True when so many workers can score, or with 0 when one lives.

        Raises RuntimeError, with the end of what it wrote, where the server has ended.
        """
        if not _lives(self.server):
            raise RuntimeError(f"the server ended: {self.output[-2000:]}")
        return self.is_ready(workers) if workers else self.answers("/healthz")

    def answers(self, path: str) -> bool:
        """True when a GET succeeds."""
        try:
            return httpx.get(f"{self.url}{path}", timeout=5).is_success
        except httpx.HTTPError:
            return False


def make_home(home: Path, **more: object) -> Settings:
    """Return the settings of an installation under ``home``, on a free port."""
    given = {"service_port": free_port(), "mlflow_port": 1, "home": home, **more}
    home.mkdir(parents=True, exist_ok=True)
    return Settings(_env_file=None, **given)  # type: ignore[arg-type]


def make_installation(home: Path, **more: object) -> Settings:
    """Return `make_home` with a tiny real release in service."""
    from benchmarks.chaos.releases import write_good  # it imports torch: seconds

    settings = make_home(home, **more)
    point_to(settings, write_good(settings, RELEASE))
    return settings


def point_to(settings: Settings, release_dir: Path, **more: object) -> None:
    """Put a release into service as a deployment does, by the durable pointer."""
    pointer = {
        "release_id": release_dir.name,
        "bento_tag": f"screening:{release_dir.name}",
        "release_dir": str(release_dir),
        "previous": None,
        "changed_at": str(time.time()),
    }
    write_pointer(settings.pointer_path, pointer | more)


@contextmanager
def serve(
    settings: Settings,
    *,
    workers: int = 1,
    environment: Mapping[str, str] = {},
    ready: bool = True,
) -> Iterator[Served]:
    """Serve until the block ends; with ``ready``, wait until every worker can score."""
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--working-dir", str(ROOT)]
    address = ["--host", settings.host, "--port", str(settings.service_port)]
    with _output_path(settings).open("ab") as output:
        server = subprocess.Popen(
            command + address,
            env=_environment(settings, workers) | dict(environment),
            cwd=settings.home,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        served = Served(settings, psutil.Process(server.pid))
        wait_until(lambda: served.has_started(workers if ready else 0))
        yield served
    finally:
        _end(server)


def _output_path(settings: Settings) -> Path:
    """Beside the home, which may be full."""
    return settings.home.with_name(f"{settings.home.name}.log")


def _environment(settings: Settings, workers: int) -> dict[str, str]:
    return settings.child_environment() | {
        "MAMMO_MLFLOW_PORT": str(settings.mlflow_port),
        "BENTOML_CONFIG_OPTIONS": f"services.screening.workers={workers}",
    }


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and whatever of its processes outlives it."""
    family = _tree(server.pid)
    server.terminate()
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(10)
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [one for one in process.children() if _lives(one)]
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(
    condition: Callable[[], bool], seconds: float = START_SECONDS, every: float = 0.25
) -> float:
    """Wait for a condition; return how many seconds it took. Raises TimeoutError."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"it did not happen within {seconds:g} s")
        time.sleep(every)
    return time.monotonic() - started
