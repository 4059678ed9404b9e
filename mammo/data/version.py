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

from mammo.data.durable import make_folder, replace_by_link, storing, write_text
from mammo.data.staging import directory_of
from mammo.errors import IndexMissing, VersionUnknown
from mammo.settings import TELEMETRY_OFF, Settings

VERSION_DIGITS = 12
REPO_CONFIG = """[core]
    analytics = False
    no_scm = True
[cache]
    type = "hardlink,copy"
"""
NO_LINKS = frozenset((errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP))
"""What a file system without hard links, or with too many, answers."""


def snapshot_store(settings: Settings, *, rows: int) -> str:
    """Make the store as it is now a version and return its name.

    Calling it again on an unchanged store returns the same name. ``rows`` is
    noted in the log. Call it under `mammo.data.store.store_lock`.

    Raises
    ------
    IndexMissing
        There is no store.
    DiskFull, StoreReadOnly
        The version cannot be written.
    """
    if not settings.index_path.exists():
        raise IndexMissing("there is no exam index to version: run `mammo ingest` first")
    with storing(settings.data_dir), open_repo(settings.data_dir) as repo:
        _link_into_cache(settings)
        repo.add([str(store_dir(settings))])
    version = current_version(settings)
    log_version(settings, version, {"rows": rows, "pointer": pointer_path(settings).read_text()})
    return version


def current_version(settings: Settings) -> str:
    """Return the version that was made or checked out last; empty when there is none."""
    pointer = pointer_path(settings)
    if not pointer.exists():
        return ""
    return digest_of(pointer.read_text())[:VERSION_DIGITS]


def list_versions(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return version -> ``{"rows", "made_at", "pointer"}``, oldest first."""
    path = _log_path(settings)
    if not path.exists():
        return {}
    versions: dict[str, dict[str, Any]] = json.loads(path.read_text())
    # one that was fetched is noted late and may be old
    return dict(sorted(versions.items(), key=lambda one: datetime.fromisoformat(one[1]["made_at"])))


def find_version(settings: Settings, name: str) -> str:
    """Return the version that ``name`` begins, or the current one for ``current``.

    Raises
    ------
    VersionUnknown
        None or several do; the message lists the newest that are known here.
    """
    versions = list_versions(settings)
    name = current_version(settings) if name == "current" else name
    found = [one for one in versions if name and one.startswith(name)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(list(versions)[-5:]) or "none"
    what = "names several versions" if found else "is unknown here"
    raise VersionUnknown(
        f"data version {name!r} {what}; the newest known are {known}. `mammo data versions` "
        "lists all, `mammo data fetch` asks the remote"
    )


def log_version(settings: Settings, version: str, facts: dict[str, Any]) -> None:
    """Note a version in ``versions.json``, once; call it under `mammo.data.store.store_lock`."""
    versions = list_versions(settings)
    if version in versions:
        return
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    versions[version] = {"made_at": made_at} | facts
    write_text(_log_path(settings), json.dumps(versions, indent=2) + "\n", directory_of(settings))


@contextmanager
def open_repo(directory: Path, config: dict[str, Any] | None = None) -> Iterator[Any]:
    """Open DVC's repository of the data folder, and make it the first time.

    ``config`` goes over the repository's own and is not written down.
    """
    # DVC's state would otherwise lie in a folder of the whole machine
    os.environ.update(TELEMETRY_OFF, DVC_SITE_CACHE_DIR=str(directory / ".dvc" / "site"))
    from dvc.repo import Repo

    with _quiet():
        _make_repo(directory)
        with Repo(str(directory), config=config) as repo:
            yield repo


def _make_repo(directory: Path) -> None:
    """Make DVC's repository, unless there is one.

    Not by ``Repo.init``: killed on its way, or on a full disk, it leaves a configuration
    that looks for git, and run again it removes the cache with everything in it.
    """
    path = directory / ".dvc" / "config"
    if not path.exists() or "no_scm" not in path.read_text():
        make_folder(directory / ".dvc" / "tmp")
        write_text(path, REPO_CONFIG, directory / ".dvc" / "tmp")


def digest_of(pointer: str) -> str:
    """Return the MD5 of the folder that a pointer file names, 32 hex digits."""
    digest: str = yaml.safe_load(pointer)["outs"][0]["md5"]
    return digest.removesuffix(".dir")


def store_dir(settings: Settings) -> Path:
    """Return the folder that is versioned."""
    return settings.index_path.parent


def pointer_path(settings: Settings) -> Path:
    """Return DVC's pointer file of the store as it is."""
    return settings.data_dir / f"{store_dir(settings).name}.dvc"


def cache_path(settings: Settings, digest: str) -> Path:
    """Return where DVC keeps the bytes with that MD5 (``.dir`` at its end for a folder)."""
    return settings.data_dir / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]


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
    for path in store_dir(settings).rglob("*"):
        if not path.is_file() or path.stat().st_nlink > 1:
            continue
        cached_md5 = file_md5(path)
        cached = cache_path(settings, cached_md5)
        cached.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o444)  # DVC keeps its cache so, and a link has the mode of its file
        try:
            cached.hardlink_to(path)
        except FileExistsError:  # the store was copied here, or the same file came back
            whole, damaged = (cached, path) if file_md5(cached) == cached_md5 else (path, cached)
            replace_by_link(damaged, whole, directory_of(settings))
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise  # where there are none DVC copies, as it always did


def file_md5(path: Path) -> str:
    """Return the MD5 of a file's bytes, DVC's name for them."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _log_path(settings: Settings) -> Path:
    return settings.data_dir / "versions.json"
