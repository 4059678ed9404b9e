"""Restoring a backup: all of it is checked and laid beside the home before anything is replaced.

The order makes a restore that is killed repeatable:

1. every file is copied to a folder beside the home and its SHA-256 compared on the way;
2. a note of what was begun is left beside the home;
3. each PostgreSQL database is replaced in one transaction;
4. the home is moved aside and the new one to its place;
5. the note is removed.

Killed or refused during 1, nothing has changed. Killed later, or refused when a database was
replaced, the note stands, which `pending` finds, and the same command does everything again.
Refused at the first database, the note goes: all is as it was, and may start.
"""

from __future__ import annotations

import fcntl
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mammo.backup.contents import find_contents
from mammo.backup.databases import database_urls
from mammo.backup.manifest import (
    DATABASES,
    HOME,
    Manifest,
    read_manifest,
    write_flushed,
)
from mammo.backup.postgres import (
    ConnectionLost,
    count_database,
    dump_database,
    restore_database,
)
from mammo.backup.staging import Staging
from mammo.data.durable import storing
from mammo.durable_lines import locked
from mammo.errors import (
    BackupForeign,
    BackupInvalid,
    DiskFull,
    DumpFailed,
    HomeNotEmpty,
    SettingsInvalid,
    StackRunning,
    StackUnhealthy,
)
from mammo.folder_entries import sync_folder
from mammo.settings import Settings

STAGED, NOTE = ".mammo-restore-", ".pending"

Progress = Callable[[str, int, int], None]
"""Called with a stage, and how much of its total is done (megabytes)."""


@dataclass(frozen=True)
class Restored:
    """What a restore did; ``aside`` is where the state of before lies now, if there was any."""

    manifest: Manifest
    home: Path
    aside: Path | None


def restore_backup(
    settings: Settings, folder: Path, *, replace: bool = False, progress: Progress | None = None
) -> Restored:
    """Make the installation what it was when the backup was taken.

    Everything that uses the home and the databases must have ended. With ``replace`` what
    is there is kept aside: the home beside itself, under its name and the time, and in it
    a dump of each database.

    Raises
    ------
    SourceNotFound, BackupInvalid
        No backup, an unfinished one, or one that is not as it was written; nothing changed.
    BackupForeign
        A database was in SQLite and is configured as PostgreSQL here, or the other way.
    HomeNotEmpty
        There is state already, and ``replace`` was not asked for.
    StackRunning
        `mammo up` of this home runs.
    SettingsInvalid
        The home is a mount point, which cannot be replaced in one step.
    DiskFull, StoreReadOnly, DumpFailed
        The home is as it was. So are the databases, unless the message names some: then run
        the same command again.
    """
    home = settings.home.resolve()
    manifest = read_manifest(folder)
    urls = database_urls(settings)
    with _alone(home):
        _require_place(home)
        _require_same_kinds(manifest, urls)
        restore = _Restore(home, folder, manifest, urls)
        if not replace and not restore.was_begun():
            _require_empty(home, urls)
        with storing(home.parent):
            restore.staging.lay(_mover(manifest, progress))
            restore.commit()
    return Restored(manifest, home, restore.aside)


def pending(home: Path) -> bool:
    """True when a restore of this home began to replace, did not end, and must be run again."""
    return _staged(home.resolve()).with_suffix(NOTE).exists()


def require_settled(home: Path) -> None:
    """Refuse to start on a home whose restore was killed or refused while it replaced things.

    Raises
    ------
    StackUnhealthy
    """
    if pending(home):
        raise StackUnhealthy(
            "a `mammo restore` of this MAMMO_HOME had begun to replace databases and did not end: "
            "run the same command again, then start"
        )


def _staged(home: Path) -> Path:
    return home.parent / f"{STAGED}{home.name}"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Exclude another restore and the stack of this home."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with locked(_staged(home).with_suffix(".lock"), wait=False) as alone, _stack_is_down(home):
        if not alone:
            raise StackRunning("another `mammo restore` of this MAMMO_HOME runs")
        try:
            yield
        finally:
            _staged(home).with_suffix(".lock").unlink(missing_ok=True)


@contextmanager
def _stack_is_down(home: Path) -> Iterator[None]:
    lock = home / "stack.lock"
    if not lock.exists():
        yield
        return
    with lock.open("r") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackRunning(
                "the stack of this MAMMO_HOME is up and uses what would be replaced: "
                "`mammo down`, then again"
            ) from error
        yield


def _require_place(home: Path) -> None:
    if home.is_mount():
        raise SettingsInvalid(
            "MAMMO_HOME is a mount point, which cannot be replaced in one step: set MAMMO_HOME to "
            "a folder inside of it"
        )


