"""A release as large as a real one: EfficientNet-Lite0 at 1024 x 512, ImageNet's weights or random.

Time does not depend on what the weights say, and no claim on accuracy is made from them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from mammo.continual.card import write_card
from mammo.continual.golden import golden_tensor, write_golden
from mammo.exam import OperatingPoint
from mammo.export.onnx import export_onnx
from mammo.export.quantize import quantize_onnx
from mammo.export.settings import QuantizeConfig
from mammo.models.breast_net import FrozenEncoder, OutputsGraph, build_view_net
from mammo.models.imagenet import is_packaged
from mammo.prediction_log import exam_frame
from mammo.preprocess import PreprocessConfig
from mammo.release import Release
from mammo.screening import Screener

ARCHITECTURE = "tf_efficientnet_lite0"
CONFIG = PreprocessConfig(height=1024, width=512)
SIZE = {"height": CONFIG.height, "width": CONFIG.width}
GRAPHS = ("onnx_fp32", "onnx_int8")


def release_id(graph: str) -> str:
    """Return the id of the release that carries this graph."""
    return f"r-20260301-{'f32f32f3' if graph == 'onnx_fp32' else '18181818'}"


def find_release(releases_dir: Path, graph: str = "onnx_fp32") -> Path:
    """Return the release with this graph (one of GRAPHS), written there on first use."""
    directory = releases_dir / release_id(graph)
    if not (directory / "manifest.json").exists():
        write_release(directory, graph)
    return directory


def write_release(directory: Path, graph: str) -> None:
    """Write every file of a release, with a model.onnx of that graph."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_networks(directory, graph)
    release = _manifest(directory.name)
    write_golden(directory, Screener(release, directory))
    exam_frame([]).to_parquet(directory / "reference.parquet")
    patients = pd.DataFrame({"patient_id": ["P-1"], "part": ["train"]})
    patients.to_parquet(directory / "patients.parquet")
    write_card(directory / "card.md", release)
    release.seal(directory, directory.parents[1] / "keys")


def _write_networks(directory: Path, graph: str) -> None:
    torch.manual_seed(0)
    net = build_view_net(ARCHITECTURE, pretrained=is_packaged(ARCHITECTURE))[0].eval()
    model = directory / "model.onnx"
    export_onnx(OutputsGraph(net), model, **SIZE, output=OutputsGraph.NAMES)
    if graph == "onnx_int8":
        plain = model.rename(directory / "plain.onnx")
        quantize_onnx(plain, model, [_textured(seed) for seed in range(2)], QuantizeConfig())
        plain.unlink()
    export_onnx(FrozenEncoder(), directory / "encoder.onnx", **SIZE, output="embedding")
    save_file(dict(net.state_dict()), directory / "weights.safetensors")


def _textured(seed: int) -> np.ndarray:
    """Return the golden image with noise: ranges to calibrate 8 bits on, (1, 1024, 512)."""
    noise = np.random.default_rng(seed).normal(0, 0.05, golden_tensor(CONFIG).shape)
    return np.clip(golden_tensor(CONFIG) + noise, 0, 1).astype(np.float32)


def _manifest(release: str) -> Release:
    return Release(
        id=release,
        parent=None,
        kind="trained",
        created_at="2026-03-01T09:00:00+00:00",
        target="cancer",
        architecture=ARCHITECTURE,
        data_version="benchmark",
        trained_on="nothing",
        preprocess=CONFIG,
        operating_points={"*": OperatingPoint("*", 1.0, 0.0, 0.5, 0.1)},
        metrics={"auc": {"value": 0.5, "low": 0.5, "high": 0.5}},
    )
