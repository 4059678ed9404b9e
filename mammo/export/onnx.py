"""Write a trained network and the frozen encoder as ONNX graphs.

Both take the tensor of `mammo.preprocess.to_tensor`: ``image``, float32
(N, 1, H, W) in [0, 1], with N free. Normalisation is inside the graph, so that
no caller can forget it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

OPSET = 17


def export_onnx(network: nn.Module, path: Path, *, height: int, width: int, output: str) -> None:
    """Export ``network`` in evaluation mode; one output named ``output``."""
    network.eval()
    example = torch.zeros(2, 1, height, width)
    with warnings.catch_warnings():
        # the graph is static and small; the tracing exporter needs no onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["image"],
            output_names=[output],
            dynamic_axes={"image": {0: "n"}, output: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
