"""Reports and metrics of the loop: ``python -m monitoring.metrics``.

    /            links to what is there
    /…           files under the reports folder: Data Docs, drift reports, plots
    /metrics     what Prometheus scrapes: the log, the control, the episodes, the disk, the flows
    /healthz     200 while the process answers

The standard library's server: static files and one page need no framework.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mammo.settings import Settings, read_settings
from mammo.spared import Spared
from monitoring.flow_metrics import FlowCollector
from monitoring.home_metrics import HomeCollector
from monitoring.loop_metrics import LoopCollector
from monitoring.page import page
from monitoring.process_metrics import ProcessCollector


class MadeCollector(Collector):
    """Tells when its part of the page was made: what is kept too long is seen to be old."""

    def __init__(self, part: str) -> None:
        self._part = part

    def collect(self) -> Iterable[Metric]:
        """Yield the time at which it is asked."""
        made = GaugeMetricFamily(
            "mammo_page_made_timestamp_seconds",
            "When a part of this page was made; log: what asks the database, home: the rest.",
            labels=("part",),
        )
        made.add_metric((self._part,), time.time())
        yield made


class Scrape:
    """The exposition text, kept so long that scrapes take a twentieth of the time at most.

    The disk is told apart from the log: a database that is slow does not make it old.
    """

    def __init__(self, settings: Settings) -> None:
        self._parts = (
            _part("home", HomeCollector(settings), ProcessCollector()),
            _part("log", LoopCollector(settings), FlowCollector(settings)),
        )

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return b"".join(part() for part in self._parts)


def _part(name: str, *collectors: Collector) -> Spared[bytes]:
    registry = CollectorRegistry()
    for one in (MadeCollector(name), *collectors):
        registry.register(one)
    return Spared(lambda: generate_latest(registry))


class ReportsHandler(SimpleHTTPRequestHandler):
    """Static reports, the index page, metrics and health; GET and HEAD only."""

    def __init__(self, *args: Any, scrape: Scrape, settings: Settings, **kwargs: Any) -> None:
        self._scrape, self._settings = scrape, settings
        super().__init__(*args, directory=str(settings.reports_dir), **kwargs)

    def do_GET(self) -> None:
        """Answer the pages made here; leave the rest to the static server."""
        pages: dict[str, Callable[[], tuple[str, bytes]]] = {
            "/": lambda: ("text/html; charset=utf-8", index_page(self._settings).encode()),
            "/metrics": lambda: (CONTENT_TYPE_LATEST, self._scrape.text()),
            "/healthz": lambda: ("application/json", json.dumps({"status": "ok"}).encode()),
        }
        made = pages.get(urlsplit(self.path).path)
        if made is None:
            super().do_GET()
            return
        kind, body = made()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Reports are replaced in place: let browsers ask again."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests: scrapes come every few seconds."""


def index_page(settings: Settings) -> str:
    """Return the page that links to what is under the reports folder."""
    entries = sorted(path for path in settings.reports_dir.glob("*") if path.name[0] != ".")
    links = "".join(f"<li>{_link(path)}</li>" for path in entries)
    empty = (
        "" if entries else "<p>No report yet: `mammo validate` and `mammo monitor` make them.</p>"
    )
    return page(
        "mammo reports",
        [
            "<h1>Reports</h1>",
            f"<ul>{links}</ul>{empty}",
            "<p><a href='/metrics'>Metrics</a> for Prometheus. "
            f"<a href='{escape(settings.service_url)}/docs'>Service</a> · "
            f"<a href='{escape(settings.prefect_ui_url)}'>Prefect</a> · "
            f"<a href='{escape(settings.mlflow_url)}'>MLflow</a></p>",
        ],
    )


def _link(path: Path) -> str:
    words = {"data_docs": "Data Docs (Great Expectations)", "drift": "Drift reports"}
    slash = "/" if path.is_dir() else ""
    return f"<a href='{escape(path.name)}{slash}'>{escape(words.get(path.name, path.name))}</a>"


def make_server(settings: Settings) -> ThreadingHTTPServer:
    """Return the server, bound to ``settings.host`` and ``settings.reports_port``."""
    settings.reports_dir.mkdir(parents=True, exist_ok=True)
    handler = partial(ReportsHandler, scrape=Scrape(settings), settings=settings)
    return ThreadingHTTPServer((settings.host, settings.reports_port), handler)


def main() -> None:
    """Serve until interrupted."""
    # ctrl-c is how it is meant to end
    with make_server(read_settings()) as server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
