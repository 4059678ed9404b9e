"""What Prometheus sees of MAMMO_HOME: the disk, what is in quarantine, what has landed.

Nothing is walked through: a folder of images at full depth holds millions of files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mammo.settings import Settings
from mammo.spared import Spared

LEAST_SECONDS = 15.0
UNREADABLE = "UNREADABLE_REPORT"
"""Stands for a report of the quarantine that cannot be read itself."""


class HomeCollector(Collector):
    """Tells how full the disk is, what was refused, and what waits to be ingested."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._quarantine = Spared(lambda: count_quarantine(settings.quarantine_dir), LEAST_SECONDS)
        self._inbox = Spared(lambda: _landed(settings.inbox_dir), LEAST_SECONDS)

    def collect(self) -> Iterable[Metric]:
        """Yield what there is; of a home that does not exist yet, nothing."""
        if not self._settings.home.exists():
            return
        yield from _disk(self._settings.home)
        yield from self._files()
        refused = GaugeMetricFamily(
            "mammo_quarantine_files", "Files in quarantine, by code.", labels=("code",)
        )
        for code, count in self._quarantine().items():
            refused.add_metric((code,), count)
        yield refused
        count, oldest = self._inbox()
        yield GaugeMetricFamily(
            "mammo_inbox_files", "Files that wait in the inbox for the next ingest.", count
        )
        if oldest is not None:
            yield GaugeMetricFamily(
                "mammo_inbox_oldest_timestamp_seconds",
                "When the file landed that has waited longest in the inbox.",
                oldest,
            )

    def _files(self) -> Iterator[Metric]:
        """Yield the sizes of the single files that grow, and when the index last changed."""
        settings = self._settings
        grow = {
            "log": settings.home / "log.db",
            "spool": settings.spool_dir / "waiting.jsonl",
            "audit": settings.audit_path,
            "gateway": settings.gateway_book,
        }
        sizes = GaugeMetricFamily(
            "mammo_file_size_bytes", "Size of a file that grows.", labels=("file",)
        )
        for name, path in grow.items():
            if path.exists():
                sizes.add_metric((name,), path.stat().st_size)
        yield sizes
        if settings.index_path.exists():
            yield GaugeMetricFamily(
                "mammo_index_changed_timestamp_seconds",
                "When an ingest last changed the exam index.",
                settings.index_path.stat().st_mtime,
            )


def _disk(home: Path) -> Iterator[Metric]:
    usage = shutil.disk_usage(home)
    numbers = {
        "size": ("Size of the file system of MAMMO_HOME.", usage.total),
        "used": ("What is used of it.", usage.used),
        "available": ("What may still be written to it by us.", usage.free),
    }
    for name, (text, value) in numbers.items():
        yield GaugeMetricFamily(f"mammo_disk_{name}_bytes", text, value)


def count_quarantine(folder: Path) -> Counter[str]:
    """Return how many files are in quarantine under each code."""
    return Counter(_code(path) for path in folder.glob("*.json"))


def _code(report: Path) -> str:
    try:
        return str(json.loads(report.read_text())["code"])
    except FileNotFoundError:
        return "RELEASED"  # read again meanwhile: it is no longer in quarantine
    except (OSError, ValueError, KeyError, TypeError):
        return UNREADABLE


def _landed(inbox: Path) -> tuple[int, float | None]:
    """Return how many files are in the inbox, and when the oldest landed (Unix seconds)."""
    if not inbox.is_dir():
        return 0, None
    count, oldest = 0, None
    with os.scandir(inbox) as entries:
        for one in entries:
            if one.name.startswith(".") or not one.is_file():
                continue
            try:
                at = one.stat().st_mtime
            except FileNotFoundError:
                continue  # ingested meanwhile
            count, oldest = count + 1, at if oldest is None else min(oldest, at)
    return count, oldest
