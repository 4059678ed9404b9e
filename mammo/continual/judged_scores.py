"""What releases say of the exams that the gate judges on; each network looks at an exam once.

The views' logits are kept in ``<home>/gate``, by the network's digests and the exams': a
recalibrated release has the network of its parent, and the champion meets every challenger.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.golden import golden_tensor
from mammo.continual.score import EMBEDDING_COLUMNS, score_exams, score_views
from mammo.data.durable import make_folder
from mammo.evaluation.gate_material import Scored
from mammo.release import DETECTOR_FILES, HEAD, Release
from mammo.screening import Screener
from mammo.settings import Settings

LATENCY_ROUNDS = 5
VIEWS_PER_EXAM = 4
ADDED = ("logit", "pooled", "breast_logit", *EMBEDDING_COLUMNS)
"""The columns that `score_views` adds."""
FACTS = (
    "image_id", "exam_id", "laterality", "view", "sha256", "shard", "shard_row", "quality",
    "acquired_on", "rows", "columns",
)  # fmt: skip
"""What they follow from: the image, and which views of an exam are pooled."""


class JudgedScores:
    """A release's exam-level scores: ``golden`` and ``newest`` (None where there are no exams)."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        golden: pd.DataFrame,
        newest: pd.DataFrame | None,
        target: str,
    ) -> None:
        self._settings, self._target = settings, target
        self.screener = Screener.load(directory)
        self.release = self.screener.release
        self.golden = self._exams(golden)
        self.newest = None if newest is None or newest.empty else self._exams(newest)

    def _exams(self, rows: pd.DataFrame) -> pd.DataFrame:
        return score_exams(self.screener, self._views(rows), self._target)

    def _views(self, rows: pd.DataFrame) -> pd.DataFrame:
        path = self._settings.home / "gate" / f"{_key(self.release, rows)}.parquet"
        known = _read(path, len(rows))
        if known is not None:
            return pd.concat([rows.reset_index(drop=True), known], axis=1)
        views = score_views(self.screener, rows, self._settings.shards_dir)
        make_folder(path.parent)
        draft = path.with_suffix(f".{os.getpid()}")
        views[list(ADDED)].to_parquet(draft, index=False)
        draft.replace(path)
        return views


def _read(path: Path, rows: int) -> pd.DataFrame | None:
    """Return what was kept; None where nothing was, or a power cut left half a file."""
    try:
        known = pd.read_parquet(path)
    except (OSError, ValueError):
        return None
    return known if len(known) == rows else None


def _key(release: Release, rows: pd.DataFrame) -> str:
    """Return what the logits of these rows follow from: networks, preparation, images, order."""
    network = [release.files[name] for name in ("model.onnx", "encoder.onnx")]
    network += [release.files.get(HEAD, ""), release.aggregation]
    # only where there are some: what was kept before there were detectors stays right
    network += [release.files[name] for name in DETECTOR_FILES if name in release.files]
    prepared = json.dumps(release.preprocess.to_dict(), sort_keys=True)
    text = "\n".join([*network, prepared, rows[list(FACTS)].to_csv(index=False)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def inference_latency_ms(screener: Screener) -> float:
    """Return the median time of inference for an exam of four views, in ms."""
    tensor = golden_tensor(screener.release.preprocess)
    exam = np.repeat(tensor[np.newaxis], VIEWS_PER_EXAM, axis=0)
    times = []
    for _ in range(LATENCY_ROUNDS):
        started = time.perf_counter()
        screener.infer(exam)
        times.append(1000.0 * (time.perf_counter() - started))
    return float(np.median(times))


def as_scored(
    before: pd.DataFrame | None, after: pd.DataFrame | None, earlier: dict[str, np.ndarray]
) -> Scored | None:
    """Return exams as the gate reads them, of champion and challenger; None without exams.

    ``earlier``: release to golden scores (exams,).
    """
    if after is None:
        return None
    old: dict[str, Any] = {"champion_scores": None}
    if before is not None:
        old = {
            "champion_scores": before["probability"].to_numpy(),
            "champion_recalled": before["recall"].to_numpy(),
            "champion_probabilities": before["probability"].to_numpy(),
        }
    return Scored(
        labels=after["label"].astype(int).to_numpy(),
        patients=after["patient_id"].to_numpy(),
        challenger_scores=after["probability"].to_numpy(),
        challenger_recalled=after["recall"].to_numpy(),
        challenger_probabilities=after["probability"].to_numpy(),
        scanner=after["scanner"].to_numpy(),
        site=after["site"].to_numpy(),
        period=periods_of(after["acquired_on"]).to_numpy(),
        earlier_scores=earlier,
        **old,
    )


def periods_of(acquired_on: pd.Series) -> pd.Series:
    """Return the calendar year of each exam as text; "unknown" where the day is not known."""
    years = pd.to_datetime(acquired_on).dt.year
    return years.map(lambda year: "unknown" if pd.isna(year) else str(int(year)))
