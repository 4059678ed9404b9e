"""Files that are whole or not there, also after a power cut or on a full disk.

A file is written as a draft in the staging folder, flushed to the disk, and
then moved to its place in one step; the folder is flushed too. A draft holds a
lock while its writer lives, so that what a killed writer left can be told from
what is being written. What the kernel refuses becomes `DiskFull` or
`StoreReadOnly`, with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mammo.errors import DataError, DiskFull, MammoError, StoreReadOnly
from mammo.folder_entries import sync_folder

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
READ_ONLY = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
SQLITE = {
    "SQLITE_FULL": errno.ENOSPC,
    "SQLITE_READONLY": errno.EROFS,
    "SQLITE_CANTOPEN": errno.EROFS,
}
"""How SQLite's errors begin, in which DVC keeps its state -> what they mean."""
LAST_BYTES = 2**20
DRAFT = ".draft-"
LINK_SECONDS = 3600
"""A link is made and moved in milliseconds; clocks of hosts may differ by minutes."""


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Give the kernel's refusals to write below ``folder`` their codes.

    Raises
    ------
    DiskFull
        No space, no quota, or a file above the process's size limit.
    StoreReadOnly
        The file system is read-only, or the user may not write there.
    """
    try:
        yield
    except MammoError:
        raise
    except Exception as error:
        if (named := _named(error, folder)) is None:
            raise
        raise named from error


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder with its parents, unless it is there."""
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=mode)


def write_file(path: Path, write: Callable[[BinaryIO], object], drafts: Path) -> None:
    """Write ``path`` in one step; ``drafts`` is a folder on the same file system.

    The file is on the disk when this returns, and nothing of it is when it raises.
    """
    make_folder(drafts)
    make_folder(path.parent)
    with storing(path.parent), _draft(drafts) as (draft, handle):
        write(handle)
        handle.flush()
        os.fsync(handle.fileno())
        draft.replace(path)
        sync_folder(path.parent)


def write_text(path: Path, text: str, drafts: Path) -> None:
    """Write a text file (UTF-8) in one step; see `write_file`."""
    write_file(path, lambda handle: handle.write(text.encode()), drafts)


def move_file(path: Path, folder: Path) -> None:
    """Move a file into a folder of the same file system, in one step."""
    make_folder(folder)
    with storing(folder):
        path.replace(folder / path.name)


def replace_by_link(path: Path, original: Path, drafts: Path) -> None:
    """Make ``path``, of the same bytes, a hard link to ``original``, in one step."""
    link = drafts / f"{DRAFT}{secrets.token_hex(8)}"
    with storing(path.parent):
        link.hardlink_to(original)
        link.replace(path)


def sweep_drafts(drafts: Path) -> None:
    """Remove the drafts of writers that no longer live."""
    for path in drafts.glob(f"{DRAFT}*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            _sweep(path)


def _sweep(draft: Path) -> None:
    try:
        handle = draft.open("r+b")  # over NFS only who may write may lock
    except PermissionError:  # a link to a read-only file of the cache, or another user's draft
        if draft.stat().st_ctime < time.time() - LINK_SECONDS:
            draft.unlink()
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.unlink()


@contextmanager
def _draft(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Give a locked draft; it is removed unless it was moved away."""
    draft, stream = _open_draft(folder)
    try:
        with stream:
            yield draft, stream
    finally:
        with contextlib.suppress(OSError):  # moved away, or the file system has become read-only
            draft.unlink()


def _open_draft(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        draft = folder / f"{DRAFT}{secrets.token_hex(8)}"
        stream = draft.open("xb")
        fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:
            return draft, stream
        stream.close()  # swept between its making and its locking


def _named(error: Exception, folder: Path) -> DataError | None:
    numbers = (_errno_of(cause, folder) for cause in _causes(error))
    number = next((number for number in numbers if number in FULL | READ_ONLY), None)
    if number is None:
        return None
    reason = os.strerror(number)
    if number in FULL:
        return DiskFull(
            f"{folder} cannot take another file ({reason}; {_free_bytes(folder) / 2**20:,.0f} MB "
            "are free): make room or raise the limit, then run the same command again; it goes on "
            "where it stopped"
        )
    return StoreReadOnly(
        f"{folder} cannot be written to ({reason}): mount it writable, give this user the right "
        "to write, or set another MAMMO_HOME; then run the same command again"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _errno_of(error: BaseException, folder: Path) -> int | None:
    """Return what the disk answered, also where it was SQLite that asked."""
    if isinstance(error, OSError):
        return error.errno
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_IOERR") and _free_bytes(folder) < LAST_BYTES:
        return errno.ENOSPC  # what SQLite says when its shared memory finds no room
    return next((number for start, number in SQLITE.items() if name.startswith(start)), None)


def _free_bytes(folder: Path) -> int:
    """Return what is free on the nearest folder above that exists."""
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(place).free
