"""What Azure Monitor receives, at an address of this machine: never a patient, nothing when off."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mammo import telemetry
from mammo.errors import NotDicom, SettingsInvalid
from mammo.telemetry import Off
from mammo.telemetry.leaving import GONE, ROUTE, STATUS, WITHHELD, Leaving

NAME = "PLANTED^PATIENT"
KEY = "00000000-0000-0000-0000-00000000000a"
ROUTES = ("/v1/exams", "/v1/exams/{exam_id}", "/healthz")


class Received:
    """Every envelope that came to the ingestion endpoint."""

    def __init__(self) -> None:
        self.envelopes: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.url = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the data of the envelopes of one kind: RequestData, MessageData …"""
        return [
            one["data"]["baseData"] for one in self.envelopes if one["data"]["baseType"] == kind
        ]

    @property
    def text(self) -> str:
        return json.dumps(self.envelopes, ensure_ascii=False)


@contextmanager
def ingestion() -> Iterator[Received]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = json.loads(body) if body.lstrip()[:1] == b"[" else [
                json.loads(line) for line in body.splitlines() if line.strip()
            ]  # fmt: skip
            received.envelopes += lines
            received.paths.append(self.path)
            told = {"itemsReceived": len(lines), "itemsAccepted": len(lines), "errors": []}
            sent = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """Telemetry of a service that goes to this machine; `telemetry.stop` sends the rest."""
    pytest.importorskip("azure.monitor.opentelemetry.exporter", reason="make azure-check")
    log = logging.getLogger("mammo")
    monkeypatch.setattr(log, "level", logging.INFO)
    with ingestion() as endpoint:
        connection = f"InstrumentationKey={KEY};IngestionEndpoint={endpoint.url}/"
        telemetry.start("service", connection, [*ROUTES, "other", "fit", "train"])
        try:
            yield endpoint
        finally:
            telemetry.stop()


def serve_one(method: str, route: str, status: int, error: RuntimeError | None = None) -> None:
    """Do what the edge of the service does with a request."""
    with telemetry.current().request() as note:
        # the edge answers an error; here only what is sent matters
        with suppress(RuntimeError), telemetry.current().stage("read"):
            if error:
                raise error
        note(method, route, status)


@pytest.mark.slow
def test_a_request_arrives_with_its_stage_inside(received: Received) -> None:
    serve_one("POST", "/v1/exams", 200)
    telemetry.stop()
    (request,) = received.of("RequestData")
    assert request["name"] == "POST /v1/exams" and request["success"] is True
    assert request["responseCode"] == "200" and not request.get("url")
    (stage,) = received.of("RemoteDependencyData")
    assert stage["name"] == "stage read"
    tags = {one["data"]["baseType"]: one["tags"] for one in received.envelopes}
    inside, around = tags["RemoteDependencyData"], tags["RequestData"]
    assert inside["ai.operation.id"] == around["ai.operation.id"]
    assert inside["ai.operation.parentId"] == request["id"]
    assert around["ai.cloud.role"] == "mammo-service"
    assert {one["iKey"] for one in received.envelopes} == {KEY}
    assert all(path.endswith("/track") for path in received.paths)


@pytest.mark.slow
def test_a_span_around_us_that_is_not_sampled_hides_nothing(received: Received) -> None:
    """BentoML's is so; nor may a caller's `traceparent` say what is sent."""
    from opentelemetry import trace

    around = trace.SpanContext(trace_id=7, span_id=7, is_remote=True)
    with trace.use_span(trace.NonRecordingSpan(around)):
        serve_one("POST", "/v1/exams", 200)
    telemetry.stop()
    assert len(received.of("RequestData")) == len(received.of("RemoteDependencyData")) == 1
    assert f"{7:032x}" not in received.text


@pytest.mark.slow
def test_counts_and_times_arrive(received: Received) -> None:
    for status in (200, 200, 422):
        serve_one("POST", "/v1/exams", status)
    telemetry.stop()
    metrics = [one["metrics"][0] | one for one in received.of("MetricData")]
    counted = {
        one["properties"][STATUS]: one["value"]
        for one in metrics
        if one["name"] == "mammo.requests"
    }
    assert counted == {"200": 2, "422": 1}
    timed = [one for one in metrics if one["name"] == "mammo.stage.seconds"]
    assert [(one["count"], one["properties"]) for one in timed] == [(3, {"stage": "read"})]


@pytest.mark.slow
def test_lines_arrive_without_what_was_put_into_them(received: Received) -> None:
    log = logging.getLogger("mammo.service")
    log.info("%d predictions went from the spool to the log", 7)
    log.error("read %s: %s", NAME, NotDicom.code)
    log.error(f"the file of {NAME} is broken")
    log.warning("a test for %(who)s", {"who": NAME})
    telemetry.stop()
    assert [one["message"] for one in received.of("MessageData")] == [
        "7 predictions went from the spool to the log",
        f"read {GONE}: NOT_DICOM",
        WITHHELD,
        f"a test for {GONE}",
    ]


