"""From the exam index to a release: split, fit, export, calibrate, evaluate, seal, register.

    result = train_release(settings, config="demo")
    result.release.id, result.directory, result.metrics["golden_auc"]

A first release starts from ImageNet; a retraining starts from the release in
service, by the strategy that its configuration names (`mammo.continual.strategy`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd

from mammo.continual.carried_detector import parts_before
from mammo.continual.carry import export_config
from mammo.continual.checkpoints import RunFolder, open_run, run_key
from mammo.continual.enough import require_enough
from mammo.continual.folds import cross_validate
from mammo.continual.lesson import Lesson, plan_lesson, repeat_lesson
from mammo.continual.network import fit_network
from mammo.continual.quarantine import quarantined_exams
from mammo.continual.seal import RUN_CONFIG, WEIGHTS, Trained, seal_release
from mammo.continual.selection import selection_digest
from mammo.continual.spent import Meter, write_spent
from mammo.continual.split import Parts, split_index
from mammo.continual.start import start_network
from mammo.continual.strategy import starts_from_parent
from mammo.continual.trainer import is_first_process, require_launcher
from mammo.data.index import join_outcomes, read_index, target_values
from mammo.data.store import read_store_config, store_lock
from mammo.data.version import find_version
from mammo.data.version_files import present_version
from mammo.errors import SourceInvalid, VersionUnknown
from mammo.evaluation.verdict import GateConfig
from mammo.models.config import TrainConfig, read_config
from mammo.models.config_checks import require_kinds, require_known
from mammo.models.tracking import Registered, register_release, require_tracking
from mammo.prediction_log import PredictionLog
from mammo.release import Release, file_sha256
from mammo.settings import Settings

__all__ = [
    "RUN_CONFIG",
    "TrainedRelease",
    "gate_config",
    "labelled_index",
    "settle_config",
    "train_release",
]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class TrainedRelease:
    """A sealed release on disk, and where it is registered."""

    release: Release
    directory: Path
    registered: Registered
    metrics: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return ids and metrics as JSON-able data."""
        return {
            "release": self.release.id,
            "kind": self.release.kind,
            "parent": self.release.parent,
            "directory": str(self.directory),
            "mlflow_run_id": self.registered.run_id,
            "mlflow_version": self.registered.version,
            "mlflow_url": self.registered.url,
            "metrics": self.metrics,
        }


def labelled_index(settings: Settings) -> pd.DataFrame:
    """Return the exam index with every outcome that has arrived since.

    Exams scored while their data were at fault are left out: nothing is learnt from
    them, and nothing is judged on them.
    """
    return _with_outcomes(settings, read_index(settings.index_path))


def _with_outcomes(settings: Settings, index: pd.DataFrame) -> pd.DataFrame:
    log = PredictionLog(settings.log_url).create()
    sound = index[~index["exam_id"].isin(quarantined_exams(log))].reset_index(drop=True)
    return join_outcomes(sound, log.outcomes())


def _versioned_index(settings: Settings, wanted: str | None) -> tuple[pd.DataFrame, str]:
    """Return the whole index and the data version that it is, whoever ingests meanwhile.

    Raises VersionUnknown when ``wanted`` is none of the versions, or not the one
    in the store.
    """
    name = None if wanted is None else find_version(settings, wanted)
    with store_lock(settings):
        version = present_version(settings)
        if name not in (None, version):
            raise VersionUnknown(
                f"the store holds data version {version}, not {name}: `mammo data checkout {name}` "
                "puts it back as it was"
            )
        return read_index(settings.index_path), version


