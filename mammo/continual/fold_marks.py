"""Marks on every training patient by a detector that was not trained on her.

A kept detector holds out one patient in five, which may be too few to fit a joint score
on. Here its training is repeated for each fold of the patients without that fold: same
network, start, epochs and seed, fewer images. A fold's detector is a little weaker than
the kept one, so that the weight of its marks is, if anything, too low.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mammo.continual.detector_start import start_detector
from mammo.continual.fit_detector import BATCH, boxed_images, placed_index
from mammo.data.shards import ShardReader
from mammo.data.split import split_patients
from mammo.detection.carried import MOST_MARKS, Marks
from mammo.detection.detector import Detector, DetectorManifest, Raw
from mammo.detection.registry import build_detector
from mammo.settings import Settings

Report = Callable[[str, int, int], None]


def marks_out_of_fold(
    settings: Settings,
    facts: DetectorManifest,
    rows: pd.DataFrame,
    target: str,
    folds: int,
    report: Report,
) -> Marks:
    """Return the marks (N, 50, 5) of rows of the index, each by a fold's detector.

    ``facts`` says how to train: as the kept detector was. Raises TooFewLabels where a
    class has fewer patients than folds, NoBoxes where a training has no box.
    """
    fold = split_patients(rows, target=target, folds=folds, seed=int(facts.training["seed"]))
    placed = rows["image_id"].isin(placed_index(settings)["image_id"]).to_numpy()
    marks = np.zeros((len(rows), MOST_MARKS, 5), np.float32)
    for number in range(folds):
        held = fold.to_numpy() == number
        detector = _train(settings, facts, rows[~held & placed])
        marks[held] = _marks(detector, settings, rows[held])
        report("folds", number + 1, folds)
    return marks


def _train(settings: Settings, facts: DetectorManifest, rows: pd.DataFrame) -> Detector:
    config = facts.config
    seed = int(facts.training["seed"])
    detector = build_detector(facts.name, (config.height, config.width), seed=seed)
    start_detector(detector)
    boxed = boxed_images(settings, rows, config)
    detector.fit(boxed.images, boxed.boxes, epochs=int(facts.training["epochs"]), seed=seed)
    return detector


def _marks(detector: Detector, settings: Settings, rows: pd.DataFrame) -> Marks:
    reader = ShardReader(settings.shards_dir)
    places = list(zip(rows["shard"], rows["shard_row"].astype(int), strict=True))
    found: list[Raw] = []
    for start in range(0, len(places), BATCH):
        images = np.stack([reader.row(*place) for place in places[start : start + BATCH]])
        found += detector.detect(images)
    return np.stack([_padded(raw) for raw in found])


def _padded(raw: Raw) -> Marks:
    marks = np.zeros((MOST_MARKS, 5), np.float32)
    rows = np.asarray(raw[:MOST_MARKS], np.float32).reshape(-1, 5)
    marks[: len(rows)] = rows
    return marks
