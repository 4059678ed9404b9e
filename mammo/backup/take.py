"""Taking a backup: into a draft beside its place, which gets its name when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mammo.backup.contents import Found, find_contents, is_secret
from mammo.backup.home_copy import HomeCopy, reading
from mammo.backup.manifest import Manifest, seal_manifest
from mammo.data.durable import storing
from mammo.durable_lines import locked
from mammo.errors import BackupExists, DiskFull, SourceNotFound
from mammo.folder_entries import sync_folder
from mammo.settings import Settings

DRAFT = ".mammo-backup-"
INSIDE = (
    "the backup would lie inside of MAMMO_HOME, and hold itself: give another place, better on "
    "another disk"
)
SPARE_BYTES = 64 * 2**20

Progress = Callable[[str, int, int], None]
"""Called with a stage, and how much of its total is done (megabytes)."""


@dataclass(frozen=True)
class Taken:
    """A finished backup: its folder and what is in it."""

    folder: Path
    manifest: Manifest


def take_backup(
    settings: Settings,
    folder: Path,
    *,
    secrets: bool = True,
    without: Sequence[str] = (),
    progress: Progress | None = None,
) -> Taken:
    """Copy all state into ``folder``, which must not be there yet; the installation may run.

    Parameters
    ----------
    secrets
        Copy the keys, too. Without them a restored installation cannot continue the audit
        log, nor give a known patient the same pseudonym, unless they are put back by hand.
    without
        Patterns of paths to leave out besides, e.g. ``images`` or ``inbox``.

    Raises
    ------
    SourceNotFound
        There is no home.
    BackupExists
        The folder is there and not empty, or another backup writes to it now.
    DiskFull, StoreReadOnly, BackupInvalid, DumpFailed
        Nothing is left of the backup.
    """
    home, folder = settings.home.resolve(), folder.absolute()
    if not home.is_dir():
        raise SourceNotFound(f"there is no MAMMO_HOME {home.name}: nothing to back up")
    if folder.resolve().is_relative_to(home):
        raise BackupExists(INSIDE)
    _require_free_place(folder)
    with storing(folder.parent), _draft(folder) as draft:
        left_out = [*without, *(["secrets"] if not secrets else [])]

        def find() -> list[Found]:
            with reading(home):
                found = find_contents(home, without)
            return [one for one in found if secrets or not is_secret(one.path)]

        kept = find()
        _require_outside(folder, kept)
        _require_room(folder.parent, kept)
        copy = HomeCopy(settings, home, draft, _steps(kept, progress))
        manifest = copy.take(find, tuple(left_out))
        seal_manifest(draft, manifest)
        os.sync()  # once: to flush each of thousands of files takes minutes
        draft.rename(folder)  # onto an empty folder, if there is one
        sync_folder(folder.parent)
    return Taken(folder, manifest)


def _require_free_place(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupExists(
            f"{folder.name} is there already and not empty: a backup never overwrites; name a new "
            "folder, e.g. by the date"
        )


def _require_outside(folder: Path, contents: Sequence[Found]) -> None:
    """Refuse a place that a link in the home leads to."""
    above = {(one.st_dev, one.st_ino) for one in (up.stat() for up in folder.resolve().parents)}
    folders = (one for one in contents if one.kind == "folder")
    # the outermost comes first: the link, or a folder in what it leads to
    found = next((one for one in folders if (one.status.st_dev, one.status.st_ino) in above), None)
    if found:
        raise BackupExists(
            f"{found.path} in MAMMO_HOME leads to the place of this backup, which would hold "
            f"itself: leave it out (--without {found.path}), or give another place"
        )


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """Give the draft's folder under a lock; what a killed run left there is removed first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    draft = folder.parent / f"{DRAFT}{folder.name}"
    with locked(draft.with_name(f"{draft.name}.lock"), wait=False) as alone:
        if not alone:
            raise BackupExists(f"another `mammo backup` writes {folder.name} now")
        draft.mkdir(mode=0o700)
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            draft.with_name(f"{draft.name}.lock").unlink(missing_ok=True)


def _sweep(place: Path) -> None:
    """Remove what killed runs left there; a lock that can be had has no owner any more."""
    for lock in place.glob(f"{DRAFT}*.lock"):
        with locked(lock, wait=False) as alone:
            if alone:
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)


def _require_room(place: Path, contents: Sequence[Found]) -> None:
    inodes = {(one.status.st_dev, one.status.st_ino): one.status.st_size for one in contents}
    needed, free = sum(inodes.values()), shutil.disk_usage(place).free
    if needed + SPARE_BYTES > free:
        raise DiskFull(
            f"the state takes {needed / 2**20:,.0f} MB, and {free / 2**20:,.0f} MB are free where "
            "the backup should go: make room, leave something out (--without images), or name "
            "another disk"
        )


def _steps(contents: Sequence[Found], progress: Progress | None) -> Callable[[int], None]:
    """Return a callable that is told the bytes copied and moves the bar."""
    total = max(1, sum(one.status.st_size for one in contents) // 2**20)
    done = 0

    def moved(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress("copying (MB)", min(total, done // 2**20), total)

    return moved
