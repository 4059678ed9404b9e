"""The out-of-fold estimate: every development patient scored by a network trained without it.

    estimate = cross_validate(config, parts, shards_dir)
    estimate.logits            # (shuffles, rows) in the order of parts.development

A small set's estimate depends on who fell into which fold: ``shuffles`` divides
anew and says how much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from mammo.continual.checkpoints import RunFolder
from mammo.continual.network import fit_network, view_logits
from mammo.continual.split import Parts
from mammo.continual.start import start_network
from mammo.continual.trunk import KeptMaps, may_keep_maps, trunk_maps
from mammo.data.dataset import ViewDataset
from mammo.data.split import split_patients
from mammo.models.config import TrainConfig

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Raw view logits of the development rows, (shuffles, rows) float64.

    Each shuffle is an estimate of its own: averaging them would score an
    ensemble that no release is.
    """

    rows: pd.DataFrame
    logits: np.ndarray


def fold_assignments(parts: Parts, config: TrainConfig) -> Iterator[np.ndarray]:
    """Yield the fold of each development row, (rows,) int64, for each shuffle.

    The first takes the division that the holdout comes from, where it has as
    many folds. Raises TooFewLabels when a class has fewer patients than folds.
    """
    rows = parts.development
    for shuffle in range(config.shuffles):
        if shuffle == 0 and set(parts.folds) == set(range(config.folds)):
            yield parts.folds.to_numpy()
            continue
        yield split_patients(
            rows, target=config.target, folds=config.folds, seed=config.seed + shuffle
        ).to_numpy()


def cross_validate(
    config: TrainConfig,
    parts: Parts,
    shards_dir: Path,
    report: Report | None = None,
    *,
    run: RunFolder | None = None,
) -> OutOfFold | None:
    """Return out-of-fold logits of the development rows, or None with one fold.

    With ``run`` a cross-validation that was killed goes on with the fold that
    it was at.
    """
    last = deque(grow_out_of_fold(config, parts, shards_dir, report, run=run), maxlen=1)
    return last[0] if last else None


def grow_out_of_fold(
    config: TrainConfig,
    parts: Parts,
    shards_dir: Path,
    report: Report | None = None,
    *,
    run: RunFolder | None = None,
    kept: KeptMaps | None = None,
) -> Iterator[OutOfFold]:
    """Yield the estimate of `cross_validate` after each fold; NaN where no fold scored yet.

    Who goes on asking decides whether the next fold is trained: a trial of
    tuning stops here. With one fold there is nothing to yield. ``kept`` holds the
    trunk's maps of these rows from one estimate to the next.
    """
    if config.folds < 2:
        return
    tell = report or (lambda stage, done, total: None)
    rows = parts.development
    maps = _development_maps(config, rows, shards_dir, tell, kept or KeptMaps())
    logits = np.full((config.shuffles, len(rows)), np.nan)
    for shuffle, folds in enumerate(fold_assignments(parts, config)):
        for fold in range(config.folds):
            held = folds == fold
            logits[shuffle, held] = _score_fold(
                config, rows, held, None if maps is None else maps[~held], shards_dir,
                None if run is None else run.part(f"fold-{shuffle}-{fold}"),
            )  # fmt: skip
            tell("folds", shuffle * config.folds + fold + 1, config.shuffles * config.folds)
            yield OutOfFold(rows, logits)


def _score_fold(
    config: TrainConfig,
    rows: pd.DataFrame,
    held: np.ndarray,
    maps: Tensor | None,
    shards_dir: Path,
    run: RunFolder | None,
) -> np.ndarray:
    """Train without the held patients and return their logits."""
    net, _ = start_network(config)
    fit_network(net, rows[~held], shards_dir, config, maps=maps, run=run)
    return view_logits(net, rows[held], shards_dir, config)


def _development_maps(
    config: TrainConfig, rows: pd.DataFrame, shards_dir: Path, report: Report, kept: KeptMaps
) -> Tensor | None:
    """Run the frozen trunk once for all folds; None where it is not the same in every epoch."""
    net, _ = start_network(config)
    if not may_keep_maps(net, config):
        return None
    data = ViewDataset(rows, shards_dir, config.preprocess, target=config.target)
    return kept.get(
        net, config, lambda: trunk_maps(net, data, lambda done, all_: report("trunk", done, all_))
    )
