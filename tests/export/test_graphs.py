"""Each way to write a network gives its logits: rewritten, ONNX, TorchScript, int8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mammo.export.graphs import onnx_scorer
from mammo.export.lowering import lower_network
from mammo.export.onnx import export_onnx
from mammo.export.quantize import quantised_names, quantize_onnx
from mammo.export.settings import QuantizeConfig
from mammo.export.tolerance import FLOAT_TOLERANCE, logit_tolerance
from mammo.export.torchscript import export_torchscript, load_torchscript
from mammo.models.breast_net import OutputsGraph, ViewNet, build_view_net
from tests.export.conftest import HEIGHT, WIDTH

SIZE = {"height": HEIGHT, "width": WIDTH}


def _logits(net: ViewNet, images: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return net(torch.from_numpy(images)).numpy()


@pytest.fixture(scope="module")
def lite_graph(lite: ViewNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lite") / "lite.onnx"
    export_onnx(OutputsGraph(lite), path, **SIZE, output=OutputsGraph.NAMES)
    return path


@pytest.mark.parametrize("name", ["small_cnn", "baseline_cnn", "tf_efficientnet_lite0", "resnet50"])
def test_rewritten_network_gives_the_same_logits(name: str, judged) -> None:
    torch.manual_seed(0)
    net = build_view_net(name, pretrained=False)[0].eval()
    images = judged.images.pixels[:2]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    lowered = lower_network(net, **SIZE)
    np.testing.assert_allclose(_logits(lowered, images), _logits(net, images), rtol=1e-6, atol=1e-6)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_padding_becomes_part_of_the_convolutions(lite_graph: Path) -> None:
    """What the runtime makes of the graph: nothing left that looks at the image's size."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(lite_graph.with_name("basic.onnx"))
    onnxruntime.InferenceSession(str(lite_graph), options)
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    kinds = {node.op_type for node in nodes if "stages" in node.name}
    assert kinds == {"Conv", "Clip", "Add"}


def test_graph_gives_logit_features_and_heat(lite: ViewNet, lite_graph: Path, judged) -> None:
    images = judged.images.pixels[:3]
    session = onnxruntime.InferenceSession(str(lite_graph))
    logit, features, heat = session.run(list(OutputsGraph.NAMES), {"image": images})
    np.testing.assert_allclose(logit, _logits(lite, images), atol=1e-4)
    assert features.shape == (3, lite.features)
    bias = lite.head.bias.item()
    np.testing.assert_allclose(heat.sum(axis=(1, 2)) + bias, logit, atol=1e-4)


def test_torchscript_gives_the_same_logits(lite: ViewNet, tmp_path: Path, judged) -> None:
    images = judged.images.pixels[:2]
    export_torchscript(lite, tmp_path / "lite.pt", **SIZE)
    loaded = load_torchscript(tmp_path / "lite.pt")
    with torch.inference_mode():
        found = loaded(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, _logits(lite, images), atol=1e-4)


@pytest.fixture(scope="module")
def lite_int8(lite_graph: Path, calibration) -> Path:
    target = lite_graph.with_name("int8.onnx")
    quantize_onnx(lite_graph, target, calibration, QuantizeConfig())
    return target


def test_int8_keeps_the_order_of_the_images(lite: ViewNet, lite_int8: Path, judged) -> None:
    images = judged.images.pixels
    wanted, found = _logits(lite, images), onnx_scorer(lite_int8)(images)
    assert np.corrcoef(wanted, found)[0, 1] > 0.9
    assert np.abs(found - wanted).max() < wanted.std() * 1.5


def test_bias_correction_pays(
    lite: ViewNet, lite_graph: Path, lite_int8: Path, calibration
) -> None:
    plain = lite_graph.with_name("plain.onnx")
    quantize_onnx(lite_graph, plain, calibration, QuantizeConfig(bias_correction=False))
    images = np.stack(calibration)
    wanted = _logits(lite, images)
    without = np.square(onnx_scorer(plain)(images) - wanted).mean()
    corrected = np.square(onnx_scorer(lite_int8)(images) - wanted).mean()
    assert corrected < 0.6 * without


def test_int8_is_the_same_bytes_again(lite_graph: Path, lite_int8: Path, calibration) -> None:
    again = lite_graph.with_name("again.onnx")
    quantize_onnx(lite_graph, again, calibration, QuantizeConfig())
    assert again.read_bytes() == lite_int8.read_bytes()


def test_int8_sums_fit_sixteen_bits(lite_int8: Path) -> None:
    """Processors without VNNI add two products in 16 bits: 255 * 64 * 2 fits, 255 * 127 * 2 not."""
    tensors = {one.name: one for one in onnx.load(str(lite_int8)).graph.initializer}
    weights = [
        onnx.numpy_helper.to_array(one).astype(int)
        for one in tensors.values()
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4
    ]
    assert len(weights) > 40
    assert max(np.abs(one).max() for one in weights) * 255 * 2 < 2**15


def test_head_pooling_and_narrow_start_stay_float(lite_graph: Path) -> None:
    model = onnx.load(str(lite_graph))
    names = quantised_names(model, 32)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert [name for name in convolutions if "stages" in name][:3] == [
        name for name in convolutions if name not in names and "stages" in name
    ]
    assert not [name for name in names if "pooling" in name or "head" in name]


@pytest.mark.slow
def test_an_all_int8_network_is_worse(
    lite: ViewNet, lite_graph: Path, lite_int8, calibration
) -> None:
    target = lite_graph.with_name("narrow.onnx")
    quantize_onnx(lite_graph, target, calibration, replace(QuantizeConfig(), narrow_channels=0))
    images = np.stack(calibration)
    wanted = _logits(lite, images)
    errors = [np.square(onnx_scorer(one)(images) - wanted).mean() for one in (lite_int8, target)]
    assert errors[0] < errors[1]


def test_golden_of_a_float_graph_is_checked_strictly(lite_graph: Path, judged) -> None:
    score = onnx_scorer(lite_graph)
    assert logit_tolerance(score, judged.images.image(0), rounded=False) == FLOAT_TOLERANCE


def test_golden_of_an_int8_graph_allows_a_rounding_step(lite_int8: Path, judged) -> None:
    """A change in the last bits, as another processor makes it, stays within the tolerance."""
    score, image = onnx_scorer(lite_int8), judged.images.image(0)
    tolerance = logit_tolerance(score, image, rounded=True)
    assert FLOAT_TOLERANCE <= tolerance < 1.0
    moved = np.nextafter(image, np.float32(1))[np.newaxis]
    assert abs(score(moved)[0] - score(image[np.newaxis])[0]) <= tolerance
