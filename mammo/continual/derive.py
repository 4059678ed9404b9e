"""A recalibrated child of a release: the same network under new operating points."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mammo.continual.card import CARD, write_card
from mammo.continual.point_origins import MEASURED_OF
from mammo.exam import OperatingPoint
from mammo.release import OWN_FILES, RECALIBRATED, Release, new_release_id


def derive_release(
    parent_dir: Path,
    releases_dir: Path,
    *,
    operating_points: dict[str, OperatingPoint],
    metrics: dict[str, Any],
    keys_dir: Path | None = None,
) -> tuple[Release, Path]:
    """Make a recalibrated child: the parent's network, with a card of its own.

    ``metrics`` are the parent's with what the new points rest on; ``keys_dir`` is as in
    `Release.seal`. The folder appears under its final name only when complete. Raises
    ReleaseNotFound and DigestMismatch.
    """
    parent = Release.read(parent_dir, verify=True)
    release_id = new_release_id(parent.id, sorted(operating_points))
    draft = releases_dir / f".{release_id}"
    shutil.copytree(parent_dir, draft, ignore=shutil.ignore_patterns(*OWN_FILES, CARD))
    child = replace(
        parent,
        id=release_id,
        parent=parent.id,
        kind=RECALIBRATED,
        created_at=datetime.now(UTC).isoformat(),
        operating_points=operating_points,
        metrics=metrics | _measured(parent),
    )
    write_card(draft / CARD, child)
    sealed = child.seal(draft, keys_dir)
    final = releases_dir / release_id
    draft.replace(final)
    return sealed, final


def _measured(parent: Release) -> dict[str, str]:
    """Return whose numbers the metrics are; nothing where an older mammo did not keep it."""
    if parent.kind != RECALIBRATED:
        return {MEASURED_OF: parent.id}
    return {MEASURED_OF: parent.metrics[MEASURED_OF]} if MEASURED_OF in parent.metrics else {}
