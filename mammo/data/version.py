"""Data versions: DVC, without git, over the store (index and shards).

A version is the MD5 that DVC gives the folder, its first 12 digits. Files go
into DVC's cache as hard links, so a version costs no second copy, and only what
changed is hashed again. ``versions.json`` keeps the pointer file of every
version, so that any of them can be checked out again.

DVC makes its links by removing a file and linking it back, and may be killed
between the two. So the files are linked into its cache before it looks: it then
finds nothing to do, and no file of the store is ever away.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from mammo.data.durable import replace_by_link, storing, write_text
from mammo.data.staging import directory_of
from mammo.errors import IndexMissing, SourceNotFound
from mammo.settings import TELEMETRY_OFF, Settings

VERSION_DIGITS = 12
NO_LINKS = frozenset((errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP))
"""What a file system without hard links, or with too many, answers."""


def snapshot_store(settings: Settings, *, rows: int) -> str:
    """Make the store as it is now a version and return its name.

    Calling it again on an unchanged store returns the same name. ``rows`` is
    noted in the log.

    Raises
    ------
    IndexMissing
        There is no store.
    DiskFull, StoreReadOnly
        The version cannot be written.
    """
    if not settings.index_path.exists():
        raise IndexMissing("there is no exam index to version: run `mammo ingest` first")
    with storing(settings.data_dir), _open_repo(settings.data_dir) as repo:
        _link_into_cache(settings)
        repo.add([str(_store(settings))])
    version = current_version(settings)
    _log_version(settings, version, rows)
    return version


def current_version(settings: Settings) -> str:
    """Return the version that was made last; empty when there is none."""
    pointer = _pointer_path(settings)
    if not pointer.exists():
        return ""
    return _version_of(pointer.read_text())


def list_versions(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return version -> ``{"rows", "made_at", "pointer"}``, oldest first."""
    path = _log_path(settings)
    if not path.exists():
        return {}
    versions: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return versions


def checkout_version(settings: Settings, version: str) -> None:
    """Put the store back to what it was in ``version``.

    Raises
    ------
    SourceNotFound
        No such version was made here.
    """
    versions = list_versions(settings)
    if version not in versions:
        known = ", ".join(versions) or "none"
        raise SourceNotFound(f"data version {version!r} is unknown here; known are {known}")
    write_text(_pointer_path(settings), versions[version]["pointer"], directory_of(settings))
    with _open_repo(settings.data_dir) as repo:
        repo.checkout([str(_pointer_path(settings))], force=True)


@contextmanager
def _open_repo(directory: Path) -> Iterator[Any]:
    # DVC's state would otherwise lie in a folder of the whole machine
    os.environ.update(TELEMETRY_OFF, DVC_SITE_CACHE_DIR=str(directory / ".dvc" / "site"))
    from dvc.repo import Repo

    with _quiet():
        if not (directory / ".dvc" / "config").exists():
            directory.mkdir(parents=True, exist_ok=True)
            repo = Repo.init(str(directory), no_scm=True, force=True)
            with repo.config.edit() as config:
                config["core"]["analytics"] = False
                config["cache"]["type"] = ["hardlink", "copy"]
            repo.close()
        with Repo(str(directory)) as repo:
            yield repo


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep DVC's greetings off standard output, which belongs to the caller's answer."""
    logger = logging.getLogger("dvc")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _link_into_cache(settings: Settings) -> None:
    """Make the store's files and DVC's cache one, by hard links, under their MD5."""
    cache = settings.data_dir / ".dvc" / "cache" / "files" / "md5"
    for path in _store(settings).rglob("*"):
        if not path.is_file() or path.stat().st_nlink > 1:
            continue
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False))
        cached = cache / digest.hexdigest()[:2] / digest.hexdigest()[2:]
        cached.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o444)  # DVC keeps its cache so, and a link has the mode of its file
        try:
            cached.hardlink_to(path)
        except FileExistsError:  # the store was copied here, or the same file came back
            replace_by_link(path, cached, directory_of(settings))
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise  # where there are none DVC copies, as it always did


def _log_version(settings: Settings, version: str, rows: int) -> None:
    versions = list_versions(settings)
    if version in versions:
        return
    versions[version] = {
        "rows": rows,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "pointer": _pointer_path(settings).read_text(),
    }
    write_text(_log_path(settings), json.dumps(versions, indent=2) + "\n", directory_of(settings))


def _version_of(pointer: str) -> str:
    digest: str = yaml.safe_load(pointer)["outs"][0]["md5"]
    return digest[:VERSION_DIGITS]


def _store(settings: Settings) -> Path:
    return settings.index_path.parent


def _pointer_path(settings: Settings) -> Path:
    return settings.data_dir / f"{_store(settings).name}.dvc"


def _log_path(settings: Settings) -> Path:
    return settings.data_dir / "versions.json"
