"""Removes received files after their days; what they were stays in the book."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from bentos.gateway.ledger import Ledger
from mammo.data.durable import sweep_drafts
from mammo.settings import Settings

DAY_SECONDS = 86_400.0
_log = logging.getLogger("mammo.gateway.keeping")


def sweep_inbox(settings: Settings, ledger: Ledger, now: float) -> int:
    """Remove the files of studies that are over for ``dicom_keep_days``; return how many went.

    A study that waits, or whose reports are not in the outbox yet, keeps its files. The
    row loses its file first: killed in between, the file is an orphan. Orphans, also of
    senders that were never told success, go after a day. What is sent again meanwhile
    stays (`Ledger.remove_file`). Drafts of killed writers go at once, such as of a service
    that took in by STOW-RS: only the gateway sweeps.
    """
    inbox = settings.gateway_dir / "inbox"
    sweep_drafts(inbox)
    over = ledger.forget_files(now - settings.dicom_keep_days * DAY_SECONDS)
    gone = [name for name in over if ledger.remove_file(inbox, name)]
    left = [name for name in _old_files(inbox, now) if not ledger.has_file(name)]
    orphans = [name for name in left if ledger.remove_file(inbox, name)]
    for folder in {(inbox / name).parent for name in (*gone, *orphans)}:
        with contextlib.suppress(OSError):  # it is not empty: an incident's bytes, or a new image
            folder.rmdir()
    if gone or orphans:
        _log.info("%d files were removed after their days, %d orphans", len(gone), len(orphans))
    return len(gone) + len(orphans)


def _old_files(inbox: Path, now: float) -> Iterator[str]:
    """Yield the names of files that nobody is about to book any more."""
    for path in inbox.glob("*/*.dcm"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < now - DAY_SECONDS:
                yield str(path.relative_to(inbox))
