"""Make a release again from what it keeps, to show that it can be."""

from __future__ import annotations

import json
from pathlib import Path

from mammo.continual.fit import Progress, TrainedRelease, train_release
from mammo.continual.seal import RUN_CONFIG
from mammo.continual.selection import read_selection
from mammo.models.config import TrainConfig
from mammo.release import Release, find_release
from mammo.settings import Settings

TRAINED_KINDS = ("trained", "fine_tuned")
"""Kinds of release that have weights of their own; the others have their parent's."""


def train_again(
    settings: Settings, directory: Path, *, progress: Progress | None = None
) -> TrainedRelease:
    """Make a release again from what it keeps: configuration, parent, selection, parts.

    On the same machine its weights are the same, bit for bit on a CPU, also after more
    exams have come; calibration and scores are then those of today's holdout. The
    release has an id of its own. Of one that was recalibrated or exported, the release
    is made again that its weights come from. Raises SourceInvalid when the store lacks
    an image of the selection: `mammo data checkout` brings its data version back.
    """
    made = Release.read(directory, verify=True)
    if made.parent is not None and made.kind not in TRAINED_KINDS:
        before = find_release(settings.releases_dir, made.parent)
        return train_again(settings, before, progress=progress)
    parent = None if made.parent is None else find_release(settings.releases_dir, made.parent)
    config = TrainConfig.from_dict(json.loads((directory / RUN_CONFIG).read_text()))
    return train_release(
        settings, config=config, parent=parent, split_as=directory,
        selection=read_selection(directory), progress=progress,
    )  # fmt: skip
