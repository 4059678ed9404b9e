"""The reference exams of the release in service, checked against its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mammo.errors import DigestMismatch, ReleaseNotFound
from mammo.release import MANIFEST, Release, file_sha256
from mammo.settings import Settings

REFERENCE = "reference.parquet"


def read_reference(pointer: dict[str, Any], settings: Settings) -> pd.DataFrame:
    """Return the release's reference exams in order of acquisition.

    Raises ReleaseNotFound when there are none, DigestMismatch when the file is not
    the one that the release was made with: a reference of another release would
    make every exam look moved, or a moved one look as before.
    """
    folder = Path(pointer["release_dir"])
    if not folder.is_dir():
        folder = settings.releases_dir / str(pointer["release_id"])
    path = folder / REFERENCE
    if not path.is_file():
        raise ReleaseNotFound(
            f"Release {pointer['release_id']} is in service and has no {REFERENCE}: "
            "there is nothing to compare with. Package it again, or `mammo deploy --rollback`."
        )
    _require_own(path, str(pointer["release_id"]))
    frame = pd.read_parquet(path)
    if frame.empty:
        raise ReleaseNotFound(
            f"{REFERENCE} of release {pointer['release_id']} holds no exam: there is "
            "nothing to compare with. Train with patients held out."
        )
    return frame.sort_values("acquired_on", kind="stable").reset_index(drop=True)


def _require_own(path: Path, release_id: str) -> None:
    """Refuse a reference that is not the one which the release's manifest names."""
    if not (path.parent / MANIFEST).is_file():
        return
    release = Release.read(path.parent)
    stated, found = release.files.get(REFERENCE), file_sha256(path)
    if release.id != release_id or (stated is not None and stated != found):
        raise DigestMismatch(
            f"{REFERENCE} beside release {release_id} is of another release (SHA-256 "
            f"{found[:12]}, the manifest of {release.id} states {str(stated)[:12]}). Nothing was "
            "tested. Put the release's own folder back, or `mammo deploy --rollback`."
        )
