"""The first half of a restore: all of a backup, laid beside the home and every byte checked."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from mammo.backup.copying import BLOCK_BYTES
from mammo.backup.manifest import DATABASES, HOME, MANIFEST, SEAL, Entry, Manifest
from mammo.errors import BackupInvalid, DiskFull

SPARE_BYTES = 64 * 2**20


class Staging:
    """The folder ``staged`` beside the home, which a backup is laid into."""

    def __init__(self, staged: Path, folder: Path, manifest: Manifest) -> None:
        self.staged, self.folder, self.manifest = staged, folder, manifest

    def lay(self, moved: Callable[[int], None]) -> None:
        """Copy and check everything; ``moved`` is told the bytes.

        Raises
        ------
        BackupInvalid, DiskFull
            Nothing is left of it.
        """
        self.remove()
        self._require_room()
        self._require_nothing_else()
        (self.staged / DATABASES).mkdir(parents=True, mode=0o700)
        (self.staged / HOME).mkdir(mode=0o700)
        try:
            for entry in self.manifest.entries:
                self._lay(entry, moved)
            self._set_modes()
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove what was laid there."""
        shutil.rmtree(self.staged, ignore_errors=True)

    def _require_room(self) -> None:
        free = shutil.disk_usage(self.staged.parent).free
        if self.manifest.total_bytes + SPARE_BYTES > free:
            raise DiskFull(
                f"the backup takes {self.manifest.total_bytes / 2**20:,.0f} MB, and "
                f"{free / 2**20:,.0f} MB are free beside MAMMO_HOME: make room, then again; "
                "nothing was changed"
            )

    def _require_nothing_else(self) -> None:
        known = {one.path for one in self.manifest.entries} | {HOME, DATABASES, MANIFEST, SEAL}
        for below, folders, files in os.walk(self.folder):
            for name in (*folders, *files):
                path = str((Path(below) / name).relative_to(self.folder))
                if path not in known:
                    raise BackupInvalid(f"{path} is in the backup's folder and not in its manifest")

    def _lay(self, entry: Entry, moved: Callable[[int], None]) -> None:
        target = self.staged / entry.path
        if entry.kind == "folder":
            target.mkdir(mode=0o700)
        elif entry.kind == "link":
            target.symlink_to(entry.target)
        elif entry.kind == "hardlink":
            target.hardlink_to(self.staged / entry.target)
        else:
            _copy_checked(self.folder / entry.path, target, entry, moved)
            if entry.mtime_ns:
                os.utime(target, ns=(entry.mtime_ns, entry.mtime_ns))

    def _set_modes(self) -> None:
        # inner folders first: one may be read-only in the end
        for entry in sorted(self.manifest.entries, key=lambda one: one.path, reverse=True):
            if entry.kind != "link":
                (self.staged / entry.path).chmod(entry.mode)
        os.sync()  # once: to flush each of thousands of files takes minutes


def _copy_checked(source: Path, target: Path, entry: Entry, moved: Callable[[int], None]) -> None:
    digest = hashlib.sha256()
    if source.is_symlink() or not source.is_file():
        raise BackupInvalid(f"{entry.path} is in the manifest and not in the backup; nothing was "
                            "changed: take another backup")  # fmt: skip
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as stream, os.fdopen(handle, "wb") as out:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            out.write(block)
            moved(len(block))
    if digest.hexdigest() != entry.sha256:
        raise BackupInvalid(
            f"{entry.path} is not as it was written ({source.stat().st_size:,} bytes, "
            f"{entry.size_bytes:,} were; its SHA-256 is another one); nothing was changed: take "
            "another backup"
        )