def _require_same_kinds(manifest: Manifest, urls: dict[str, str]) -> None:
    for name, found in manifest.databases.items():
        here = "postgresql" if name in urls else "sqlite"
        if found["kind"] != here:
            variable = (
                "MAMMO_DATABASE_URL" if name == "log" else f"MAMMO_{name.upper()}_DATABASE_URL"
            )
            raise BackupForeign(
                f"the backup has the database {name} in {found['kind']}, and here it is kept in "
                f"{here}: {'unset' if here == 'postgresql' else 'set'} {variable}, then again"
            )
    missing = set(urls) - set(manifest.databases)
    if missing:
        raise BackupForeign(
            f"the backup has no database {', '.join(sorted(missing))}, which is kept in postgresql "
            "here: unset its variable, then again"
        )


def _require_empty(home: Path, urls: dict[str, str]) -> None:
    files = [one for one in find_contents(home) if one.kind != "folder"] if home.is_dir() else []
    if files:
        raise HomeNotEmpty(
            f"MAMMO_HOME holds state already ({len(files):,} files): --replace keeps it aside and "
            "restores, or set MAMMO_HOME to a new folder"
        )
    for name, url in urls.items():
        if rows := sum(count_database(url).values()):
            raise HomeNotEmpty(
                f"the database {name} holds {rows:,} rows already: --replace keeps a dump of it "
                "and restores, or name an empty database"
            )


def _mover(manifest: Manifest, progress: Progress | None) -> Callable[[int], None]:
    total, done = max(1, manifest.total_bytes // 2**20), 0

    def moved(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress("checking and copying (MB)", min(total, done // 2**20), total)

    return moved


def _place_aside(home: Path) -> Path:
    """Return a name beside the home that is free: a second try may come within the second."""
    first = home.with_name(f"{home.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    tries = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([first], tries) if not one.exists())


class _Restore:
    def __init__(self, home: Path, folder: Path, manifest: Manifest, urls: dict[str, str]) -> None:
        self.home, self.folder, self.manifest, self.urls = home, folder, manifest, urls
        self.staged = _staged(home)
        self.staging = Staging(self.staged, folder, manifest)
        self.note = self.staged.with_suffix(NOTE)
        self.aside: Path | None = None

    def was_begun(self) -> bool:
        """True when this very restore was killed after it had begun to replace."""
        return self.note.is_file() and self.note.read_text().strip() == self.manifest.digest

    def commit(self) -> None:
        """Put everything in its place; killed in here, the same command is run again."""
        aside = _place_aside(self.home)
        try:
            kept = self._keep_databases(aside)
        except BaseException:
            self._remove_own()
            raise
        self._replace_databases()
        if self.home.exists() and any(self.home.iterdir()):
            self.home.rename(aside / HOME if kept else aside)
            self.aside = aside
        (self.staged / HOME).rename(self.home)
        sync_folder(self.home.parent)
        shutil.rmtree(self.staged)  # before the note: killed in here, the next run removes it
        self.note.unlink()

    def _replace_databases(self) -> None:
        before = self.note.read_bytes() if self.note.exists() else None
        write_flushed(self.note, f"{self.manifest.digest}\n".encode())
        sync_folder(self.home.parent)
        replaced: list[str] = []
        for name, url in self.urls.items():
            try:
                rows = restore_database(url, self.staged / DATABASES / f"{name}.dump")
            except (DumpFailed, DiskFull) as error:
                if not replaced and not isinstance(error, ConnectionLost):
                    self._withdraw(before)
                    raise
                raise _half_way(error, replaced, self.aside) from error
            replaced.append(name)
            _require_rows(name, rows, self.manifest.rows[name])

    def _withdraw(self, before: bytes | None) -> None:
        """Leave all as it was, with the note of an earlier run that was killed, if there is one."""
        if before is None:
            self.note.unlink()
        else:
            write_flushed(self.note, before)
        self._remove_own()

    def _remove_own(self) -> None:
        """Remove what this run laid beside the home, which has not moved: its dumps, too."""
        self.staging.remove()
        if self.aside:
            shutil.rmtree(self.aside, ignore_errors=True)
            self.aside = None

    def _keep_databases(self, aside: Path) -> bool:
        """Dump what the databases hold now, unless they are empty; True when one was dumped."""
        full = {name: url for name, url in self.urls.items() if any(count_database(url).values())}
        if full:
            (aside / DATABASES).mkdir(parents=True, mode=0o700)
            self.aside = aside
        for name, url in full.items():
            dump_database(url, aside / DATABASES / f"{name}.dump")
        return bool(full)


def _require_rows(name: str, found: dict[str, int], wanted: dict[str, int]) -> None:
    wrong = sorted(table for table, rows in wanted.items() if found.get(table) != rows)
    if wrong:
        raise BackupInvalid(
            f"the database {name} has other rows than its backup, in {', '.join(wrong)}: end "
            "what writes to it, then run the same command again"
        )


def _half_way(
    error: DumpFailed | DiskFull, replaced: list[str], aside: Path | None
) -> DumpFailed | DiskFull:
    """Return the error with what is replaced already, where that is kept, and the way on."""
    done = f"replaced by now: {', '.join(replaced)}" if replaced else "whether it was is not known"
    kept = f" What there was is kept in {aside.name} beside MAMMO_HOME." if aside else ""
    return type(error)(f"{error}; {done}.{kept} Run the same command again; nothing starts before")
