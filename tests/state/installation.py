"""An installation with state of every kind, and what a restored one is compared by."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from mammo.audit import AuditLog
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.engine import log_url
from mammo.prediction_log.tables import METADATA
from mammo.settings import Settings
from mammo.tokens import TokenStore
from tests.bentos.releases import write_release
from tests.gateway.images import image
from tests.gateway.pacs import make_report, outbox_to, peer_at
from tests.prediction_log.rows import T0, outcome, scoring

EXAMS = 40


def fill(settings: Settings) -> None:
    """Predictions, outcomes, an episode, a release, an audit log, tokens, data linked twice."""
    log = PredictionLog(settings.log_url).create()
    for number in range(EXAMS):
        log.append_scoring(f"q-{number}", scoring(f"E-{number}"))
    log.add_outcomes([outcome(f"E-{number}", number % 4 == 0, number) for number in range(20)])
    log.open_episode(
        "Aurora:exposure:1", stratum="Phantom Aurora/A1", cause="covariate", action="recalibrate",
        opened_at=T0, evidence={"p": 0.0004},
    )  # fmt: skip
    log.add_change("r-1", {"what": "released", "why": "the first"})
    log.set_watermark("monitor", EXAMS, {"seen": EXAMS})
    log.close()
    write_release(settings.releases_dir, "r-1")
    audit = AuditLog(settings.audit_path)
    for number in range(5):
        what = ("score", f"E-{number}", "r-1", "recall", 200, f"q-{number}")
        audit.append("ward-3", ["predict"], *what)
    TokenStore(settings.tokens_path).add("ward-3", ["predict"])
    receive(settings)
    settings.pseudonym_key()
    stored = settings.data_dir / "store" / "shards" / "0.npy"
    cached = settings.data_dir / ".dvc" / "cache" / "files" / "md5" / "ab" / "cd"
    for path in (stored, cached):
        path.parent.mkdir(parents=True)
    stored.write_bytes(bytes(range(256)) * 1024)
    stored.chmod(0o444)
    cached.hardlink_to(stored)


def receive(settings: Settings) -> None:
    """An image over DICOM, and a report that waits for an archive."""
    with closing(Inbox(settings)) as inbox:
        assert inbox.take(image(1), "SENDER").status == "stored"
    with closing(outbox_to(settings.home, peer_at(1))) as outbox:
        assert outbox.put("study-1", 1, [make_report("cad")]) == 1


def book_of(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the studies that came in and the deliveries that wait."""
    studies = [one.study for one in Book(settings.gateway_book).studies().studies]
    with closing(outbox_to(settings.home, peer_at(1))) as outbox:
        return studies, [f"{one.study} {one.kind} {one.state}" for one in outbox.deliveries()]


def tables_of(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of the log."""
    engine = sa.create_engine(log_url(settings.log_url), poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table)).fetchall()]
            for table in METADATA.sorted_tables
        }


def files_of(home: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a home that is no database, lock or output."""
    own = (one for one in home.rglob("*") if one.is_file() and not _is_kept_otherwise(one))
    return {str(one.relative_to(home)): hashlib.sha256(one.read_bytes()).hexdigest() for one in own}


def _is_kept_otherwise(path: Path) -> bool:
    return ".db" in path.name or ".sqlite" in path.name or path.name.endswith(".lock")
