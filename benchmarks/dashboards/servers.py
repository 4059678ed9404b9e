"""What a scene needs beside the service: Prometheus, and the process that tells of the loop."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.chaos.served import free_port, wait_until
from flows.stack_services import answers
from mammo.settings import Settings

ROOT = Path(__file__).parents[2]
SCRAPE_SECONDS = 1
"""Of a scene of two minutes; an installation scrapes every 15 seconds."""


def find_prometheus() -> str | None:
    """Return the path of the program, or None where it is not installed."""
    return shutil.which("prometheus")


@contextmanager
def running_prometheus(folder: Path, jobs: Mapping[str, str]) -> Iterator[str]:
    """Give the address of a Prometheus that scrapes jobs: name to host:port."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    scrapes = [
        {"job_name": name, "static_configs": [{"targets": [target]}]}
        for name, target in jobs.items()
    ]
    seconds = f"{SCRAPE_SECONDS}s"
    settings = {"global": {"scrape_interval": seconds}, "scrape_configs": scrapes}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    address = f"http://127.0.0.1:{port}"
    with _process(command, folder / "prometheus.log", f"{address}/-/ready"):
        yield address


@contextmanager
def running_reports(settings: Settings) -> Iterator[str]:
    """Give the address of ``python -m monitoring.metrics`` for an installation."""
    command = [sys.executable, "-m", "monitoring.metrics"]
    variables = {
        "MAMMO_REPORTS_PORT": str(settings.reports_port),
        "MAMMO_SERVICE_PORT": str(settings.service_port),
        "MAMMO_PREFECT_PORT": str(settings.prefect_port),
    }
    log = settings.home.with_name("reports.log")
    with _process(
        command, log, f"{settings.reports_url}/healthz", settings.child_environment() | variables
    ):
        yield settings.reports_url


@contextmanager
def _process(
    command: Sequence[str], log: Path, url: str, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env=environment
        )  # fmt: skip

    def is_well() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {log.read_text(errors='replace')[-2000:]}")
        return answers(url)

    try:
        wait_until(is_well, 120)
        yield
    finally:
        process.terminate()
        process.wait(30)
