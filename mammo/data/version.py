"""Data versions: DVC, without git, over the store (index and shards).

A version is the MD5 that DVC gives the folder, its first 12 digits. Files go
into DVC's cache as hard links, so a version costs no second copy, and only what
changed is hashed again. ``versions.json`` keeps the pointer file of every
version, so that any of them can be checked out again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from mammo.errors import IndexMissing, SourceNotFound
from mammo.settings import TELEMETRY_OFF, Settings

VERSION_DIGITS = 12


def snapshot_store(settings: Settings, *, rows: int) -> str:
    """Make the store as it is now a version and return its name.

    Calling it again on an unchanged store returns the same name. ``rows`` is
    noted in the log.

    Raises
    ------
    IndexMissing
        There is no store.
    """
    if not settings.index_path.exists():
        raise IndexMissing("there is no exam index to version: run `mammo ingest` first")
    with _open_repo(settings.data_dir) as repo:
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
    _write_atomic(_pointer_path(settings), versions[version]["pointer"])
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


def _log_version(settings: Settings, version: str, rows: int) -> None:
    versions = list_versions(settings)
    if version in versions:
        return
    versions[version] = {
        "rows": rows,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "pointer": _pointer_path(settings).read_text(),
    }
    _write_atomic(_log_path(settings), json.dumps(versions, indent=2) + "\n")


def _version_of(pointer: str) -> str:
    digest: str = yaml.safe_load(pointer)["outs"][0]["md5"]
    return digest[:VERSION_DIGITS]


def _write_atomic(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def _store(settings: Settings) -> Path:
    return settings.index_path.parent


def _pointer_path(settings: Settings) -> Path:
    return settings.data_dir / f"{_store(settings).name}.dvc"


def _log_path(settings: Settings) -> Path:
    return settings.data_dir / "versions.json"
