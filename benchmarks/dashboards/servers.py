"""What a scene needs beside the service: Prometheus, and the process that tells of the loop."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.chaos.served import wait_until
from flows.servers import free_port
from flows.stack_services import answers
from mammo.settings import Settings

ROOT = Path(__file__).parents[2]
SCRAPE_SECONDS = 1
"""Of a scene of two minutes; an installation scrapes every 15 seconds."""


def find_prometheus() -> str | None:
    """Return the path of the program, or None where it is not installed."""
    return shutil.which("prometheus")


Started = tuple["subprocess.Popen[bytes]", Path, str]
"""A process, the file with its output, and the address that answers when it is well."""


@contextmanager
def starting_prometheus(folder: Path, jobs: Mapping[str, str]) -> Iterator[tuple[Started, str]]:
    """Start a Prometheus that scrapes jobs (name to host:port); give it and its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    scrapes = [
        {"job_name": name, "static_configs": [{"targets": [target]}]}
        for name, target in jobs.items()
    ]
    seconds = f"{SCRAPE_SECONDS}s"
    # recording rules are what dashboards and alerts may both ask for
    rules = [str(ROOT / "dashboards" / "recording-rules.yml")]
    settings = {
        "global": {"scrape_interval": seconds, "evaluation_interval": seconds},
        "rule_files": rules,
        "scrape_configs": scrapes,
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    address = f"http://127.0.0.1:{port}"
    with _starting(command, folder / "prometheus.log", f"{address}/-/ready") as started:
        yield started, address


@contextmanager
def starting_reports(settings: Settings) -> Iterator[Started]:
    """Start ``python -m monitoring.metrics`` for an installation."""
    command = [sys.executable, "-m", "monitoring.metrics"]
    log = settings.home.with_name("reports.log")
    with _starting(
        command, log, f"{settings.reports_url}/healthz", environment_of(settings)
    ) as started:
        yield started


@contextmanager
def starting_prefect(settings: Settings) -> Iterator[Started]:
    """Start Prefect's server for an installation."""
    listen = ("--host", settings.host, "--port", str(settings.prefect_port))
    command = [sys.executable, "-m", "prefect", "server", "start", *listen]
    log = settings.home.with_name("prefect.log")
    with _starting(
        command, log, f"{settings.prefect_api_url}/health", environment_of(settings)
    ) as started:
        yield started


def ingest_as_flow(settings: Settings, folder: Path) -> subprocess.Popen[bytes]:
    """Start the flow `ingest` on a folder of DICOM files; it ends by itself."""
    code = f"from flows.ingest import ingest; ingest('dicom', {str(folder)!r})"
    with settings.home.with_name("ingest.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=output, stderr=output, cwd=ROOT, env=environment_of(settings),
        )  # fmt: skip


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of a process of this installation."""
    ports = {
        "MAMMO_REPORTS_PORT": settings.reports_port,
        "MAMMO_SERVICE_PORT": settings.service_port,
        "MAMMO_PREFECT_PORT": settings.prefect_port,
    }
    return settings.child_environment() | {name: str(port) for name, port in ports.items()}


@contextmanager
def _starting(
    command: Sequence[str], log: Path, url: str, environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env=environment
        )  # fmt: skip
    try:
        yield process, log, url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_until_well(*services: Started) -> None:
    """Wait for services that start at the same time. Raises RuntimeError for one that ended."""
    for process, log, url in services:
        wait_until(lambda: _is_well(process, log, url), 180)  # noqa: B023 - called at once


def _is_well(process: subprocess.Popen[bytes], log: Path, url: str) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{log.stem} ended: {log.read_text(errors='replace')[-2000:]}")
    return answers(url)
