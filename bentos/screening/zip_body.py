"""The DICOM files inside a ZIP, read in memory and never written to disk by name.

A ZIP comes from strangers: its directory may lie about sizes, its files may
overlap, and a few kilobytes may unpack to gigabytes (D. Fifield, A better zip
bomb, WOOT 2019). So every file is bounded while it is unpacked, all of them
together as well, and what the directory says is only a first check.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from bentos.screening.received import START_BYTES, ReceivedFile, looks_like_zip
from mammo.errors import ArchiveBomb, ArchiveInvalid, MammoError, TooLarge

MAX_RATIO = 200
"""Unpacked to packed. Mammograms give 2 to 10, a black image 1,000; deflate ends at 1,032."""
FREE_BYTES = 16 * 2**20
"""What any ZIP may unpack to: a small image may well be all black."""
MAX_MEMBERS = 10_000
"""Of a ZIP's directory, folders and leftovers included."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_CHUNK = 2**20
_LEFT_OVER = ("__MACOSX", ".DS_Store", "Thumbs.db", "DICOMDIR")


class Archive:
    """A ZIP of DICOM files; folders, __MACOSX, DICOMDIR and the like are passed over.

    ``what`` is how errors call it: a name inside could be a patient's.
    """

    def __init__(self, stream: IO[bytes], size: int, what: str, max_file_bytes: int) -> None:
        self._stream, self._size, self._what = stream, size, what
        self._max_file_bytes = max_file_bytes

    def read(self, max_total_bytes: int, max_files: int) -> list[ReceivedFile]:
        """Unpack every file, in the order of the directory.

        Raises
        ------
        ArchiveInvalid
            Broken, encrypted, a ZIP inside, or packed with more than deflate.
        ArchiveBomb
            It unpacks to more than 200 times its size.
        TooLarge
            One file, all together, or their number is above the limit.
        """
        try:
            with zipfile.ZipFile(self._stream) as archive:
                members = self._members(archive, max_files)
                return list(self._unpacked(archive, members, max_total_bytes))
        except MammoError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError) as error:
            raise ArchiveInvalid(f"{self._what} is a broken ZIP; nothing was scored.") from error
        except (NotImplementedError, RuntimeError) as error:
            raise ArchiveInvalid(
                f"{self._what} is a ZIP of a kind that is not read; use deflate, no password."
            ) from error

    def _members(self, archive: zipfile.ZipFile, max_files: int) -> list[zipfile.ZipInfo]:
        found = archive.infolist()
        members = [one for one in found if not (one.is_dir() or _is_left_over(one.filename))]
        if len(members) > max_files or len(found) > MAX_MEMBERS:
            raise TooLarge(f"{self._what} holds more files than the {max_files} that are read.")
        for position, one in enumerate(members, start=1):
            self._require_plain(one, position)
        self._require_ratio(sum(one.file_size for one in members))
        return members

    def _require_plain(self, member: zipfile.ZipInfo, position: int) -> None:
        if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
            raise ArchiveInvalid(
                f"{self._what}: file {position} inside is encrypted or packed with another method "
                "than deflate; pack it without a password."
            )

    def _require_ratio(self, unpacked: int) -> None:
        if unpacked > max(MAX_RATIO * self._size, FREE_BYTES):
            raise ArchiveBomb(
                f"{self._what} unpacks to more than {MAX_RATIO} times its size of "
                f"{self._size:,} bytes; send the files as they are."
            )

    def _unpacked(
        self, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], left: int
    ) -> Iterator[ReceivedFile]:
        total = 0
        for position, member in enumerate(members, start=1):
            what = f"{self._what}: file {position} inside"
            with archive.open(member) as stream:
                data = self._bounded(stream, what, left - total, total)
            if looks_like_zip(data[:START_BYTES]):
                raise ArchiveInvalid(f"{what} is a ZIP itself; pack the DICOM files in one ZIP.")
            total += len(data)
            yield ReceivedFile(member.filename, data)

    def _bounded(self, stream: IO[bytes], what: str, left: int, before: int) -> bytes:
        """Read to the end; the limits hold whatever the directory says of the size."""
        data = bytearray()
        while chunk := stream.read(_CHUNK):
            data += chunk
            self._require_ratio(before + len(data))
            if len(data) > self._max_file_bytes:
                raise TooLarge(f"{what} is above the limit of {self._max_file_bytes >> 20} MB.")
            if len(data) > left:
                raise TooLarge(f"{what}: all files unpacked are above the limit of the request.")
        return bytes(data)


def _is_left_over(name: str) -> bool:
    return any(part in _LEFT_OVER or part.startswith("._") for part in PurePosixPath(name).parts)
