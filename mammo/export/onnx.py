"""Write a trained network and the frozen encoder as ONNX graphs.

Both take the tensor of `mammo.preprocess.to_tensor`: ``image``, float32
(N, 1, H, W) in [0, 1], with N free. Normalisation is inside the graph, so that
no caller can forget it. What depends on H and W alone is worked out beforehand
(`mammo.export.lowering`); constants are folded, batch normalisation with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mammo.export.lowering import lower_network

OPSET = 17


def export_onnx(
    network: nn.Module, path: Path, *, height: int, width: int, output: str | Sequence[str]
) -> None:
    """Export ``network`` in evaluation mode; ``output`` names its output, or each of several.

    ``network`` itself is left as it is. The size is part of the graph.
    """
    outputs = [output] if isinstance(output, str) else list(output)
    lowered = lower_network(network, height=height, width=width)
    example = torch.zeros(2, 1, height, width)
    with warnings.catch_warnings():
        # the graph is static and small; the tracing exporter needs no onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            lowered,
            (example,),
            str(path),
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in ("image", *outputs)},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
