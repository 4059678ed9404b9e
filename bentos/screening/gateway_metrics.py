"""What Prometheus sees of the gateway: read from its book when the service is scraped.

The gateway has no port for HTTP of its own, and the numbers are there while it is down:
``mammo_gateway_up`` is then 0, and studies that wait are seen to wait. The book is counted
only now and then (`mammo.spared`), however often somebody asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.gateway.alive import is_alive, open_associations
from bentos.gateway.book import Book
from bentos.gateway.outbox_tables import STATES as DELIVERY_STATES
from bentos.gateway.tables import reading
from mammo.settings import Settings
from mammo.spared import Spared

Rows = list[sqlite3.Row]
OPEN = "('waiting', 'scoring')"
QUERIES = {
    "images": "SELECT coalesce(code, 'none'), count(*) FROM images GROUP BY code",
    "incidents": "SELECT code, count(*) FROM incidents GROUP BY code",
    "oldest": f"SELECT min(last_received_at) FROM studies WHERE state IN {OPEN}",
    "newest": "SELECT max(last_received_at) FROM studies",
}
OUTBOX_QUERIES = {
    "deliveries": "SELECT destination, state, count(*) FROM deliveries GROUP BY 1, 2",
    "outbox_oldest": "SELECT destination, min(put_at) FROM deliveries "
    "WHERE state IN ('waiting', 'sending', 'stuck') GROUP BY destination",
    "failures": "SELECT name, failures FROM destinations",
}


class GatewayCollector(Collector):
    """Tells, when asked, how many studies are in each state, and what waits to be sent."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._book = settings, Book(settings.gateway_book)
        self._counts = Spared(self._book.counts)
        self._rows = Spared(lambda: _rows(settings))

    def collect(self) -> Iterable[Metric]:
        """Yield what there is; nothing where no gateway ever ran here.

        Of a book that cannot be read only ``mammo_gateway_book_up 0`` is told.
        """
        if not self._settings.gateway_book.exists():
            return
        yield GaugeMetricFamily(
            "mammo_gateway_up", "1 while the gateway receives.", int(is_alive(self._settings))
        )
        yield GaugeMetricFamily(
            "mammo_gateway_associations",
            "DICOM associations that are open, told every two seconds.",
            open_associations(self._settings),
        )
        yield GaugeMetricFamily(
            "mammo_gateway_associations_limit",
            "Associations that may be open at a time (MAMMO_DICOM_ASSOCIATIONS).",
            self._settings.dicom_associations,
        )
        try:
            told = [*self._studies(), *_came(self._rows()), *_outbox(self._rows())]
        except (sqlite3.Error, OSError):
            # the service scores all the same: its page must not go with the gateway's book
            told = []
        yield GaugeMetricFamily(
            "mammo_gateway_book_up", "1 when the gateway's book can be read.", int(bool(told))
        )
        yield from told

    def _studies(self) -> Iterator[Metric]:
        counts = dict(self._counts())
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


def _rows(settings: Settings) -> dict[str, Rows]:
    """Return the rows of every query, in one look at the book."""
    with reading(settings.gateway_book) as book:
        if book is None:
            return {name: [] for name in (*QUERIES, *OUTBOX_QUERIES)}
        found = {name: book.execute(query).fetchall() for name, query in QUERIES.items()}
        has = book.execute("SELECT 1 FROM sqlite_master WHERE name = 'deliveries'").fetchone()
        for name, query in OUTBOX_QUERIES.items():
            found[name] = book.execute(query).fetchall() if has else []
        return found


def _came(rows: dict[str, Rows]) -> Iterator[Metric]:
    """Yield what was received and what was wrong with it, and how old it is."""
    images = CounterMetricFamily(
        "mammo_gateway_images",
        "Objects received by DICOM, by the code for which they are not scored; none: they are.",
        labels=["code"],
    )
    incidents = CounterMetricFamily(
        "mammo_gateway_incidents_by_code", "Incidents of the gateway, by code.", labels=["code"]
    )
    for family, name in ((images, "images"), (incidents, "incidents")):
        for code, count in rows[name]:
            family.add_metric([code], count)
        yield family
    times = {
        "oldest": (
            "mammo_gateway_oldest_waiting_timestamp_seconds",
            "When the study that has waited longest to be scored was received.",
        ),
        "newest": (
            "mammo_gateway_last_received_timestamp_seconds",
            "When the last object was received.",
        ),
    }
    for name, (metric, text) in times.items():
        told = GaugeMetricFamily(metric, text, labels=[])
        for (at,) in rows[name]:
            if at is not None:
                told.add_metric([], at)
        yield told


def _outbox(rows: dict[str, Rows]) -> Iterator[Metric]:
    """Yield the documents of each destination by state, all states, and how it does."""
    documents = GaugeMetricFamily(
        "mammo_gateway_documents",
        "Documents for destinations of peers.yaml, by state.",
        labels=["destination", "state"],
    )
    counts = {(name, state): count for name, state, count in rows["deliveries"]}
    for destination in sorted({name for name, _ in counts}):
        for state in DELIVERY_STATES:
            documents.add_metric([destination, state], counts.get((destination, state), 0))
    yield documents
    oldest = GaugeMetricFamily(
        "mammo_gateway_outbox_oldest_timestamp_seconds",
        "When the document was made that has waited longest for its destination.",
        labels=["destination"],
    )
    failures = GaugeMetricFamily(
        "mammo_gateway_destination_failures",
        "Attempts in a row that failed to reach a destination.",
        labels=["destination"],
    )
    for family, name in ((oldest, "outbox_oldest"), (failures, "failures")):
        for destination, value in rows[name]:
            family.add_metric([destination], value)
        yield family
