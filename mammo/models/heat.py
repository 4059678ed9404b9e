"""The heat of a network in evaluation mode: where each logit comes from."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammo.heat_map import Grid
from mammo.models.breast_net import ViewNet

BATCH = 8


def network_heat(
    net: ViewNet, tensors: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits (N,) and heat (N, h, w) of tensors (N, 1, H, W) float32 in [0, 1].

    ``heat.sum((1, 2)) + net.head.bias`` is the logit.
    """
    net.eval()
    logits, heat = [], []
    with torch.inference_mode():
        for start in range(0, len(tensors), BATCH):
            found = net.outputs(torch.from_numpy(tensors[start : start + BATCH]))
            logits.append(found.logit.numpy())
            heat.append(found.heat.numpy())
    return np.concatenate(logits), np.concatenate(heat)


def network_grid(net: ViewNet, tensor: NDArray[np.float32]) -> Grid:
    """Return where the cells of a network's heat look, in pixels of a prepared image.

    The centre of a cell is that of its effective receptive field (Luo et al. 2016,
    arXiv:1701.04128): the mean place of its heat's squared gradient, on an image
    ``tensor`` (1, H, W) in [0, 1] and its mirror images, so that what is in it
    counts on both sides. What padding and stride would have it be is not enough:
    training moves it (lite0 with padding at the right: from +15 pixels to about -10).
    Cells are a power of two apart, the nearest to their share of the image.
    """
    height, width = tensor.shape[1:]
    found: list[tuple[int, int, float, float]] = []
    cells = (1, 1)
    for axes in ((), (1,), (2,), (1, 2)):
        image = torch.from_numpy(np.flip(tensor, axes).copy())[None]
        cells, looks = _looks(net.eval(), image)
        found += looks
    down, across = (_distance(side, n) for side, n in zip((height, width), cells, strict=True))
    if not found:  # a network that is blind: its cells look nowhere
        return Grid(down / 2, across / 2, down, across)
    row, column, y, x = np.array(found).T
    return Grid(float((y - down * row).mean()), float((x - across * column).mean()), down, across)


def _looks(
    net: ViewNet, image: Tensor
) -> tuple[tuple[int, int], list[tuple[int, int, float, float]]]:
    """Return the grid's (h, w), and (row, column, y, x) of some cells away from its edges."""
    image.requires_grad_()
    heat = net.outputs(image).heat[0]
    h, w = heat.shape
    found = []
    for row in sorted({h // 3, h // 2, 2 * h // 3}):
        for column in sorted({w // 3, w // 2, 2 * w // 3}):
            (gradient,) = torch.autograd.grad(heat[row, column], image, retain_graph=True)
            weight = gradient[0, 0].double().square().numpy()
            total = weight.sum()
            if total > 0:
                y = weight.sum(axis=1) @ (np.arange(len(weight)) + 0.5) / total
                x = weight.sum(axis=0) @ (np.arange(weight.shape[1]) + 0.5) / total
                found.append((row, column, float(y), float(x)))
    return (h, w), found


def _distance(side: int, cells: int) -> float:
    return float(2 ** round(math.log2(side / cells)))
