"""Files of whole lines that several processes append to and no crash tears.

A line is on the disk when `append` returns. Writers take turns under a lock
(``flock`` on a file beside, so that the lines may be cut to nothing). A writer
killed in the middle leaves half a line at the end; the next one finds and ends it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mammo.errors import DiskFull, StoreReadOnly
from mammo.folder_entries import sync_folder

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
READ_ONLY = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
BLOCK = 1 << 16


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file ``path``; False where another holds it and ``wait`` is off.

    Excludes threads as well as processes. It ends with the process that holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            # not left to close(): a process forked meanwhile would keep the lock
            fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


class DurableLines:
    """One file of lines, mode 0600 in a folder of mode 0700; made with the first line.

    `append`, `end` and `last` expect the caller to hold `locked`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_path = path.with_suffix(".lock")

    @property
    def size_bytes(self) -> int:
        """Bytes in the file; 0 where there is none. Costs one system call, no lock."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be alone in writing.

        Raises
        ------
        DiskFull, StoreReadOnly
            The folder or the lock file cannot be made, or the body met such a refusal.
        """
        with storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.lock_path):
                yield

    def append(self, *lines: bytes) -> None:
        """Write lines (each ends with its only newline) and flush them to the disk.

        Where the disk takes a part only, that part is cut off again.

        Raises
        ------
        DiskFull, StoreReadOnly
        """
        with storing(self.path):
            fresh = not self.path.exists()
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                self._write(handle, b"".join(lines))
            finally:
                os.close(handle)
            if fresh:
                sync_folder(self.path.parent)

    def _write(self, handle: int, content: bytes) -> None:
        before = os.fstat(handle).st_size
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, before)
            raise

    def half_line(self) -> bytes:
        """Return what stands after the last newline: empty unless a writer was killed."""
        return self._tail(before=self.size_bytes)

    def last_line(self) -> bytes | None:
        """Return the last whole line without its newline, or None in an empty file."""
        end = self.size_bytes - len(self.half_line())
        return self._tail(before=end - 1) if end else None

    def cut_half_line(self) -> bytes:
        """Cut off and return what a killed writer left after the last newline."""
        half = self.half_line()
        if half:
            os.truncate(self.path, self.size_bytes - len(half))
        return half

    def _tail(self, *, before: int) -> bytes:
        """Return the bytes from the last newline in front of ``before`` up to there."""
        if before <= 0:
            return b""
        found = b""
        with self.path.open("rb") as stream:
            while before > 0:
                start = max(0, before - BLOCK)
                stream.seek(start)
                block = stream.read(before - start)
                cut = block.rfind(b"\n")
                found = block[cut + 1 :] + found
                if cut >= 0:
                    break
                before = start
        return found


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Give the kernel's refusals their codes; the message names the file, not its folder.

    Raises
    ------
    DiskFull, StoreReadOnly
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno in FULL:
            raise DiskFull(
                f"{path.name} cannot take another line ({reason}); nothing of it was kept: "
                "make room or raise the limit, then try again"
            ) from error
        if error.errno in READ_ONLY:
            raise StoreReadOnly(
                f"{path.name} cannot be written to ({reason}): mount its folder writable and "
                "give this user the right to write, then try again"
            ) from error
        raise
