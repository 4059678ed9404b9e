"""Azure Monitor by OpenTelemetry: spans, metrics and log lines, as far as they may leave.

The exporters are used without Azure's "distro": that one hooks into every HTTP
client and server, and would send addresses with whatever stands in them. Its
reports to its maker (statsbeat, live metrics, control plane) are switched off.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mammo import __version__
from mammo.errors import AzureUnset, SettingsInvalid
from mammo.telemetry import Note
from mammo.telemetry.leaving import KEYS, METHOD, ROUTE, STATUS, Leaving

QUIET = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}
EVERY_MS = 60_000
"""How often metrics are sent; spans and lines go every five seconds."""
QUIET_ROUTES = ("/healthz", "/livez", "/readyz", "/metrics")
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "other", "flow", "task")
STAGES = ("receive", "read", "score", "log", "keep")


class AzureMonitor:
    """Telemetry that goes to Application Insights.

    Parameters
    ----------
    role
        Name of the process there, after ``mammo-``.
    connection
        Connection string: ``InstrumentationKey=UUID;IngestionEndpoint=https://…``.
    words
        Known words: see `mammo.telemetry.leaving`.
    """

    on = True

    def __init__(self, role: str, connection: str, words: Collection[str] = ()) -> None:
        os.environ.update(QUIET)
        self._leaving = Leaving([*words, *METHODS, *STAGES])
        self._traces, self._meters, self._logs = _providers(role, connection, self._leaving)
        self._tracer = self._traces.get_tracer("mammo")
        meter = self._meters.get_meter("mammo")
        self._requests = meter.create_counter("mammo.requests")
        self._request_seconds = meter.create_histogram("mammo.request.seconds", "s")
        self._stage_seconds = meter.create_histogram("mammo.stage.seconds", "s")
        self._handler = _lines_to(self._logs.get_logger("mammo"), self._leaving)
        logging.getLogger("mammo").addHandler(self._handler)
        atexit.register(self.close)

    @contextmanager
    def request(self) -> Iterator[Note]:
        """Time a request; the note names it at its end. Quiet ones are not sent."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, use_span

        span = self._tracer.start_span("request", context=Context(), kind=SpanKind.SERVER)
        started = time.perf_counter()

        def note(method: str, route: str, status: int) -> None:
            if route in QUIET_ROUTES:
                span.set_attribute("quiet", True)
                return
            facts = self._leaving.attributes({METHOD: method, ROUTE: route, STATUS: status})
            span.update_name(f"{facts[METHOD]} {facts[ROUTE]}")
            span.set_attributes(facts)
            self._requests.add(1, facts)
            self._request_seconds.record(time.perf_counter() - started, facts)

        with use_span(span, end_on_exit=True, record_exception=False):
            yield note

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage of scoring."""
        facts = self._leaving.attributes({"stage": name})
        started = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"stage {facts['stage']}", attributes=facts, record_exception=False
        ):
            yield
        self._stage_seconds.record(time.perf_counter() - started, facts)

    def make_global(self) -> None:
        """Let libraries that trace by OpenTelemetry (Prefect) send through the same filter."""
        from opentelemetry import trace

        trace.set_tracer_provider(self._traces)

    def close(self) -> None:
        """Send what is left and end."""
        atexit.unregister(self.close)
        logging.getLogger("mammo").removeHandler(self._handler)
        for provider in (self._traces, self._logs, self._meters):
            provider.shutdown()


def _providers(role: str, connection: str, leaving: Leaving) -> tuple[Any, Any, Any]:
    """Return the providers of spans, metrics and lines, each with its exporter."""
    try:
        from azure.monitor.opentelemetry.exporter import (
            AzureMonitorLogExporter,
            AzureMonitorMetricExporter,
            AzureMonitorTraceExporter,
        )
    except ImportError as error:
        raise AzureUnset(
            "MAMMO_AZURE_MONITOR is set: pip install -e '.[azure]' in the checkout"
        ) from error
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.metrics.view import View
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    facts = {"service.name": f"mammo-{role}", "service.version": __version__}
    resource = Resource(facts | {"service.instance.id": uuid.uuid4().hex[:12]})
    # nothing is kept on the disk while Azure is away: it would be outside of MAMMO_HOME
    asked: dict[str, Any] = {"connection_string": connection, "disable_offline_storage": True}
    try:
        of_traces = AzureMonitorTraceExporter(**asked)
        of_metrics = AzureMonitorMetricExporter(**asked)
        of_logs = AzureMonitorLogExporter(**asked)
    except ValueError as error:
        raise SettingsInvalid(f"MAMMO_AZURE_MONITOR is no connection string: {error}") from error
    # a server around us may have a span that it does not sample; ours are ours
    traces = TracerProvider(sampler=ALWAYS_ON, resource=resource)
    traces.add_span_processor(BatchSpanProcessor(_filtered(of_traces, leaving)))
    reader = PeriodicExportingMetricReader(of_metrics, export_interval_millis=EVERY_MS)
    view = View(instrument_name="*", attribute_keys=set(KEYS))
    meters = MeterProvider([reader], resource=resource, views=[view])
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(of_logs))
    return traces, meters, logs


def _filtered(exporter: Any, leaving: Leaving) -> Any:
    """Return an exporter that is handed spans with no more than may leave."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Filtered(SpanExporter):
        def export(self, spans: Sequence[Any]) -> Any:
            kept = [
                _stripped(one, leaving) for one in spans if not (one.attributes or {}).get("quiet")
            ]
            return exporter.export(kept) if kept else SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            exporter.shutdown()

    return Filtered()


def _stripped(span: Any, leaving: Leaving) -> Any:
    """Return a copy of a span: known name and attributes, no events, no description."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Status

    return ReadableSpan(
        name=_name(span, leaving),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=leaving.attributes(span.attributes),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _name(span: Any, leaving: Leaving) -> str:
    """Return a span's name, word by word; Prefect's is the run's, which may be anybody's text."""
    kind = (span.attributes or {}).get("prefect.run.type")
    if kind:
        return f"{leaving.value(kind)} {leaving.value(span.name.rpartition('-')[0])}"
    first, _, rest = span.name.partition(" ")
    known = ("stage", "request")
    told = first if first in known else str(leaving.value(first))
    return f"{told} {leaving.value(rest)}" if rest else told


def _lines_to(logger: Any, leaving: Leaving) -> logging.Handler:
    """Return a handler that sends log lines as far as they may leave."""
    from opentelemetry._logs import LogRecord, SeverityNumber

    levels = {10: 5, 20: 9, 30: 13, 40: 17, 50: 21}  # OpenTelemetry's severity of ours

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sent = LogRecord(
                timestamp=int(record.created * 1e9),
                severity_number=SeverityNumber(levels.get(record.levelno, 9)),
                severity_text=record.levelname,
                body=leaving.line(record),
            )
            logger.emit(sent)

    return Lines(level=logging.INFO)
