"""Write the graph of each candidate, and score images with it on one thread."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from mammo.errors import ParityError
from mammo.export.onnx import export_onnx
from mammo.export.prune import PrunePlan, prune_network, renew_statistics
from mammo.export.quantize import quantize_onnx
from mammo.export.settings import TORCHSCRIPT, ExportConfig
from mammo.export.torchscript import export_torchscript, load_torchscript
from mammo.models.breast_net import OutputsGraph, ViewNet

FineTune = Callable[[ViewNet], object]
Scorer = Callable[[np.ndarray], np.ndarray]
"""Images (N, 1, H, W) float32 in [0, 1] -> logits (N,) float32."""


class GraphMaker:
    """Writes candidates; a pruned network is made once for both of its graphs."""

    def __init__(
        self,
        net: ViewNet,
        folder: Path,
        height: int,
        width: int,
        config: ExportConfig,
        calibration: Sequence[np.ndarray],
        fine_tune: FineTune | None,
    ) -> None:
        self.net, self.folder, self.config = net, folder, config
        self.size = {"height": height, "width": width}
        self.calibration, self.fine_tune = calibration, fine_tune
        self.plan: PrunePlan | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return the file of a candidate."""
        return self.folder / f"{name}.{'pt' if name == 'torchscript' else 'onnx'}"

    def make(self, name: str) -> Scorer:
        """Write a candidate and return what scores images with it."""
        path = self.path(name)
        if name == TORCHSCRIPT:
            export_torchscript(self.net, path, **self.size)
            return torchscript_scorer(path)
        if name.endswith("int8"):
            plain = self._float_graph(name.replace("int8", "fp32"))
            quantize_onnx(plain, path, self.calibration, self.config.quantize)
        else:
            self._float_graph(name)
        return onnx_scorer(path)

    def _float_graph(self, name: str) -> Path:
        path = self.path(name)
        if not path.is_file():
            net = self._pruned() if name.startswith("pruned") else self.net
            export_onnx(OutputsGraph(net), path, **self.size, output=OutputsGraph.NAMES)
        return path

    def _pruned(self) -> ViewNet:
        if self.fine_tune is None:
            raise ParityError("A pruned network must be fine-tuned: give fine_tune.")
        pruned = copy.deepcopy(self.net)
        self.plan = prune_network(pruned, self.config.prune)
        renew_statistics(pruned, self.calibration)
        self.fine_tune(pruned)
        return pruned.eval()


def eager_scorer(net: ViewNet) -> Scorer:
    """Return PyTorch as it is: what the others are held against."""

    def score(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(net(torch.from_numpy(images)).numpy())

    net.eval()
    return score


def torchscript_scorer(path: Path) -> Scorer:
    """Return a TorchScript file, fused for this processor."""
    loaded = load_torchscript(path)

    def score(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(loaded(torch.from_numpy(images)).numpy())

    return score


def onnx_scorer(path: Path) -> Scorer:
    """Return an ONNX graph's output ``logit``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def score(images: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(["logit"], {"image": images})[0])

    return score
