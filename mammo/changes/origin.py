"""Which code makes a change: digests of the sources, the commit, the container."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import mammo
from mammo.release import file_sha256
from mammo.settings import Settings

ROOT = Path(mammo.__file__).parents[1]
PACKAGES = ("bentos", "data_checks", "flows", "mammo", "monitoring")
SECONDS = 10


@functools.cache
def code_origin() -> dict[str, Any]:
    """Return ``sha256`` of the project's sources, and ``commit`` and ``changed`` if git knows.

    The digest is over the sorted lines ``<SHA-256>  <path>`` of every file of the project's
    packages that are installed, as ``sha256sum`` prints them, without compiled files.
    ``changed`` is True where a tracked file differs from the commit. Read once a process: what
    runs was loaded then.
    """
    return {"sha256": _digest(ROOT), **_commit(ROOT)}


def container_origin(settings: Settings) -> dict[str, Any]:
    """Return the ``digest`` of the container image, or None and the ``reason``."""
    if settings.image_digest:
        return {"digest": settings.image_digest, "reason": None}
    told = "MAMMO_IMAGE_DIGEST is not set: not run from an image, or its digest was not given"
    return {"digest": None, "reason": told}


def _digest(root: Path) -> str:
    paths = (path for name in PACKAGES for path in (root / name).rglob("*"))
    files = sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts)
    lines = [f"{file_sha256(path)}  {path.relative_to(root).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _commit(root: Path) -> dict[str, Any]:
    if not (root / ".git").exists():
        return {"commit": None, "changed": None}
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or None, "changed": None if changed is None else bool(changed)}


def _git(root: Path, *words: str) -> str | None:
    """Return what git says, or None where it is not there or refuses."""
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
