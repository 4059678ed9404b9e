"""From a trained network to a sealed release: graphs, head, operating points, scores, card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mammo.continual.calibrate import CalibratedScanners, calibrate_scanners
from mammo.continual.card import write_card
from mammo.continual.carried_detector import carry_detector, tell_carried
from mammo.continual.carry import carry_best, export_config
from mammo.continual.checkpoints import write_weights
from mammo.continual.folds import OutOfFold
from mammo.continual.golden import golden_tensor, write_golden
from mammo.continual.heads import fit_head, has_head
from mammo.continual.measure import exam_metrics, out_of_fold_metrics
from mammo.continual.score import score_breast_logits, score_exams, score_views
from mammo.continual.scores import OUT_OF_FOLD, pooled_views, view_scores, write_scores
from mammo.continual.selection import REPLAY, write_selection
from mammo.continual.split import PARTS, Parts
from mammo.continual.split import RUN_CONFIG as RUN_CONFIG
from mammo.continual.trace import write_images
from mammo.data.index import target_values
from mammo.export.head import export_head
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import FrozenEncoder, OutputsGraph, ViewNet
from mammo.models.config import TrainConfig
from mammo.models.heat import network_grid
from mammo.release import HEAD, MEAN, Release, new_release_id, write_json
from mammo.screening import Screener
from mammo.settings import Settings

Report = Callable[[str, int, int], None]
WEIGHTS = "weights.safetensors"


class Trained(NamedTuple):
    """What a training made, and of what: all that a release is sealed from.

    ``selection`` is None where nothing was trained: what is in the draft stays. ``before``
    is the release that the training follows, whether its weights were started from or not.
    """

    config: TrainConfig
    net: ViewNet
    origin: str
    parent: Path | None
    parts: Parts
    data_version: str
    out_of_fold: OutOfFold | None
    selection: pd.DataFrame | None = None
    before: Path | None = None


def seal_release(settings: Settings, trained: Trained, report: Report) -> tuple[Release, Path]:
    """Export, train the head where one is asked for, calibrate, evaluate and seal.

    It carries the detector of the release before it, if that has one. Returns the release
    and its folder, which appears under its name when complete.
    """
    draft, release = _export(settings, trained)
    metrics: dict[str, Any] = {}
    if (export := export_config(trained.config)) is not None:
        metrics["exports"] = carry_best(
            draft, trained.net, trained.config, export, trained.parts, settings.shards_dir
        )
    if has_head(trained.config):
        metrics["head"] = _add_head(settings, trained, draft, release, report)
    if trained.before is not None:
        release = carry_detector(trained.before, draft, release)
        metrics |= release.metrics
    release = evaluate_release(settings, trained, draft, release, metrics, report)
    directory = draft.with_name(release.id)
    draft.replace(directory)
    return release, directory


def _export(settings: Settings, trained: Trained) -> tuple[Path, Release]:
    """Write the graphs and weights into a draft folder; return it with its manifest."""
    config, parent = trained.config, trained.parent
    release = Release(
        id=new_release_id(config.to_dict(), trained.origin, len(trained.parts.train)),
        parent=None if parent is None else Release.read(parent).id,
        kind="trained" if parent is None else "fine_tuned",
        created_at=datetime.now(UTC).isoformat(),
        target=config.target,
        architecture=config.architecture,
        data_version=trained.data_version,
        trained_on=_trained_on(trained),
        preprocess=config.preprocess,
        operating_points={},
        aggregation=config.aggregation,
    )
    draft = settings.releases_dir / f".{release.id}"
    draft.mkdir(parents=True)
    size = {"height": config.preprocess.height, "width": config.preprocess.width}
    graph = OutputsGraph(trained.net)
    export_onnx(graph, draft / "model.onnx", **size, output=OutputsGraph.NAMES)
    write_weights(draft / WEIGHTS, trained.net.state_dict())
    if parent is None:
        export_onnx(FrozenEncoder(), draft / "encoder.onnx", **size, output="embedding")
    else:
        shutil.copy2(parent / "encoder.onnx", draft / "encoder.onnx")
    write_json(draft / RUN_CONFIG, config.to_dict())
    return draft, release


def _trained_on(trained: Trained) -> str:
    train, selected = trained.parts.train, trained.selection
    if selected is not None:
        train = train[train["image_id"].isin(selected["image_id"])]
    scanners = ", ".join(sorted(train["scanner"].dropna().unique()))
    return (
        f"{len(train)} mammograms of {train['patient_id'].nunique()} patients "
        f"({', '.join(sorted(train['source'].unique()))}; scanners: {scanners}); "
        f"weights from {trained.origin}{_replayed(trained)}{tell_carried(trained.before)}"
    )


def _replayed(trained: Trained) -> str:
    """Return how the parent was retrained, as the end of a sentence."""
    if trained.parent is None or trained.selection is None:
        return ""
    old = int(trained.selection["part"].eq(REPLAY).sum())
    return f", retrained by {trained.config.retraining} with {old} of the images replayed"


def _add_head(
    settings: Settings, trained: Trained, draft: Path, release: Release, report: Report
) -> dict[str, Any]:
    """Train the multi-view head on the training patients and write head.onnx."""
    plain = Screener(replace(release, aggregation=MEAN), draft)  # there is no head yet
    head, told = fit_head(
        trained.net, plain, trained.parts.train, settings.shards_dir, trained.config,
        lambda done, total: report("head", done, total),
    )  # fmt: skip
    export_head(head, draft / HEAD)
    return told.to_dict()


def evaluate_release(
    settings: Settings,
    trained: Trained,
    draft: Path,
    release: Release,
    metrics: dict[str, Any],
    report: Report,
) -> Release:
    """Score the patients not trained on, set the operating points, and seal."""
    config, parts = trained.config, trained.parts
    screener = Screener(release, draft)
    untouched = pd.concat([parts.holdout, parts.golden]).reset_index(drop=True)
    views = score_views(
        screener, untouched, settings.shards_dir, lambda d, t: report("scoring", d, t)
    )
    part = views["patient_id"].isin(set(parts.golden["patient_id"]))
    part = part.map({True: "golden", False: "holdout"})
    calibrated = _operating_points(views[part == "holdout"], parts, config)
    screener.release = replace(release, operating_points=calibrated.points)
    exams = score_exams(screener, views, config.target)
    _write_tables(draft, trained, screener, views, part, exams)
    metrics |= exam_metrics(exams) | {"patients": parts.counts()}
    metrics["calibration"] = calibrated.choice.to_dict()
    if trained.out_of_fold is not None:
        metrics |= out_of_fold_metrics(trained.out_of_fold, config)
    finished = replace(screener.release, metrics=metrics)
    write_card(draft / "card.md", finished)
    return finished.seal(draft, settings.keys_dir)


def _operating_points(
    holdout: pd.DataFrame, parts: Parts, config: TrainConfig
) -> CalibratedScanners:
    breasts = score_breast_logits(holdout, config.target)
    return calibrate_scanners(breasts, parts.train["scanner"], config)


def _write_tables(
    draft: Path,
    trained: Trained,
    screener: Screener,
    views: pd.DataFrame,
    part: pd.Series,
    exams: pd.DataFrame,
) -> None:
    """Write the reference, the scores, who was in which part, and the golden input."""
    config, parts = trained.config, trained.parts
    sealed = set(parts.golden["patient_id"])
    exams["part"] = np.where(exams["patient_id"].isin(sealed), "golden", "holdout")
    # the monitor's AUC arm compares outcomes of cancer; other targets have none
    exams["cancer"] = exams["label"] if config.target == "cancer" else pd.NA
    exams["cancer"] = exams["cancer"].astype("Int8")
    exams.to_parquet(draft / "reference.parquet", index=False)
    scores = [view_scores(views, part, config.target)]
    if trained.out_of_fold is not None:
        estimate = trained.out_of_fold
        # the first shuffle: one row a mammogram, as a release would have scored it
        held = pooled_views(estimate.rows, estimate.logits[0], config.aggregation)
        scores.append(view_scores(held, OUT_OF_FOLD, config.target))
    write_scores(draft, scores)
    grid = network_grid(trained.net, golden_tensor(screener.release.preprocess))
    write_golden(draft, screener, grid)
    parts.patients().to_parquet(draft / "patients.parquet", index=False)
    frames = {name: getattr(parts, name) for name in PARTS}
    labels = {name: target_values(one, config.target) for name, one in frames.items()}
    write_images(draft, frames, labels)
    if trained.selection is not None:
        write_selection(draft, trained.selection)
