"""Releases with scores of a known structure: a tiny network, and tables that were made up."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.exam import OperatingPoint
from mammo.release import Release

from ..bentos.releases import write_release
from .tables import scores_table

CONFIG = {"name": "made", "architecture": "brightness", "epochs": 2, "seed": 1}


def write_run(
    releases: Path,
    name: str,
    scores: pd.DataFrame | None,
    *,
    trained: tuple[str, ...] = ("P-train",),
    config: dict[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write a release with these scores (None: without); ``facts`` go into its manifest."""
    template, directory = releases.parent / "template", releases / name
    if not template.exists():
        write_release(template, "r-template")
    shutil.copytree(template / "r-template", directory)
    parts = ["train"] * len(trained)
    patients = pd.DataFrame({"patient_id": list(trained), "part": parts})
    patients.to_parquet(directory / "patients.parquet")
    if scores is not None:
        scores.to_parquet(directory / "scores.parquet")
    (directory / "train_config.json").write_text(json.dumps(CONFIG | (config or {})))
    points = {"*": OperatingPoint("*", 1.0, 0.5, 0.4, 0.3)}
    release = Release.read(directory)
    replace(release, id=name, operating_points=points, **facts).seal(directory)
    return directory


def noisier(scores: pd.DataFrame, sigma: float, seed: int = 1) -> pd.DataFrame:
    """Return the same mammograms scored by a worse model: noise on every logit."""
    noise = np.random.default_rng(seed).normal(scale=sigma, size=len(scores))
    return scores.assign(logit=scores["logit"] + noise)


def write_three(releases: Path) -> list[str]:
    """Write a good release, an equal one and one that guesses; return their names."""
    scores = scores_table(150, seed=3)
    write_run(releases, "r-good", scores)
    write_run(releases, "r-alike", noisier(scores, 0.3), config={"epochs": 5})
    write_run(
        releases, "r-guess", noisier(scores, 30.0), config={"pooling": "max"},
        architecture="darkness", data_version="d2",
    )  # fmt: skip
    return ["r-good", "r-alike", "r-guess"]
