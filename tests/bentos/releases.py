"""A real release with a tiny network: everything but the learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mammo.continual.card import write_card
from mammo.continual.golden import write_golden
from mammo.exam import OperatingPoint
from mammo.export.onnx import export_onnx
from mammo.prediction_log import exam_frame
from mammo.preprocess import FEATURE_NAMES, PreprocessConfig
from mammo.release import Release
from mammo.screening import Screener


class Brightness(nn.Module):
    """The logit is the mean of the image plus a bias."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, image: Tensor) -> Tensor:
        return image.mean(dim=(1, 2, 3)) + self.bias


class Stripes(nn.Module):
    """The embedding is the mean of 32 horizontal stripes."""

    def forward(self, image: Tensor) -> Tensor:
        return image.reshape(-1, 32, image.shape[2] * image.shape[3] // 32).mean(dim=2)


def write_release(releases_dir: Path, release_id: str, bias: float = 0.0) -> Path:
    """Write a release under its id, signed with the home's key; ``bias`` moves its scores."""
    config = PreprocessConfig(height=128, width=64)
    directory = releases_dir / release_id
    directory.mkdir(parents=True)
    net, size = Brightness(bias), {"height": config.height, "width": config.width}
    export_onnx(net, directory / "model.onnx", **size, output="logit")
    export_onnx(Stripes(), directory / "encoder.onnx", **size, output="embedding")
    save_file(dict(net.state_dict()), directory / "weights.safetensors")
    release = Release(
        id=release_id,
        parent=None,
        kind="trained",
        created_at="2026-03-01T09:00:00+00:00",
        target="cancer",
        architecture="brightness",
        data_version="d1",
        trained_on="nothing",
        preprocess=config,
        operating_points={"*": OperatingPoint("*", 1.0, 0.0, 0.5, 0.1)},
        metrics={"auc": {"value": 0.9, "low": 0.8, "high": 1.0}},
    )
    write_golden(directory, Screener(release, directory))
    exam_frame([]).to_parquet(directory / "reference.parquet")
    pd.DataFrame({"patient_id": ["P-1"], "part": ["train"]}).to_parquet(
        directory / "patients.parquet"
    )
    write_card(directory / "card.md", release)
    release.seal(directory, releases_dir.parent / "keys")
    return directory


def write_reference(directory: Path, exams: int, *, middle: float = 0.0) -> None:
    """Write a reference of exams of one scanner, whose numbers lie around ``middle``."""
    rng = np.random.default_rng(5)
    logits = np.linspace(-3, 3, exams)
    frame = pd.DataFrame({"logit": logits, "scanner": "A/B", "probability": 0.5})
    for name in [f"e_{i:02d}" for i in range(32)] + [f"f_{name}" for name in FEATURE_NAMES]:
        frame[name] = rng.normal(middle, size=exams)
    frame.to_parquet(directory / "reference.parquet")