def train_release(
    settings: Settings,
    *,
    target: str | None = None,
    config: str | TrainConfig = "default",
    parent: Path | None = None,
    focus: str | None = None,
    split_as: Path | None = None,
    selection: pd.DataFrame | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    data_version: str | None = None,
    progress: Progress | None = None,
) -> TrainedRelease:
    """Train, and return the sealed and registered release.

    A training that was killed is taken up after its last whole epoch when the
    same is asked for again, and ends with the same weights.

    Parameters
    ----------
    config
        The name of a file in `configs/`, a path, or settled already.
    parent
        Folder of the release to retrain; a detector that it carries is carried on. With
        ``retraining: scratch`` its weights are not started from, and it is only the ``split_as``.
    focus
        The scanner to learn; without it, what the parent was not trained on.
    split_as
        Folder of a release whose patients keep their parts although its weights are not
        started from: a training from scratch that is judged against it. It has no
        out-of-fold estimate and carries the detector on, like a child.
    selection
        Train on these images with these weights (`mammo.continual.selection`) instead of choosing.
    overrides, seed
        ``key=value`` and a seed over a configuration that is read (`read_config`).
    data_version
        The version that the store must be, or how its name begins.

    Raises
    ------
    IndexMissing, VersionUnknown
        There is no store, or it is another version than asked for.
    TooFewLabels
        Too few exams of a class, said before anything is trained.
    SourceInvalid, PatientLeak, DigestMismatch
        The parent's detector cannot be carried on: `mammo.continual.carried_detector`.
    TrainingRunning, TrainingDiverged, CheckpointForeign
        See `mammo.continual.network.fit_network`.
    AzureError
        Runs go to an Azure ML workspace, which refuses; said before anything is trained.
    """
    settled = settle_config(settings, config, target, overrides, seed)
    require_tracking(settings)
    report = progress or (lambda stage, done, total: None)
    index, version = _versioned_index(settings, data_version)
    before = split_as or parent
    # of every exam: a detector may have learnt from one that was quarantined since
    known = parts_before(before, settled.preprocess, index)
    parts = split_index(_with_outcomes(settings, index), settled, known=known)
    require_enough(parts, settled, folds=before is None)
    parent = parent if starts_from_parent(settled) else None
    if selection is None:
        lesson = plan_lesson(settled, parts.train, parent=parent, focus=focus)
    else:
        lesson = repeat_lesson(settled, parts.train, selection, parent=parent)
    key, facts = _identity(settled, parts, lesson, parent, version)
    runs = settings.home / "runs"
    meter = Meter()
    with open_run(runs, key, facts, first=is_first_process()) as run:
        resumed = any(one.is_dir() for one in run.path.iterdir())
        trained, history = _train(
            settings, settled, parts, lesson, parent, before, version, run, report
        )
        release, directory = seal_release(settings, trained, report)
        write_spent(directory, meter.read(resumed=resumed))
        registered = register_release(settings, release, directory, settled.to_dict(), history)
    return TrainedRelease(release, directory, registered, release.metrics, history)


def _train(
    settings: Settings,
    config: TrainConfig,
    parts: Parts,
    lesson: Lesson,
    parent: Path | None,
    before: Path | None,
    version: str,
    run: RunFolder,
    report: Progress,
) -> tuple[Trained, list[dict[str, float]]]:
    """Cross-validate and fit; of several processes only the first returns."""
    shards = settings.shards_dir
    out_of_fold = None
    if before is None:  # a child's folds would be scored by weights that saw them
        out_of_fold = cross_validate(config, parts, shards, report, run=run)
    net, origin = start_network(config, parent)
    history = fit_network(
        net, lesson, shards, config, run=run.part("fit"),
        progress=lambda done, total: report("epochs", done, total),
    )  # fmt: skip
    if not is_first_process():
        raise SystemExit(0)  # the first goes on alone: a release is written once
    trained = Trained(
        config, net, origin, parent, parts, version, out_of_fold, lesson.selection(), before
    )
    return trained, history


def _identity(
    config: TrainConfig, parts: Parts, lesson: Lesson, parent: Path | None, version: str
) -> tuple[str, dict[str, Any]]:
    """Return the key of a training and what it stands for: equal keys, equal weights."""
    columns = ["image_id", "sha256", "shard", "shard_row", "scanner"]
    rows = parts.development
    labelled = rows[columns].assign(label=target_values(rows, config.target), train=False)
    labelled["train"] = rows.index.isin(parts.train.index)
    hashes = pd.util.hash_pandas_object(labelled, index=False)
    facts = {
        "config": config.to_dict(),
        "parent": None if parent is None else Release.read(parent).digest,
        "selection": selection_digest(lesson.selection()),
        "data_version": version,
        "weights": _weights_digest(config),
        "data": hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest(),
    }
    return run_key(facts), facts


def _weights_digest(config: TrainConfig) -> str | None:
    """Return the SHA-256 of the file that ``weights`` names; None without one."""
    path = Path(config.weights or "")
    path = path / WEIGHTS if path.is_dir() else path
    return file_sha256(path) if config.weights and path.is_file() else None


def settle_config(
    settings: Settings,
    config: str | TrainConfig,
    target: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> TrainConfig:
    """Read a configuration; the image size is that of the store, prepared at ingest.

    What only a later step would refuse is refused here.
    """
    settled = config
    if isinstance(config, str):
        settled = read_config(config, overrides, target=target, seed=seed)
    assert isinstance(settled, TrainConfig)
    gate_config(settled)
    export_config(settled)
    require_launcher(settled)
    stored = read_store_config(settings)
    return settled if stored is None else replace(settled, preprocess=stored)


def gate_config(config: TrainConfig) -> GateConfig:
    """Return the gate's margins: ``preset: demo`` and differences, or production's.

    Raises SourceInvalid for a setting that the gate does not have, or cannot be.
    """
    changes = dict(config.gate)
    preset = changes.pop("preset", "production")
    if preset not in ("demo", "production"):
        raise SourceInvalid(f"gate.preset is {preset!r}; allowed are demo, production")
    base = GateConfig.demo() if preset == "demo" else GateConfig()
    require_known(changes, base.to_dict(), "setting of gate")
    require_kinds(changes, get_type_hints(GateConfig), "gate.")
    try:
        return GateConfig.from_dict(base.to_dict() | changes)
    except ValueError as error:
        raise SourceInvalid(f"gate: {error}") from error
