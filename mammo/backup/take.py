"""Taking a backup: into a draft beside its place, which gets its name when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import mammo
from mammo.backup.contents import (
    STAGES,
    Found,
    find_contents,
    is_appended,
    is_secret,
    is_sqlite,
    leads_out,
    stage_of,
)
from mammo.backup.copying import copy_sqlite, copy_whole, file_sha256
from mammo.backup.databases import database_urls, sqlite_names
from mammo.backup.manifest import DATABASES, HOME, Entry, Manifest, seal_manifest
from mammo.backup.postgres import dump_database, is_postgres
from mammo.data.durable import storing
from mammo.durable_lines import locked
from mammo.errors import BackupExists, BackupInvalid, DiskFull, SourceNotFound
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
            found = find_contents(home, without)
            return [one for one in found if secrets or not is_secret(one.path)]

        kept = find()
        _require_outside(folder, kept)
        _require_room(folder.parent, kept)
        copy = _Copy(settings, home, draft, _steps(kept, progress))
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
    walked = {(one.status.st_dev, one.status.st_ino) for one in contents if one.kind == "folder"}
    if above & walked:
        raise BackupExists(INSIDE)


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


def _path_in_home(entry: Entry) -> str:
    return entry.path.removeprefix(f"{HOME}/")


class _Copy:
    """One run: from the home to the draft, in the order of `STAGES`."""

    def __init__(
        self, settings: Settings, home: Path, draft: Path, moved: Callable[[int], None]
    ) -> None:
        self.settings, self.home, self.draft, self.moved = settings, home, draft, moved
        self.entries: list[Entry] = []
        self.rows: dict[str, dict[str, int]] = {}
        self.databases: dict[str, dict[str, str]] = {}
        self._inodes: dict[tuple[int, int, int, int], str] = {}
        self._seen: set[str] = set()

    def take(self, find: Callable[[], list[Found]], left_out: tuple[str, ...]) -> Manifest:
        """Copy everything and return the manifest; ``find`` walks the home as it is then."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        for name in (HOME, DATABASES):
            (self.draft / name).mkdir(mode=0o700)
        for stage in range(len(STAGES)):
            if stage == len(STAGES) - 1:
                self._dump_servers()
            self._copy_stage(stage, find())
        return Manifest(
            created_at=started,
            mammo_version=mammo.__version__,
            site=self.settings.site,
            entries=tuple(self.entries),
            rows=self.rows,
            databases=self.databases,
            secrets=tuple(one for one in map(_path_in_home, self.entries) if is_secret(one)),
            left_out=left_out,
        )

    def _copy_stage(self, stage: int, contents: Sequence[Found]) -> None:
        """Copy what belongs to the stage, with the folders above it.

        What belongs to an earlier one and came since would name what is not in the backup.
        """
        folders = {one.path: one for one in contents if one.kind == "folder"}
        for found in (one for one in contents if stage_of(one) == stage):
            above = [str(one) for one in reversed(PurePosixPath(found.path).parents)]
            for path in above:
                if path in folders:
                    self._copy_once(folders[path])
            self._copy_once(found)

    def _copy_once(self, found: Found) -> None:
        if found.path not in self._seen:
            self._seen.add(found.path)
            self._copy(found)

    def _dump_servers(self) -> None:
        for name, url in database_urls(self.settings).items():
            if not is_postgres(url):
                continue
            path = f"{DATABASES}/{name}.dump"
            self.rows[name], version = dump_database(url, self.draft / path)
            self.databases[name] = {"kind": "postgresql", "version": version}
            size = (self.draft / path).stat().st_size
            sha256 = file_sha256(self.draft / path)
            self.entries.append(Entry(path, "dump", 0o600, size, sha256))

    def _copy(self, found: Found) -> None:
        try:
            entry = getattr(self, f"_copy_{found.kind}")(found)
        except FileNotFoundError:  # removed since it was found: as if copied a moment later
            (self.draft / HOME / found.path).unlink(missing_ok=True)
            return
        if entry is not None:
            self.entries.append(entry)

    def _copy_folder(self, found: Found) -> Entry:
        (self.draft / HOME / found.path).mkdir(mode=0o700)
        return Entry(f"{HOME}/{found.path}", "folder", found.mode)

    def _copy_link(self, found: Found) -> Entry:
        if leads_out(self.home, found.path):
            raise BackupInvalid(
                f"{found.path} leads out of MAMMO_HOME, and cannot be followed: mount what it "
                "leads to if nothing is there, let it lead to no folder that is walked already, "
                f"or leave it out (--without {found.path})"
            )
        target = str((self.home / found.path).readlink())
        (self.draft / HOME / found.path).symlink_to(target)
        return Entry(f"{HOME}/{found.path}", "link", found.mode, target=target)

    def _copy_file(self, found: Found) -> Entry:
        source, path = self.home / found.path, f"{HOME}/{found.path}"
        status = found.status
        # a number of a file that is gone is given to another: one with these is the same
        inode = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if status.st_nlink > 1 and inode in self._inodes:
            return Entry(path, "hardlink", found.mode, target=self._inodes[inode])
        if is_sqlite(source):
            return self._copy_database(found, source, path)
        lines = is_appended(found.path)
        sha256, size = copy_whole(source, self.draft / path, self.moved, lines=lines)
        if status.st_nlink > 1:
            self._inodes[inode] = path
        return Entry(path, "file", found.mode, size, sha256, mtime_ns=status.st_mtime_ns)

    def _copy_database(self, found: Found, source: Path, path: str) -> Entry:
        rows = copy_sqlite(source, self.draft / path)
        name = sqlite_names(self.settings).get(found.path, found.path)
        self.rows[name], self.databases[name] = rows, {"kind": "sqlite"}
        size = (self.draft / path).stat().st_size
        self.moved(size)
        return Entry(path, "sqlite", found.mode, size, file_sha256(self.draft / path))
