"""One file while it comes: in memory, and on disk above the request's share of memory."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from mammo.data.durable import make_folder, storing
from mammo.errors import DiskFull, StoreReadOnly, TooLarge

MB = 2**20
MEMORY_BYTES = 128 * MB
"""How much of one request is held in memory while it comes: a whole uncompressed exam.

A slow caller with a large body holds no more than this.
"""
LEAST_FREE_BYTES = 512 * MB
"""What requests leave free of the home's disk while they come.

The log and its spool lie there too: senders that are slow, or state no length, must not
take the room in which the others' predictions are kept.
"""
START_BYTES = 132
WHERE = "where requests are held while they come; nothing was scored."
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class ReceivedFile:
    """A file's bytes and the name under which the caller sent it."""

    name: str
    data: bytes

    @cached_property
    def sha256(self) -> bytes:
        """Digest of the bytes; worked out while other files still come where it will be asked."""
        return hashlib.sha256(self.data).digest()


def looks_like_zip(start: bytes) -> bool:
    """True for a file's first 132 bytes that begin a ZIP and not a DICOM file.

    The preamble of a DICOM file (PS3.10 section 7.1) may hold anything, the
    beginning of a ZIP as well; what is behind it decides.
    """
    return start.startswith(_ZIP_MAGIC) and start[128:132] != b"DICM"


class Arriving:
    """A file of which bytes still come; at most ``max_bytes``, unless it is a ZIP.

    A ZIP may hold many files: its own size is bounded by the request's, theirs when
    it is unpacked. The chunks are kept as they came and joined once. What memory does
    not hold lies in ``folder``, of the home: it names patients.
    """

    def __init__(self, name: str, max_bytes: int, folder: Path) -> None:
        self.name, self.size, self.start = name, 0, b""
        self._max_bytes, self._folder = max_bytes, folder
        self._chunks: list[bytes] = []
        self._spilt: IO[bytes] | None = None
        self._settled: ReceivedFile | None = None
        self.held_bytes = 0

    def write(self, chunk: bytes, what: str) -> None:
        """Keep a chunk. Raises TooLarge, which calls the file ``what``."""
        if len(self.start) < START_BYTES:
            self.start = (self.start + chunk[:START_BYTES])[:START_BYTES]
        self.size += len(chunk)
        self.held_bytes += len(chunk)
        self._chunks.append(chunk)
        if self.size > self._max_bytes and not looks_like_zip(self.start):
            raise TooLarge(above_limit(what, self._max_bytes))

    def spill(self) -> None:
        """Move what is in memory to an unnamed file of the folder.

        Raises DiskFull, also where less than `LEAST_FREE_BYTES` would be left, and StoreReadOnly.
        """
        try:
            make_folder(self._folder, mode=0o700)
            self._require_room()
            with storing(self._folder):
                if self._spilt is None:
                    self._spilt = TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` does
                self._spilt.writelines(self._chunks)
        except DiskFull as error:  # said anew: a caller is not told of folders
            raise DiskFull(f"The disk is full {WHERE}") from error
        except StoreReadOnly as error:
            raise StoreReadOnly(f"The disk cannot be written to {WHERE}") from error
        self._chunks, self.held_bytes = [], 0

    def _require_room(self) -> None:
        free = shutil.disk_usage(self._folder).free
        if self._chunks and free - self.held_bytes < LEAST_FREE_BYTES:
            raise DiskFull(f"{free // MB} MB are free")

    def settle(self, digest: bool) -> None:
        """Join a file that is whole, in a thread, while others still come; digest it if asked."""
        if self._spilt is None and not looks_like_zip(self.start):
            self._settled, self._chunks = ReceivedFile(self.name, b"".join(self._chunks)), []
            if digest:
                assert self._settled.sha256

    def open(self) -> IO[bytes]:
        """Return the whole file for reading, once."""
        if self._spilt is None:
            data, self._chunks = b"".join(self._chunks), []
            return BytesIO(data)
        self.spill()
        self._spilt.seek(0)
        return self._spilt

    def receive(self) -> ReceivedFile:
        """Return the whole file, once; the memory it came in is given back."""
        return self._settled or ReceivedFile(self.name, self.open().read())

    def close(self) -> None:
        """Throw everything away."""
        self._chunks, self._settled, self.held_bytes = [], None, 0
        if self._spilt is not None:
            self._spilt.close()


def above_limit(what: str, limit: int) -> str:
    """Return what a refusal above a limit says."""
    return (
        f"{what} is above the limit of {limit // MB} MB. "
        "MAMMO_MAX_FILE_MB and MAMMO_MAX_REQUEST_MB set the limits."
    )
