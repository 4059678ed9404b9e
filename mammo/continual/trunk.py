"""The frozen part of a network, run once per image instead of once per epoch."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from mammo.data.dataset import ViewDataset
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.preprocess import PreprocessConfig

Progress = Callable[[int, int], None]
TRUNK_BATCH = 16
KEPT_BYTES = 2 * 2**30


def may_keep_maps(net: ViewNet, config: TrainConfig) -> bool:
    """True when an image's trunk map is the same in every epoch.

    Not where images are augmented, nor where the trunk shrinks as stages are
    unfrozen. Without a trunk there is nothing to save, but the two mirror images
    are still chosen between, as everywhere without augmentation.
    """
    return not config.augment and not config.unfreeze_every


def trunk_maps(net: ViewNet, data: ViewDataset, progress: Progress | None = None) -> Tensor:
    """Run the frozen trunk once over every image and its mirror image.

    Returns (N, 2, ...) float16: maps of the image and of its horizontal flip. The
    trunk runs in ONNX Runtime, three times as fast on a CPU as eager PyTorch.
    """
    kept: list[Tensor] = []
    session = _trunk_session(net, data.config)
    for start in range(0, len(data), TRUNK_BATCH):
        items = range(start, min(start + TRUNK_BATCH, len(data)))
        images = np.stack([data.image(item) for item in items])
        pair = [
            session.run(["maps"], {"image": np.ascontiguousarray(one)})[0]
            for one in (images, images[..., ::-1])
        ]
        # half precision: a training input, never a score
        kept.append(torch.from_numpy(np.stack(pair, axis=1)).half())
        if progress is not None:
            progress(items.stop, len(data))
    return torch.cat(kept)


class KeptMaps:
    """Maps of one set of images by the trunk they are of, for many fits of the same images.

    The newest stay, up to ``KEPT_BYTES``. A copy sent to another process is empty.
    """

    def __init__(self) -> None:
        self._maps: dict[str, Tensor] = {}

    def get(self, net: ViewNet, config: TrainConfig, compute: Callable[[], Tensor]) -> Tensor:
        """Return the maps of the network's trunk, computed where they are not kept."""
        key = _trunk_key(net, config)
        if key not in self._maps:
            self._maps[key] = compute()
            while len(self._maps) > 1 and self._bytes() > KEPT_BYTES:
                del self._maps[next(iter(self._maps))]
        return self._maps[key]

    def _bytes(self) -> int:
        return sum(one.nbytes for one in self._maps.values())

    def __reduce__(self) -> tuple[type[KeptMaps], tuple[()]]:
        """Pickle as a new one: maps are gigabytes, and quicker computed than sent."""
        return KeptMaps, ()


def _trunk_key(net: ViewNet, config: TrainConfig) -> str:
    """Return a digest of what decides the maps: frozen weights, size, and pooling at the end."""
    pooled = config.pooling if net.frozen_stages == len(net.stages) else None
    told = (config.architecture, net.frozen_stages, config.preprocess.to_dict(), pooled)
    digest = hashlib.sha256(repr(told).encode())
    for stage in list(net.stages)[: net.frozen_stages]:
        for name, values in stage.state_dict().items():
            digest.update(name.encode())
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()


class _Trunk(nn.Module):
    """The frozen part of a network as a module of its own, to be exported."""

    def __init__(self, net: ViewNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return self.net.trunk(image)


def _trunk_session(net: ViewNet, config: PreprocessConfig) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trunk.onnx"
        size = {"height": config.height, "width": config.width}
        export_onnx(_Trunk(net), path, **size, output="maps")
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
