"""From a release to a child that carries another graph of the same network.

    exported = export_release(settings, "r-20261122-1a2b3c4d", ExportConfig(...))

The child has operating points of its own, since rounding moves logits a little; a
golden logit of its own; the table of what was tried; and its parent's weights to
train on from, which neither quantising nor pruning changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mammo.continual.carry import carry_best
from mammo.continual.fit import labelled_index
from mammo.continual.judge import read_run_config
from mammo.continual.seal import Trained, evaluate_release
from mammo.continual.split import Parts, known_parts, split_index
from mammo.continual.start import start_network
from mammo.continual.trace import IMAGES
from mammo.errors import SourceInvalid, TooFewLabels
from mammo.export.settings import ExportConfig
from mammo.export.torchscript import export_torchscript
from mammo.models.config import TrainConfig
from mammo.models.tracking import Registered, register_release
from mammo.release import OWN_FILES, Release, find_release, new_release_id
from mammo.settings import Settings

Progress = Callable[[str, int, int], None]
KEPT = (IMAGES, "patients.parquet")
"""What the network was trained on does not change by exporting it anew."""


@dataclass(frozen=True, eq=False)
class ExportedRelease:
    """A sealed child, where it is registered, and the table of its candidates."""

    release: Release
    directory: Path
    registered: Registered
    exports: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return ids and the table as JSON-able data."""
        return {
            "release": self.release.id,
            "kind": self.release.kind,
            "parent": self.release.parent,
            "directory": str(self.directory),
            "mlflow_version": self.registered.version,
            "exports": self.exports,
        }


def export_release(
    settings: Settings, release_id: str, export: ExportConfig, progress: Progress | None = None
) -> ExportedRelease:
    """Make a child release that carries the fastest graph that passes.

    Raises
    ------
    ReleaseNotFound, DigestMismatch
        There is no such release, or it was changed.
    SourceInvalid
        It was recalibrated: the points that came from scores in service would be lost.
    TooFewLabels
        The store no longer holds the patients that the graphs are judged on.
    ParityError
        No graph passes.
    """
    report = progress or (lambda stage, done, total: None)
    parent = find_release(settings.releases_dir, release_id)
    manifest = Release.read(parent, verify=True)
    if manifest.kind == "recalibrated":
        raise SourceInvalid(
            f"{manifest.id} was recalibrated from scores in service, which say nothing of another "
            f"graph: export {manifest.parent}, and recalibrate the child when it has scored"
        )
    config = replace(read_run_config(parent), preprocess=manifest.preprocess)
    parts = parent_parts(settings, parent, config)
    net, origin = start_network(config, parent)
    release_id = new_release_id(manifest.id, export.to_dict())
    child = replace(
        manifest,
        id=release_id,
        parent=manifest.id,
        kind="exported",
        created_at=datetime.now(UTC).isoformat(),
    )
    with child_draft(settings, parent, release_id) as draft:
        exports = carry_best(draft, net.eval(), config, export, parts, settings.shards_dir)
        child = replace(child, metrics=manifest.metrics | {"exports": exports})
        trained = Trained(config, net, origin, parent, parts, manifest.data_version, None)
        child = evaluate_child(settings, trained, draft, child, report)
        directory = draft.with_name(child.id)
        draft.replace(directory)
    registered = register_release(settings, child, directory, {"export": export.to_dict()}, [])
    return ExportedRelease(child, directory, registered, exports)


def write_torchscript(settings: Settings, release_id: str, path: Path) -> None:
    """Write the release's network as one TorchScript file: image (N, 1, H, W) -> logit (N,)."""
    directory = find_release(settings.releases_dir, release_id)
    manifest = Release.read(directory, verify=True)
    net, _ = start_network(read_run_config(directory), directory)
    size = {"height": manifest.preprocess.height, "width": manifest.preprocess.width}
    export_torchscript(net, path, **size)


def parent_parts(settings: Settings, parent: Path, config: TrainConfig) -> Parts:
    """Return the parent's own split of the patients that it knew and the store still has."""
    known = known_parts(parent)
    index = labelled_index(settings)
    parts = split_index(index[index["patient_id"].isin(known)], config, known=known)
    if parts.train.empty or parts.holdout.empty:
        raise TooFewLabels(
            f"The store holds {parts.train['patient_id'].nunique()} training and "
            f"{parts.holdout['patient_id'].nunique()} holdout patients of release {parent.name}; "
            "both are needed to calibrate and to judge its graphs. `mammo data checkout` brings "
            "back the data version that it names."
        )
    return parts


@contextmanager
def child_draft(settings: Settings, parent: Path, release_id: str) -> Iterator[Path]:
    """Copy the parent into a hidden folder, which is gone again when something fails."""
    draft = settings.releases_dir / f".{release_id}"
    shutil.copytree(parent, draft, ignore=shutil.ignore_patterns(*OWN_FILES))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def evaluate_child(
    settings: Settings, trained: Trained, draft: Path, child: Release, report: Progress
) -> Release:
    """Set operating points, golden and scores anew; what it was trained on stays as it was."""
    release = evaluate_release(settings, trained, draft, child, dict(child.metrics), report)
    assert trained.parent is not None
    for name in KEPT:
        if (trained.parent / name).is_file():
            shutil.copy2(trained.parent / name, draft / name)
    return release.seal(draft, settings.keys_dir)
