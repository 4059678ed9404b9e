"""The manifest of a backup: every file with its size and SHA-256, and what it counts."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mammo.errors import BackupInvalid, SourceNotFound

FORMAT = "mammo-backup/1"
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
HOME, DATABASES = "home", "databases"


@dataclass(frozen=True)
class Entry:
    """One file, link or folder; ``path`` is relative to the backup, with slashes.

    ``kind`` is ``file``, ``sqlite``, ``dump``, ``hardlink`` (of ``target``, a path of
    the backup), ``link`` (symbolic, to ``target`` as it was written) or ``folder``.
    """

    path: str
    kind: str
    mode: int
    size_bytes: int = 0
    sha256: str = ""
    target: str = ""
    mtime_ns: int = 0

    @property
    def has_content(self) -> bool:
        """True for what has bytes of its own in the backup."""
        return self.kind in ("file", "sqlite", "dump")


@dataclass(frozen=True)
class Manifest:
    """What is in a backup.

    ``rows`` has the rows of each table by database (``log``, ``mlflow``, …), counted in
    the copies themselves. ``databases`` tells where each database lived
    (``sqlite`` or ``postgresql``) and, for a server, its version.
    """

    created_at: str
    mammo_version: str
    site: str
    entries: tuple[Entry, ...]
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    databases: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    format: str = FORMAT

    @property
    def total_bytes(self) -> int:
        """Bytes of all files of the backup, without the manifest."""
        return sum(one.size_bytes for one in self.entries if one.has_content)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, and through it of everything in the backup."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the manifest as it is written to ``manifest.json``."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


def seal_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` and, beside it, its SHA-256."""
    text = manifest.to_json().encode()
    digest = hashlib.sha256(text).hexdigest()
    for name, content in ((MANIFEST, text), (SEAL, f"{digest}  {MANIFEST}\n".encode())):
        write_flushed(folder / name, content)


def write_flushed(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a new file for its owner alone and flush it to the disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest; the files themselves are checked where they are copied.

    Raises
    ------
    SourceNotFound
        The folder is not there.
    BackupInvalid
        It is no backup, an unfinished one, of another format, or the manifest was changed.
    """
    if not folder.is_dir():
        raise SourceNotFound(f"there is no folder {folder.name}: give that of `mammo backup`")
    try:
        text, seal = (folder / MANIFEST).read_bytes(), (folder / SEAL).read_text().split()[0]
    except (FileNotFoundError, IndexError) as error:
        raise BackupInvalid(
            f"{folder.name} is no finished backup: {MANIFEST} or {SEAL} is not there"
        ) from error
    if hashlib.sha256(text).hexdigest() != seal:
        raise BackupInvalid(f"{MANIFEST} is not as it was written: its SHA-256 is another one")
    return _parse(json.loads(text))


def _parse(raw: dict[str, Any]) -> Manifest:
    if raw.get("format") != FORMAT:
        raise BackupInvalid(f"format {raw.get('format')!r} is unknown here; {FORMAT} is read")
    entries = tuple(Entry(**one) for one in raw.pop("entries"))
    for entry in entries:
        _require_inside(entry.path)
        if entry.kind == "hardlink":
            _require_inside(entry.target)
    secrets, left_out = tuple(raw.pop("secrets")), tuple(raw.pop("left_out"))
    return Manifest(entries=entries, secrets=secrets, left_out=left_out, **raw)


def _require_inside(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or pure.parts[:1] not in ((HOME,), (DATABASES,)):
        raise BackupInvalid(f"the manifest names {path!r}, which lies outside of the backup")