@pytest.mark.slow
def test_no_patient_leaves_whatever_way_a_name_comes_in(received: Received) -> None:
    from opentelemetry import trace

    serve_one("POST", f"/v1/exams/{NAME}", 200)
    serve_one(NAME, "/v1/exams", 500, error=RuntimeError(NAME))
    with telemetry.current().stage(NAME):
        logging.getLogger("mammo.gateway").error("%s", RuntimeError(NAME), exc_info=True)
    tracer = telemetry.current()._traces.get_tracer(NAME)  # type: ignore[attr-defined]
    with tracer.start_as_current_span(NAME, attributes={ROUTE: NAME, "patient": NAME}) as span:
        span.add_event(NAME)
        span.set_status(trace.StatusCode.ERROR, NAME)
    with tracer.start_as_current_span(f"{NAME}-1a2", attributes={"prefect.run.type": "task"}):
        pass
    telemetry.stop()
    assert len(received.envelopes) >= 8
    assert NAME not in received.text and "PLANTED" not in received.text
    assert f"POST {GONE}" in received.text  # it was told that something came


@pytest.mark.slow
def test_prefects_spans_keep_the_names_of_our_source(received: Received) -> None:
    tracer = telemetry.current()._traces.get_tracer("prefect")  # type: ignore[attr-defined]
    for name, kind in (("fit-1a2", "task"), (f"{NAME}-1a2", "flow")):
        facts = {"prefect.run.type": kind, "prefect.run.name": name}
        with tracer.start_as_current_span(name, attributes=facts):
            pass
    telemetry.stop()
    told = [one["name"] for one in received.of("RemoteDependencyData")]
    assert told == ["task fit", f"flow {GONE}"]


@pytest.mark.slow
def test_health_is_asked_every_second_and_not_sent(received: Received) -> None:
    serve_one("GET", "/healthz", 200)
    telemetry.stop()
    assert received.of("RequestData") == []


@pytest.mark.slow
def test_a_real_service_tells_of_a_real_refusal(received: Received, tmp_path: Any) -> None:
    """The app itself, with a file name and a path that hold a name."""
    from fastapi.testclient import TestClient

    from bentos.screening.app import create_app
    from mammo.settings import Settings

    app = create_app(Settings(home=tmp_path, _env_file=None))  # type: ignore[call-arg]
    here = {"base_url": "http://127.0.0.1:3000", "client": ("127.0.0.1", 50000)}
    with TestClient(app, **here) as client:  # type: ignore[arg-type]
        files = {"files": (f"{NAME}.dcm", b"no DICOM")}
        assert client.post("/v1/exams", files=files).status_code == 503
        assert client.get(f"/v1/nothing/{NAME}").status_code == 404
    telemetry.stop()
    told = {(one["name"], one["responseCode"]) for one in received.of("RequestData")}
    assert told == {("POST /v1/exams", "503"), ("GET other", "404")}
    assert "PLANTED" not in received.text
    assert received.of("MessageData")


def test_off_is_free() -> None:
    assert isinstance(telemetry.current(), Off) and not telemetry.current().on
    turns = 20_000
    started = time.perf_counter()
    for _ in range(turns):
        with telemetry.current().stage("read"):
            pass
    assert (time.perf_counter() - started) / turns < 20e-6  # 0.3 µs on a quiet machine


def test_off_imports_nothing_of_it() -> None:
    code = (
        "import sys, mammo.telemetry as t, flows.azure_telemetry as f;"
        "from mammo.settings import Settings;"
        "f.watch_flows(Settings(_env_file=None)); t.start('service', None);"
        "print([m for m in sys.modules if m.startswith(('azure', 'opentelemetry'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_what_is_no_connection_string_is_said() -> None:
    pytest.importorskip("azure.monitor.opentelemetry.exporter", reason="make azure-check")
    with pytest.raises(SettingsInvalid, match="MAMMO_AZURE_MONITOR is no connection string"):
        telemetry.start("service", "InstrumentationKey=no")
    assert not telemetry.current().on


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (7, 7), (0.5, 0.5), (True, True), ("DISK_FULL", "DISK_FULL"), ("ValueError", "ValueError"),
        (ValueError, "ValueError"), ("r-20261122-1a2b3c4d", "r-20261122-1a2b3c4d"),
        ("r-20261122-1a2b3c4d ", GONE), (NAME, GONE), ("/home/x", GONE), (None, GONE),
        ("fit", "fit"), (ValueError(NAME), GONE), (["fit"], GONE),
    ],
)  # fmt: skip
def test_values(given: object, left: object) -> None:
    assert Leaving(["fit"]).value(given) == left


def test_attributes_are_those_of_the_list() -> None:
    given = {STATUS: 200, ROUTE: NAME, "patient": "fit", "stage": "fit"}
    assert Leaving(["fit"]).attributes(given) == {STATUS: 200, ROUTE: GONE, "stage": "fit"}


def test_names_of_flows_and_tasks() -> None:
    from flows.azure_telemetry import names_of_runs

    names = names_of_runs()
    assert {"train", "fit", "judge", "ingest", "retrain"} <= names
    assert "names_of_runs" not in names and "_is_run" not in names
