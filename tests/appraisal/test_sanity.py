"""The sanity check: it passes for the network's own heat and fails for an edge detector."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mammo.appraisal.explain_check import Maps, breast_cells, compare_randomised
from mammo.evaluation.sanity import summarise_sanity
from mammo.models.breast_net import ViewNet, build_view_net
from mammo.models.heat import network_grid, network_heat
from mammo.models.randomise import draw_weights, network_parts, randomised

IMAGES = 6


@pytest.fixture(scope="module")
def net() -> ViewNet:
    torch.manual_seed(3)
    net, _ = build_view_net("small_cnn", pretrained=False)
    torch.nn.init.normal_(net.head.weight)
    return net.eval()


@pytest.fixture(scope="module")
def tensors() -> np.ndarray:
    """Smooth blobs in half an image: a breast at the left edge."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:256, 0:128]
    images = np.zeros((IMAGES, 1, 256, 128), np.float32)
    for image in images[:, 0]:
        image[:, :96] = 0.3
        for _ in range(6):
            cy, cx = rng.uniform(0, 256), rng.uniform(0, 96)
            image += 0.5 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 200) * (x < 96)
    return np.clip(images, 0, 1)


def own_heat(net: ViewNet, tensors: np.ndarray) -> np.ndarray:
    return network_heat(net, tensors)[1]


def edges(net: ViewNet, tensors: np.ndarray) -> np.ndarray:
    """A map that ignores the weights: where the image is steep."""
    import cv2

    del net
    steep = [np.hypot(*np.gradient(image[0])) for image in tensors]
    return np.stack([cv2.resize(one, (8, 16), interpolation=cv2.INTER_AREA) for one in steep])


def test_heat_sums_to_the_logit(net: ViewNet, tensors: np.ndarray) -> None:
    logits, heat = network_heat(net, tensors)
    with torch.inference_mode():
        expected = net(torch.from_numpy(tensors)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(heat.sum((1, 2)) + net.head.bias.item(), expected, atol=1e-4)


@pytest.mark.parametrize(("maps", "passed"), [(own_heat, True), (edges, False)])
def test_the_check_tells_a_map_of_the_network_from_one_of_the_image(
    maps: Maps, passed: bool, net: ViewNet, tensors: np.ndarray
) -> None:
    names = [f"i{i}" for i in range(IMAGES)]
    rows = pd.DataFrame({"image_id": names, "patient_id": names})
    told: list[tuple[int, int]] = []
    frame = compare_randomised(
        net, tensors, rows, maps=maps, draws=2,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    parts = len(network_parts(net))
    assert told[-1] == (3 * parts, 3 * parts) and len(frame) == 3 * parts * IMAGES
    found = summarise_sanity(frame)
    assert found.passed is passed, found.sentence
    if not passed:
        assert found.last.correlation.value == pytest.approx(1.0)
        assert found.last.similarity.value == pytest.approx(1.0)


def test_parts_go_from_the_head_down_and_the_network_is_kept(net: ViewNet) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    names = [name for name, _ in network_parts(net)]
    assert names[:2] == ["head", "stage 4"] and names[-1] == "stage 0"
    changed_parts: dict[bool, list[set[str]]] = {True: [], False: []}
    for cascading, found in changed_parts.items():
        for _, _, changed in randomised(net, cascading=cascading, seed=1):
            state = changed.state_dict()
            differ = {name for name in before if not torch.equal(before[name], state[name])}
            found.append({name.rsplit(".", 2)[0] for name in differ if name.endswith(".weight")})
    assert [len(one) for one in changed_parts[True]] == sorted(
        len(one) for one in changed_parts[True]
    )
    assert all("head" in str(one) for one in changed_parts[True])
    assert sum("head" in str(one) for one in changed_parts[False]) == 1
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_drawing_leaves_the_generator_alone_and_follows_the_seed() -> None:
    def drawn(seed: int) -> torch.Tensor:
        layer = torch.nn.Linear(4, 3)
        draw_weights(layer, seed=seed)
        return layer.weight.detach()

    layer, state = torch.nn.Linear(4, 3), torch.random.get_rng_state()
    draw_weights(layer, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert drawn(5).equal(drawn(5)) and not drawn(5).equal(drawn(6))


def test_a_parameter_without_a_rule_is_drawn_from_its_own_spread() -> None:
    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = torch.nn.Parameter(torch.linspace(1.0, 3.0, 500))

    layer = Scale()
    before = layer.gamma.detach().clone()
    draw_weights(layer, seed=2)
    after = layer.gamma.detach()
    assert abs(torch.corrcoef(torch.stack([before, after]))[0, 1]) < 0.2
    assert after.mean() == pytest.approx(2.0, abs=0.1)
    assert after.std() == pytest.approx(before.std().item(), rel=0.15)


def test_breast_cells_are_those_of_the_breast(tensors: np.ndarray) -> None:
    cells = breast_cells(tensors[0, 0], (16, 8))
    assert cells[:, :6].mean() > 0.9 and not cells[:, 7].any()
    assert breast_cells(np.zeros((256, 128), np.float32), (16, 8)).all()


def test_a_network_looks_aside_of_its_cells(net: ViewNet, tensors: np.ndarray) -> None:
    """Five strides of two with padding on both sides: 15.5 pixels up and left (Araujo 2019)."""
    grid = network_grid(net, tensors[0])
    assert (grid.down, grid.across) == (32.0, 32.0)
    assert (grid.y, grid.x) == pytest.approx((0.5, 0.5), abs=3.0)


def test_cells_of_a_network_without_padding_begin_within() -> None:
    class Unpadded(torch.nn.Module):
        conv = torch.nn.Conv2d(1, 1, 16, stride=8)

        def outputs(self, image: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(heat=self.conv(image)[:, 0])

    torch.nn.init.ones_(Unpadded.conv.weight)
    grid = network_grid(Unpadded(), np.ones((1, 100, 60), np.float32))  # type: ignore[arg-type]
    assert (grid.down, grid.across) == (8.0, 8.0)  # of 100 / 11 and 60 / 6
    assert (grid.y, grid.x) == pytest.approx((8.0, 8.0))
