"""The network of a release in PyTorch, as it was trained: for what its graph cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mammo.errors import DigestMismatch
from mammo.release import Release, file_sha256

if TYPE_CHECKING:
    from mammo.models.breast_net import ViewNet

WEIGHTS = "weights.safetensors"


def read_view_net(directory: Path) -> ViewNet:
    """Return a release's network in evaluation mode, from its configuration and weights.

    Only safetensors are loaded. Raises DigestMismatch when the weights are not
    those of the manifest, WeightsInvalid when they do not fit the architecture.
    """
    from mammo.continual.judge import read_run_config
    from mammo.models.breast_net import build_view_net, load_view_net

    release, config = Release.read(directory), read_run_config(directory)
    if file_sha256(directory / WEIGHTS) != release.files[WEIGHTS]:
        raise DigestMismatch(
            f"{WEIGHTS} of release {release.id} is not what its manifest states. "
            "The release was changed after it was made: train or package it again."
        )
    net, _ = build_view_net(
        release.architecture, frozen_stages=config.frozen_stages, pretrained=False,
        pooling=config.pooling, auxiliary=tuple(config.auxiliary),
    )  # fmt: skip
    load_view_net(net, directory)
    return net.eval()
