"""Write an int8 graph: static quantisation, calibrated on real prepared images.

Every convolution of the network's stages multiplies unsigned 8-bit activations
with signed weights, a scale per output channel, and adds up exactly in 32 bits.
Three things stay in float32 because int8 costs them the most and gains them the
least: the narrow first convolutions, the pooling, and the head with the heat map.

**The same on every processor.** Without the VNNI instructions, ONNX Runtime adds
products of two neighbours in 16 bits, where 255 x 127 x 2 does not fit: the sums
would be cut off there, and only there. Weights of 7 bits (``reduce_range``, the
default) always fit, so that the integer part of the graph is exact arithmetic
anywhere. They cost accuracy, of which bias correction returns the larger part.

Sources: Jacob et al. 2018 (arXiv:1712.05877) for the scheme; Nagel et al. 2019
(arXiv:1906.04721, section 4.2) for bias correction.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from mammo.export.settings import QuantizeConfig

STAGES = "stages"
"""What the names of nodes hold that come from the network's stages (`ViewNet.stages`)."""
INPUT = "image"


def quantize_onnx(
    path: Path, target: Path, images: Sequence[np.ndarray], config: QuantizeConfig
) -> None:
    """Quantise the float graph at ``path`` into ``target``; equal inputs give equal bytes.

    ``images`` are what it is calibrated on: (1, H, W) float32 in [0, 1], prepared
    as the release prepares them, of patients that it was trained on.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        graph = onnx.load(str(ready))
        quantize_static(
            str(ready),
            str(target),
            _Reader(images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=config.reduce_range,
            nodes_to_quantize=quantised_names(graph, config.narrow_channels),
            calibrate_method=_method(config.calibration),
            extra_options=_options(config.calibration),
        )
        if config.bias_correction:
            quantised = onnx.load(str(target))
            correct_biases(graph, quantised, images)
            onnx.save(quantised, str(target))


def quantised_names(model: ModelProto, narrow_channels: int) -> list[str]:
    """Return the names of the nodes to quantise: the stages, but for their narrow start.

    The first convolution stays float, and those after it for as long as they
    have at most ``narrow_channels`` outputs.
    """
    weights = {one.name: tuple(one.dims) for one in model.graph.initializer}
    names, started = [], False
    for place, node in enumerate(_stage_nodes(model)):
        if node.op_type == "Conv" and not started:
            started = place > 0 and weights[node.input[1]][0] > narrow_channels
        if started:
            names.append(node.name)
    return names


def _stage_nodes(model: ModelProto) -> Iterator[NodeProto]:
    return (node for node in model.graph.node if STAGES in node.name)


def correct_biases(model: ModelProto, quantised: ModelProto, images: Iterable[np.ndarray]) -> None:
    """Add to each bias what rounding the weights takes from the mean output, in place.

    A rounded weight shifts a channel's output by (W - W_rounded) times the mean of
    its input, and the shifts of all layers add up to a bias of the logit.
    """
    tensors = {one.name: one for one in quantised.graph.initializer}
    producers = {out: node for node in quantised.graph.node for out in node.output}
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    floats = {node.name: node for node in model.graph.node if node.op_type == "Conv"}
    means = input_means(model, images)
    for node in quantised.graph.node:
        rounded = producers.get(node.input[1]) if node.op_type == "Conv" else None
        if rounded is None or rounded.op_type != "DequantizeLinear" or len(node.input) < 3:
            continue
        origin = floats[node.name]
        lost = weights[origin.input[1]] - _dequantised(rounded, tensors)  # (out, in / groups, h, w)
        shift = _mean_shift(lost, means[origin.input[0]])
        _add_to_bias(producers[node.input[2]], tensors, shift)


def _mean_shift(lost: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return (out,): the mean output that ``lost`` weights took, given the inputs' means (in,)."""
    outputs, per_group = lost.shape[:2]
    groups = len(mean) // per_group
    sums = lost.sum(axis=(2, 3)).reshape(groups, outputs // groups, per_group)
    return np.einsum("goi,gi->go", sums, mean.reshape(groups, per_group)).reshape(outputs)


def _dequantised(node: NodeProto, tensors: dict[str, TensorProto]) -> np.ndarray:
    values, scale = (numpy_helper.to_array(tensors[name]) for name in node.input[:2])
    shape = (-1, *(1,) * (values.ndim - 1)) if np.ndim(scale) else ()
    return values.astype(np.float64) * np.reshape(scale, shape)


def _add_to_bias(node: NodeProto, tensors: dict[str, TensorProto], shift: np.ndarray) -> None:
    """Add ``shift`` to a bias of 32-bit integers, in units of its scale."""
    values, scale = (numpy_helper.to_array(tensors[name]) for name in node.input[:2])
    moved = values + np.rint(shift / scale).astype(np.int64)
    kept = np.clip(moved, -(2**31), 2**31 - 1).astype(np.int32)
    tensors[node.input[0]].CopyFrom(numpy_helper.from_array(kept, node.input[0]))


def input_means(model: ModelProto, images: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the mean of each channel of every convolution's input, name -> (C,) float64."""
    names = sorted({node.input[0] for node in model.graph.node if node.op_type == "Conv"})
    watched = ModelProto()
    watched.CopyFrom(model)
    for name in names:
        mean = f"{name}/mean"
        watched.graph.node.append(
            helper.make_node("ReduceMean", [name], [mean], axes=[0, 2, 3], keepdims=0)
        )
        watched.graph.output.append(helper.make_tensor_value_info(mean, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), _options_of_session(), providers=["CPUExecutionProvider"]
    )
    wanted = [f"{name}/mean" for name in names]
    rows = [session.run(wanted, {INPUT: image[np.newaxis]}) for image in images]
    return {
        name: np.asarray(np.mean([row[place] for row in rows], axis=0, dtype=np.float64))
        for place, name in enumerate(names)
    }


def _options_of_session() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the order of sums, and with it the bytes
    return options


class _Reader:
    """Feeds the calibration images one by one, as the quantizer asks for them."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self._feeds = iter([{INPUT: image[np.newaxis]} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def _method(name: str) -> Any:
    from onnxruntime.quantization import CalibrationMethod

    return {
        "minmax": CalibrationMethod.MinMax,
        "average": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }[name]


def _options(name: str) -> dict[str, Any]:
    """``average`` takes the mean over images of each image's extremes."""
    return (
        {"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.1} if name == "average" else {}
    )


class _quiet:
    """Keep the quantizer's advice and progress out of the log while it runs."""

    def __enter__(self) -> None:
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self.level)
