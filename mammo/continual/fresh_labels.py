"""How many exams have an outcome that no network has learnt from yet.

What counts is what a training would see and the newest one did not: labelled images of the
index that are not in the ``images.parquet`` of the newest trained release, whether the
gate let that one pass or not. So a retraining that was refused is not begun again for
the same outcomes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.continual.fit import labelled_index
from mammo.continual.trace import IMAGES
from mammo.data.index import target_values
from mammo.release import MANIFEST
from mammo.settings import Settings

LEARNT = ("trained", "fine_tuned")
"""Kinds of release whose network was fitted to images."""


@dataclass(frozen=True)
class FreshLabels:
    """Exams of the index with an outcome that ``newest`` (a release id) was made without.

    ``cancers`` are those of them with a positive breast, by the target of that release.
    """

    newest: str
    exams: int
    cancers: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def fresh_labels(settings: Settings) -> FreshLabels | None:
    """Count exams whose outcome is new since the newest training.

    None where nothing can be told: no release was trained, the newest keeps no
    ``images.parquet`` (made by an older mammo), or nothing was ingested.
    """
    newest = newest_trained(settings.releases_dir)
    if newest is None or not settings.index_path.is_file():
        return None
    directory, target = newest
    if not (directory / IMAGES).is_file():
        return None
    known = set(pd.read_parquet(directory / IMAGES, columns=["image_id"])["image_id"])
    exams = _exams(labelled_index(settings), target, known)
    return FreshLabels(directory.name, len(exams), int(exams.sum()))


def newest_trained(releases_dir: Path) -> tuple[Path, str] | None:
    """Return folder and target of the release whose network was trained last, or None."""
    manifests = (json.loads(one.read_text()) for one in releases_dir.glob(f"r-*/{MANIFEST}"))
    learnt = [one for one in manifests if one["kind"] in LEARNT]
    if not learnt:
        return None
    last = max(learnt, key=lambda one: (one["created_at"], one["id"]))
    return releases_dir / last["id"], last["target"]


def _exams(index: pd.DataFrame, target: str, known: set[str]) -> pd.Series[Any]:
    """Return the label (0 or 1) of each exam that has one and no image among ``known``."""
    labels = target_values(index, target)
    rows = index.assign(label=labels, known=index["image_id"].isin(known))
    exams = (
        rows[labels.notna()].groupby("exam_id").agg(label=("label", "max"), known=("known", "any"))
    )
    return exams.loc[~exams["known"], "label"].astype(int)
