"""From the exam index to a release: split, fit, export, calibrate, evaluate, seal, register.

    result = train_release(settings, config="demo")
    result.release.id, result.directory, result.metrics["golden_auc"]

A first release starts from ImageNet; `fine_tune_release` starts from the
release in service and replays the older scanners.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save_file
from torch import Tensor

from mammo.continual.calibrate import calibrate_scanners
from mammo.continual.card import write_card
from mammo.continual.golden import write_golden
from mammo.continual.measure import exam_metrics, out_of_fold_auc
from mammo.continual.network import fit_network, trunk_maps, view_logits
from mammo.continual.score import score_breast_logits, score_exams, score_views
from mammo.continual.split import PARTS, Parts, known_parts, split_index
from mammo.continual.trace import write_images
from mammo.data.dataset import ViewDataset
from mammo.data.index import join_outcomes, read_index, target_values
from mammo.data.store import read_store_config, store_lock
from mammo.data.version_files import present_version
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import FrozenEncoder, ViewNet, build_view_net
from mammo.models.config import TrainConfig, read_config
from mammo.models.tracking import Registered, register_release
from mammo.prediction_log import PredictionLog
from mammo.release import Release, new_release_id, write_json
from mammo.screening import Screener
from mammo.settings import Settings

Progress = Callable[[str, int, int], None]
RUN_CONFIG = "train_config.json"


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
    """Return the exam index with every outcome that has arrived since."""
    return _with_outcomes(settings, read_index(settings.index_path))


def _with_outcomes(settings: Settings, index: pd.DataFrame) -> pd.DataFrame:
    outcomes = PredictionLog(settings.log_url).create().outcomes()
    return join_outcomes(index, outcomes)


def _versioned_index(settings: Settings) -> tuple[pd.DataFrame, str]:
    """Return the labelled index and the data version that it is, whoever ingests meanwhile."""
    with store_lock(settings):
        version = present_version(settings)
        index = read_index(settings.index_path)
    return _with_outcomes(settings, index), version


def train_release(
    settings: Settings,
    *,
    target: str | None = None,
    config: str | TrainConfig = "default",
    parent: Path | None = None,
    focus: str | None = None,
    progress: Progress | None = None,
) -> TrainedRelease:
    """Train, and return the sealed and registered release.

    ``config`` is the name of a file in `configs/`, a path, or settled already. With ``parent`` the
    weights start from that release (fine-tuning), and ``focus`` names the
    scanner to learn while all others are replayed. Raises IndexMissing and
    TooFewLabels.
    """
    settled = settle_config(settings, config, target)
    report = progress or (lambda stage, done, total: None)
    index, data_version = _versioned_index(settings)
    parts = split_index(index, settled, known=known_parts(parent))
    net, origin = _start(settled, parent)
    out_of_fold = None
    if parent is None:  # a child's folds would be scored by weights that saw them
        out_of_fold = _cross_validate(settled, parts, settings.shards_dir, report)
    history = fit_network(
        net, parts.train, settings.shards_dir, settled, focus=focus,
        progress=lambda done, total: report("epochs", done, total),
    )  # fmt: skip
    draft, release = _export(settings, settled, net, origin, parent, parts, data_version)
    release = _calibrate(settings, settled, draft, release, parts, out_of_fold, report)
    directory = draft.with_name(release.id)
    draft.replace(directory)
    registered = register_release(settings, release, directory, settled.to_dict(), history)
    return TrainedRelease(release, directory, registered, release.metrics, history)


def settle_config(
    settings: Settings, config: str | TrainConfig, target: str | None = None
) -> TrainConfig:
    """Read a configuration; the image size is that of the store, prepared at ingest."""
    settled = read_config(config, target=target) if isinstance(config, str) else config
    stored = read_store_config(settings)
    return settled if stored is None else replace(settled, preprocess=stored)


def _start(config: TrainConfig, parent: Path | None) -> tuple[ViewNet, str]:
    """Return the network to train and where its weights come from."""
    net, origin = build_view_net(
        config.architecture, frozen_stages=config.frozen_stages, pretrained=config.pretrained
    )
    if parent is not None:
        net.load_state_dict(load_file(parent / "weights.safetensors"))
        origin = f"release {Release.read(parent).id}"
    return net, origin


def _cross_validate(
    config: TrainConfig, parts: Parts, shards_dir: Path, report: Progress
) -> np.ndarray | None:
    """Return out-of-fold logits of the development rows, or None with one fold."""
    if config.folds < 2:
        return None
    rows = parts.development
    maps = _development_maps(config, rows, shards_dir, report)
    logits = np.full(len(rows), np.nan)
    folds = parts.folds.to_numpy()
    for fold in range(config.folds):
        held = folds == fold
        net, _ = _start(config, None)
        kept = None if maps is None else maps[~held]
        fit_network(net, rows[~held], shards_dir, config, maps=kept)
        logits[held] = view_logits(net, rows[held], shards_dir, config)
        report("folds", fold + 1, config.folds)
    return logits


def _development_maps(
    config: TrainConfig, rows: pd.DataFrame, shards_dir: Path, report: Progress
) -> Tensor | None:
    """Run the frozen trunk once for all folds; None where images are augmented."""
    if config.augment:
        return None
    net, _ = _start(config, None)
    data = ViewDataset(rows, shards_dir, config.preprocess, target=config.target)
    return trunk_maps(net, data, lambda done, total: report("trunk", done, total))


def _export(
    settings: Settings,
    config: TrainConfig,
    net: ViewNet,
    origin: str,
    parent: Path | None,
    parts: Parts,
    data_version: str,
) -> tuple[Path, Release]:
    """Write the graphs and weights into a draft folder; return it with its manifest."""
    parent_id = None if parent is None else Release.read(parent).id
    release = Release(
        id=new_release_id(config.to_dict(), origin, len(parts.train)),
        parent=parent_id,
        kind="trained" if parent is None else "fine_tuned",
        created_at=datetime.now(UTC).isoformat(),
        target=config.target,
        architecture=config.architecture,
        data_version=data_version,
        trained_on=_trained_on(parts.train, origin),
        preprocess=config.preprocess,
        operating_points={},
    )
    draft = settings.releases_dir / f".{release.id}"
    draft.mkdir(parents=True)
    size = {"height": config.preprocess.height, "width": config.preprocess.width}
    export_onnx(net, draft / "model.onnx", **size, output="logit")
    save_file(
        {k: v.contiguous() for k, v in net.state_dict().items()}, draft / "weights.safetensors"
    )
    if parent is None:
        export_onnx(FrozenEncoder(), draft / "encoder.onnx", **size, output="embedding")
    else:
        shutil.copy2(parent / "encoder.onnx", draft / "encoder.onnx")
    write_json(draft / RUN_CONFIG, config.to_dict())
    return draft, release


def _trained_on(train: pd.DataFrame, origin: str) -> str:
    scanners = ", ".join(sorted(train["scanner"].dropna().unique()))
    return (
        f"{len(train)} mammograms of {train['patient_id'].nunique()} patients "
        f"({', '.join(sorted(train['source'].unique()))}; scanners: {scanners}); "
        f"weights from {origin}"
    )


def _calibrate(
    settings: Settings,
    config: TrainConfig,
    draft: Path,
    release: Release,
    parts: Parts,
    out_of_fold: np.ndarray | None,
    report: Progress,
) -> Release:
    """Score the patients not trained on, set the operating points, and seal."""
    screener = Screener(release, draft)
    untouched = pd.concat([parts.holdout, parts.golden]).reset_index(drop=True)
    views = score_views(
        screener, untouched, settings.shards_dir, lambda d, t: report("scoring", d, t)
    )
    golden = views["patient_id"].isin(set(parts.golden["patient_id"]))
    breasts = score_breast_logits(views[~golden], config.target)
    calibrated = calibrate_scanners(breasts, parts.train["scanner"], config)
    screener.release = replace(release, operating_points=calibrated.points)
    exams = score_exams(screener, views, config.target)
    exams["part"] = np.where(
        exams["patient_id"].isin(set(parts.golden["patient_id"])), "golden", "holdout"
    )
    # the monitor's AUC arm compares outcomes of cancer; other targets have none
    exams["cancer"] = exams["label"] if config.target == "cancer" else pd.NA
    exams["cancer"] = exams["cancer"].astype("Int8")
    exams.to_parquet(draft / "reference.parquet", index=False)
    write_golden(draft, screener)
    parts.patients().to_parquet(draft / "patients.parquet", index=False)
    frames = {name: getattr(parts, name) for name in PARTS}
    write_images(
        draft, frames, {name: target_values(one, config.target) for name, one in frames.items()}
    )
    metrics = exam_metrics(exams) | {"patients": parts.counts()}
    metrics["calibration"] = calibrated.choice.to_dict()
    if out_of_fold is not None:
        metrics["out_of_fold_auc"] = out_of_fold_auc(parts, out_of_fold, config.target)
    finished = replace(screener.release, metrics=metrics)
    write_card(draft / "card.md", finished)
    return finished.seal(draft)
