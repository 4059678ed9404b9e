"""Export a module and run it; what a runtime makes of a release is tested in tests/export."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn


def export_graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    axes: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
) -> None:
    """Trace ``module``; ``axes`` names its inputs and outputs with their free axes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=[name for name in axes if name not in outputs],
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def run_graph(path: Path, feed: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the graph's outputs by name."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(
        zip(names, session.run(names, {k: v.numpy() for k, v in feed.items()}), strict=True)
    )
