"""Takes an object in: bytes to the disk, then a row in the book, then the sender is told.

Whoever was told "taken" can forget the object: file, folder and row are on the disk.
Killed before that, the sender was told nothing and sends again; what lies there of it
is taken over (a file is named by its content) or swept. The sweep goes on meanwhile, and may
be another process: a file is booked, and removed, under the book's lock alone.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bentos.gateway.arrival import Arrival
from bentos.gateway.bookings import SAME_UID_OTHER_BYTES, Booked, Bookings
from mammo.data.durable import storing, sweep_drafts, write_file
from mammo.errors import DiskFull, MammoError, ReadError, StoreReadOnly, TooLarge
from mammo.folder_entries import sync_folder
from mammo.settings import Settings

MB = 2**20
NO_ROOM = (DiskFull, StoreReadOnly, sqlite3.OperationalError)
"""SQLite says of a quota, a failing disk and a lock that stays held that it cannot go on now."""
BOOK_UNWRITABLE = "BOOK_UNWRITABLE"
MOST_WRITES = 5
"""How often an object is written that the sweep removes before it is booked; it comes hourly."""
Status = Literal["stored", "known", "incident", "no room", "refused"]
"""New; the same bytes again; the same UID with other bytes, both kept; the disk is full or
cannot be written, nothing kept; nothing kept, and another try would end the same."""


@dataclass(frozen=True)
class Taken:
    """What became of an object: ``code`` and ``text`` where it was not simply stored."""

    status: Status
    code: str | None = None
    text: str = ""
    arrival: Arrival | None = None

    @property
    def is_kept(self) -> bool:
        """True when the object is on the disk and booked."""
        return self.status in ("stored", "known", "incident")


class Inbox:
    """The inbox of an installation; several processes may take in at a time.

    Parameters
    ----------
    settings
        Where it lies, the limits on size and on free disk.
    on_stored
        Called after each new object, to wake who waits for studies.
    """

    def __init__(self, settings: Settings, on_stored: Callable[[], None] | None = None) -> None:
        self.folder = settings.gateway_dir / "inbox"
        self._max_bytes = settings.dicom_max_mb * MB
        self._least_free = settings.dicom_free_mb * MB
        self._key, self._on_stored = settings.pseudonym_key(), on_stored or _nothing
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.gateway_dir.chmod(0o700)
        self._bookings = Bookings(settings.gateway_book)
        self._making = threading.Lock()

    def close(self) -> None:
        """Close the book."""
        self._bookings.close()

    def sweep(self) -> None:
        """Remove half-written files of killed writers."""
        sweep_drafts(self.folder)

    def take(
        self,
        data: bytes,
        source: str,
        expected: tuple[str, str] | None = None,
        study_uid: str | None = None,
    ) -> Taken:
        """Keep a Part 10 file, of ``source`` (an AE title, or ``stow``).

        ``expected`` are SOP class and instance UID as the sender's command named them,
        ``study_uid`` is the study that it is to be of. Never raises for what a sender or a
        full disk can cause.
        """
        try:
            arrival = self._read(data, source)
        except ReadError as error:
            return self._refused(None, error.code, error.message, source)
        if expected is not None and expected != (arrival.sop_class, arrival.sop_instance):
            text = "SOP class or instance of the data set are not those of the command."
            return self._refused(arrival, "IDENTITY_MISMATCH", text, source)
        if study_uid is not None and study_uid != arrival.study_uid:
            text = "The object is of another study than the one that it was sent to."
            return self._refused(arrival, "STUDY_MISMATCH", text, source)
        try:
            return self._keep(arrival, source)
        except NO_ROOM as error:
            return _no_room(error, arrival)

    def _read(self, data: bytes, source: str) -> Arrival:
        return Arrival.read(data, self._key, self._max_bytes)

    def too_large(self, source: str) -> Taken:
        """Refuse an object that is larger than `dicom_max_mb`, of which nothing was kept."""
        error = TooLarge(f"The object is above {self._max_bytes // MB} MB (MAMMO_DICOM_MAX_MB).")
        return self._refused(None, error.code, error.message, source)

    def _keep(self, one: Arrival, source: str) -> Taken:
        with storing(self.folder):
            booked = self._book(one, source)
        if booked == "incident":
            text = "The UID is known with other bytes; both are kept, the first one counts."
            return Taken("incident", SAME_UID_OTHER_BYTES, text, one)
        if booked == "known":
            return Taken("known", arrival=one)
        self._on_stored()
        return Taken("stored", arrival=one)

    def _book(self, one: Arrival, source: str) -> Booked:
        """Write the object and book it, or book it alone where its file should be there."""
        path = self.folder / one.file
        known = self._bookings.known(one.image)
        is_booked = known is not None and known[2] == one.file
        for _ in range(MOST_WRITES):
            if not is_booked:
                self._write(path, one.data)
            booked = self._bookings.book(one, path, source, time.time())
            if booked is not None:
                return booked
            is_booked = False
        raise MammoError("The object's file went each time before it was booked.")

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file; it is not there afterwards if the sweep took its folder meanwhile."""
        if shutil.disk_usage(self.folder).free - len(data) < self._least_free:
            raise DiskFull("the disk has less free than MAMMO_DICOM_FREE_MB")
        with contextlib.suppress(FileNotFoundError):
            with self._making:
                path.parent.mkdir(mode=0o700, exist_ok=True)  # another process may be faster
                if not any(path.parent.iterdir()):  # else it was flushed before its first file
                    sync_folder(self.folder)
            write_file(path, lambda stream: stream.write(data), self.folder)

    def _refused(self, one: Arrival | None, code: str, text: str, source: str) -> Taken:
        """Book a refusal as an incident; on a full disk there is no room for that either."""
        study, image = (None, None) if one is None else (one.study, one.image)
        try:
            with storing(self.folder):
                self._bookings.refuse(study, image, code, text, source, time.time())
        except NO_ROOM as error:
            return _no_room(error, one)
        return Taken("refused", code, text, one)


def _no_room(error: Exception, one: Arrival | None) -> Taken:
    code = error.code if isinstance(error, MammoError) else BOOK_UNWRITABLE
    return Taken("no room", code, "The disk is full or cannot be written.", one)


def _nothing() -> None:
    return None
