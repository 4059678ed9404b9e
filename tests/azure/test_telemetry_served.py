"""The served service, as `mammo up` starts it, tells a local endpoint; no name arrives."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from flows.servers import free_port
from tests.azure.test_telemetry import KEY, NAME, ingestion

ROOT = Path(__file__).parents[2]


def wait_for(url: str, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/livez", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise AssertionError(f"no service at {url} in {seconds:g} s")


@pytest.mark.stack
@pytest.mark.slow
def test_what_the_served_service_sends(tmp_path: Path) -> None:
    pytest.importorskip("azure.monitor.opentelemetry.exporter", reason="make azure-check")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ingestion() as received:
        connection = f"InstrumentationKey={KEY};IngestionEndpoint={received.url}/"
        environment = os.environ | {"MAMMO_HOME": str(tmp_path), "MAMMO_AZURE_MONITOR": connection}
        command = ["bentoml", "serve", "bentos.screening.service:Screening", "--port", str(port)]
        command[0] = str(ROOT / ".venv" / "bin" / command[0])
        with subprocess.Popen([*command, "--host", "127.0.0.1"], env=environment, cwd=ROOT) as own:
            try:
                wait_for(url)
                files = {"files": (f"{NAME}.dcm", b"no DICOM")}
                assert httpx.post(f"{url}/v1/exams", files=files, timeout=60).status_code == 503
                assert httpx.get(f"{url}/v1/exams/{NAME}", timeout=60).status_code == 404
            finally:
                own.terminate()
                own.wait(120)
    told = {(one["name"], one["responseCode"]) for one in received.of("RequestData")}
    assert told == {("POST /v1/exams", "503"), ("GET /v1/exams/{exam}", "404")}
    names = {one["metrics"][0]["name"] for one in received.of("MetricData")}
    assert {"mammo.requests", "mammo.request.seconds"} <= names
    assert any(
        one["message"].startswith("POST /v1/exams 503") for one in received.of("MessageData")
    )
    assert "PLANTED" not in received.text
