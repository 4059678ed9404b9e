"""Removes received files after their days; what they were stays in the book."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from bentos.gateway.ledger import Ledger
from mammo.settings import Settings

DAY_SECONDS = 86_400.0
_log = logging.getLogger("mammo.gateway.keeping")


def sweep_inbox(settings: Settings, ledger: Ledger, now: float) -> int:
    """Remove the files of studies that are over for ``dicom_keep_days``; return how many went.

    A study that waits, or whose reports are not in the outbox yet, keeps its files. The
    row loses its file first: killed in between, the file is an orphan. Orphans, also of
    senders that were never told success, go after a day.
    """
    inbox = settings.gateway_dir / "inbox"
    gone = ledger.forget_files(now - settings.dicom_keep_days * DAY_SECONDS)
    for name in gone:
        (inbox / name).unlink(missing_ok=True)
    orphans = [one for one in _old_files(inbox, now) if not ledger.has_file(_name(one, inbox))]
    for path in orphans:
        path.unlink(missing_ok=True)
    for folder in {inbox / name for name in map(_folder, gone)} | {one.parent for one in orphans}:
        with contextlib.suppress(OSError):  # it is not empty: an incident's bytes, or a new image
            folder.rmdir()
    if gone or orphans:
        _log.info("%d files were removed after their days, %d orphans", len(gone), len(orphans))
    return len(gone) + len(orphans)


def _old_files(inbox: Path, now: float) -> Iterator[Path]:
    """Yield files that nobody is about to book any more."""
    for path in inbox.glob("*/*.dcm"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < now - DAY_SECONDS:
                yield path


def _name(path: Path, inbox: Path) -> str:
    return str(path.relative_to(inbox))


def _folder(name: str) -> str:
    return name.split("/")[0]
