"""What a message under Compose links to is this installation's, as .env says."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.compose import FILE, Here
from tests.deploy.images import ROOT

GIVEN = {
    "MAMMO_SITE": "utrecht: 'noord'",
    "MAMMO_RUNBOOKS_URL": "https://intranet.example/runbooks",
    "MAMMO_REPORTS_LINK": "https://reports.hospital.example",
    "MAMMO_PREFECT_LINK": "https://prefect.hospital.example",
    "MAMMO_ALERTMANAGER_LINK": "https://alerts.hospital.example/mammo",
    "MAMMO_GRAFANA_LINK": "https://grafana.hospital.example",
}
LABELS = {
    "site": "MAMMO_SITE",
    "reports_url": "MAMMO_REPORTS_LINK",
    "prefect_url": "MAMMO_PREFECT_LINK",
    "runbooks_url": "MAMMO_RUNBOOKS_URL",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the file with GIVEN in .env, as Compose itself puts it in."""
    if (program := shutil.which("docker-compose")) is None:
        pytest.skip("no docker-compose is installed")
    profiles = ("--profile", "core", "--profile", "monitoring")
    done = subprocess.run(
        [program, "-f", str(FILE), *profiles, "config"], env=os.environ | GIVEN,
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return dict(yaml.safe_load(done.stdout)["services"])


@pytest.mark.parametrize("name", ["service", "worker", "prometheus"])
def test_all_are_of_one_site(services: dict[str, Any], name: str) -> None:
    assert services[name]["environment"]["MAMMO_SITE"] == GIVEN["MAMMO_SITE"]


def test_a_browser_is_sent_to_what_it_reaches(services: dict[str, Any]) -> None:
    told = {name: one.get("environment", {}) for name, one in services.items()}
    assert told["prefect"]["PREFECT_UI_API_URL"] == f"{GIVEN['MAMMO_PREFECT_LINK']}/api"
    assert told["grafana"]["MAMMO_RUNBOOKS_URL"] == GIVEN["MAMMO_RUNBOOKS_URL"]
    assert told["grafana"]["GF_SERVER_ROOT_URL"] == GIVEN["MAMMO_GRAFANA_LINK"]
    command = str(services["alertmanager"]["command"])
    assert f"--web.external-url={GIVEN['MAMMO_ALERTMANAGER_LINK']}" in command, "to silence it"
    assert "--web.route-prefix=/ " in f"{command} ", "the path is the proxy's"


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, GIVEN], ids=["as it comes", "of .env"])
def test_prometheus_labels_alerts_with_them(
    services: dict[str, Any], given: dict[str, str], tmp_path: Path
) -> None:
    """By the container's own command: what is asked for is what Prometheus made of the file."""
    here = Here(tmp_path)
    inside = here.environment("prometheus")
    assert set(LABELS.values()) <= set(inside)
    with running(here, inside | given) as url:
        config = yaml.safe_load(httpx.get(f"{url}/api/v1/status/config").json()["data"]["yaml"])
    wanted = {label: (inside | given)[variable] for label, variable in LABELS.items()}
    assert config["global"]["external_labels"] == wanted
    assert all(wanted.values())


@contextmanager
def running(here: Here, environment: dict[str, str]) -> Iterator[str]:
    command, url = here.command("prometheus"), f"http://127.0.0.1:{here.ports[9090]}"
    if command is None:
        pytest.skip("no prometheus is installed")
    here.bind("prometheus")
    with (here.folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not answers(f"{url}/-/ready"):
            assert process.poll() is None and time.monotonic() < deadline, (
                here.folder / "prometheus.log"
            ).read_text()[-1500:]
            time.sleep(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
