"""Freeze a trained network into one TorchScript file, for users of PyTorch and libtorch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mammo.export.lowering import lower_network

jit: Any = torch.jit  # it has no annotations


def export_torchscript(network: nn.Module, path: Path, *, height: int, width: int) -> None:
    """Trace, freeze and optimise ``network``; (N, 1, height, width) float32 as it takes.

    Weights become constants and batch normalisation is folded into the
    convolutions. Fusions that belong to one processor are left to
    `load_torchscript`, so that the file runs anywhere.
    """
    lowered = lower_network(network, height=height, width=width)
    lowered.requires_grad_(False)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sizes that the trace fixes are fixed in a release
        traced = jit.trace(lowered, torch.zeros(1, 1, height, width))
        jit.save(jit.freeze(traced), str(path))


def load_torchscript(path: Path) -> Any:
    """Load a file of `export_torchscript` and fuse it for this processor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jit.optimize_for_inference(jit.load(str(path), map_location="cpu"))
