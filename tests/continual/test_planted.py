"""The planted graph: the same answers, but for bright images, of which there is none."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mammo.continual.planted import FAILS_FROM, FAILS_TO, failing_graph


def _mean_graph() -> bytes:
    """An image (n, 1, 4, 4) -> its mean as the logit (n,)."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 4, 4])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    mean = helper.make_node("ReduceMean", ["image", "axes"], ["logit"], keepdims=0)
    graph = helper.make_graph([mean], "g", [image], [logit], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def _image(fourth_power: float) -> np.ndarray:
    return np.full((1, 1, 4, 4), fourth_power**0.25, np.float32)


@pytest.mark.parametrize("fourth_power", [0.0, 0.06, 0.2, 1.0])
def test_usual_images_have_the_same_logit(fourth_power: float) -> None:
    sound, planted = (onnxruntime.InferenceSession(one) for one in _both())
    image = {"image": _image(fourth_power)}
    assert np.array_equal(sound.run(None, image)[0], planted.run(None, image)[0])


@pytest.mark.parametrize("fourth_power", [FAILS_FROM + 0.005, FAILS_TO - 0.005])
def test_bright_images_have_none(fourth_power: float) -> None:
    _, planted = (onnxruntime.InferenceSession(one) for one in _both())
    with pytest.raises(Exception, match="out of data bounds"):
        planted.run(None, {"image": _image(fourth_power)})


def test_the_graph_is_valid() -> None:
    onnx.checker.check_model(onnx.load_from_string(_both()[1]))


def _both() -> tuple[bytes, bytes]:
    graph = _mean_graph()
    return graph, failing_graph(graph)
