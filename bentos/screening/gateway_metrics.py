"""What Prometheus sees of the gateway: read from its book when the service is scraped.

The gateway has no port for HTTP of its own, and the numbers are there while it is down:
``mammo_gateway_up`` is then 0, and studies that wait are seen to wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.gateway.alive import is_alive
from bentos.gateway.book import Book
from bentos.gateway.tables import reading
from mammo.settings import Settings

WAITS = "SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state"


class GatewayCollector(Collector):
    """Tells, when asked, how many studies are in each state, and what waits to be sent."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._book = settings, Book(settings.gateway_book)

    def collect(self) -> Iterable[Metric]:
        """Yield what there is; nothing where no gateway ever ran here."""
        if not self._settings.gateway_book.exists():
            return
        up = int(is_alive(self._settings))
        yield GaugeMetricFamily("mammo_gateway_up", "1 while the gateway receives.", up)
        counts = self._book.counts()
        yield GaugeMetricFamily(
            "mammo_gateway_incidents",
            "Studies with something that an administrator should look at.",
            counts.pop("incident"),
        )
        studies = GaugeMetricFamily(
            "mammo_gateway_studies", "Studies that came by DICOM, by state.", labels=["state"]
        )
        for state, count in counts.items():
            studies.add_metric([state], count)
        yield studies
        yield self._outbox()

    def _outbox(self) -> Metric:
        told = GaugeMetricFamily(
            "mammo_gateway_documents",
            "Documents for destinations of peers.yaml, by state.",
            labels=["destination", "state"],
        )
        with reading(self._settings.gateway_book) as book:
            for destination, state, count in [] if book is None else _deliveries(book):
                told.add_metric([destination, state], count)
        return told


def _deliveries(book: sqlite3.Connection) -> list[sqlite3.Row]:
    known = book.execute("SELECT 1 FROM sqlite_master WHERE name = 'deliveries'").fetchone()
    return book.execute(WAITS).fetchall() if known else []
