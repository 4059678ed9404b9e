"""One run of a backup: what is found in the home and on servers, copied into the draft."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import mammo
from mammo.backup.contents import (
    STAGES,
    Found,
    is_appended,
    is_secret,
    is_sqlite,
    leads_out,
    stage_of,
)
from mammo.backup.copying import copy_sqlite, copy_whole, file_sha256
from mammo.backup.databases import database_urls, sqlite_names
from mammo.backup.manifest import DATABASES, HOME, Entry, Manifest
from mammo.backup.postgres import dump_database, is_postgres
from mammo.errors import BackupInvalid
from mammo.settings import Settings


@contextmanager
def reading(home: Path) -> Iterator[None]:
    """Name what of the home may not be read: to who stores the copy it looks like its disk.

    Raises
    ------
    BackupInvalid
    """
    try:
        yield
    except PermissionError as error:
        path = Path(str(error.filename or ""))
        if not path.is_relative_to(home):
            raise
        raise BackupInvalid(
            f"{path.relative_to(home)} in MAMMO_HOME cannot be read by this user: give it the "
            "right to, or take the backup as the user that the installation runs as"
        ) from error


def _path_in_home(entry: Entry) -> str:
    return entry.path.removeprefix(f"{HOME}/")


class HomeCopy:
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
            with reading(self.home):
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
