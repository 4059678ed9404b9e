"""Tiny real releases to serve under faults: good ones, and one that answers NaN."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mammo.continual.golden import write_golden
from mammo.export.onnx import export_onnx
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings
from tests.bentos.releases import write_release
from tests.heat_release import write_graph

BRIGHTER_THAN_EXAMS = 0.21
"""The golden image's mean is 0.24, those of the small phantoms are below 0.20."""


class NanOnDark(nn.Module):
    """The logit is the root of how much the image is brighter: NaN for those that are not."""

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N,) of images (N, 1, H, W)."""
        return torch.sqrt(image.mean(dim=(1, 2, 3)) - BRIGHTER_THAN_EXAMS)


def write_good(settings: Settings, release_id: str, bias: float = 0.0) -> Path:
    """Write a release with heat, signed by this installation; ``bias`` moves its scores."""
    directory = write_release(settings.releases_dir, release_id)
    release = Release.read(directory)
    write_graph(directory / "model.onnx", bias)
    write_golden(directory, Screener(release, directory))
    release.seal(directory, settings.keys_dir)
    return directory


def write_nan(settings: Settings, release_id: str) -> Path:
    """Write a signed release whose golden is right and whose scores of exams are NaN."""
    directory = write_release(settings.releases_dir, release_id)
    release = Release.read(directory)
    size = {"height": release.preprocess.height, "width": release.preprocess.width}
    export_onnx(NanOnDark(), directory / "model.onnx", **size, output="logit")
    write_golden(directory, Screener(release, directory))
    release.seal(directory, settings.keys_dir)
    return directory
