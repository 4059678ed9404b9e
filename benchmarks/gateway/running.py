"""The gateway as `mammo up` runs it: a process of its own, started, killed, started again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bentos.gateway.alive import is_alive
from mammo.settings import Settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0


class Running:
    """One gateway process at a time; ``starts`` counts them."""

    def __init__(self, settings: Settings, **variables: Any) -> None:
        self.settings, self.starts = settings, 0
        self._variables = {name: str(value) for name, value in variables.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it receives."""
        with (self.settings.home / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bentos.gateway"],
                env=self.settings.child_environment() | self._variables,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self.starts += 1
        began = psutil.Process(self._process.pid).create_time()
        wait_until(lambda: self._lives() and is_alive(self.settings, since=began), START_SECONDS)

    def _lives(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            said = (self.settings.home / "gateway.log").read_text()[-2000:]
            raise RuntimeError(f"the gateway ended: {said}")
        return True

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def cpu_s(self) -> float:
        """Return user and system seconds of the process so far."""
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def running(settings: Settings, **variables: Any) -> Iterator[Running]:
    """Run a gateway for a block; ``variables`` are set in its environment."""
    settings.home.mkdir(parents=True, exist_ok=True)
    told = {
        "MAMMO_DICOM_PORT": settings.dicom_port,
        "MAMMO_SERVICE_PORT": settings.service_port,
        "MAMMO_DICOM_QUIET_SECONDS": settings.dicom_quiet_seconds,
        "MAMMO_DICOM_FREE_MB": settings.dicom_free_mb,
    }
    one = Running(settings, **told | variables)
    one.start()
    try:
        yield one
    finally:
        one.kill()


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until something holds; return how long it took. Raises TimeoutError."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"it did not come to pass in {seconds:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - started
