"""A tiny release whose graph tells its heat: the logit is the light of 8 x 4 cells, summed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from mammo.continual.golden import write_golden
from mammo.dicom.phantom import write_phantoms
from mammo.release import Release
from mammo.screening import Screener
from tests.bentos.releases import write_release

KEY = bytes(range(32))
CELL = 16
DARK = 0.25
"""A cell darker than this speaks against the target."""


def write_graph(path: Path, bias: float) -> None:
    """Write image (N, 1, 128, 64) -> logit (N,) and heat (N, 8, 4); logit = heat.sum() + bias."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "dark": np.float32(DARK),
        "bias": np.float32(bias),
        "channel": np.array([1], np.int64),
        "cells": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["light"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Squeeze", ["light", "channel"], ["grid"]),
        helper.make_node("Sub", ["grid", "dark"], ["heat"]),
        helper.make_node("ReduceSum", ["heat", "cells"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "bias"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "light",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 128, 64])],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("heat", TensorProto.FLOAT, ["n", 8, 4]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )


def write_heat_release(releases_dir: Path, release_id: str, bias: float = 0.0) -> Path:
    """Write a release with that graph; one that says NaN has no golden to be checked by."""
    directory = write_release(releases_dir, release_id)
    write_graph(directory / "model.onnx", bias)
    if np.isfinite(bias):
        write_golden(directory, load(directory))
    replace(Release.read(directory), files={}).seal(directory)
    return directory


def load(directory: Path) -> Screener:
    """Load without the golden check."""
    return Screener.load(directory, verify=False)


def one_exam(folder: Path) -> list[tuple[str, bytes]]:
    """Return the four files of a phantom exam, named by position."""
    write_phantoms(folder, exams=1, scanner="aurora", seed=11)
    paths = sorted((folder / "train_images").rglob("*.dcm"))
    return [(str(place), path.read_bytes()) for place, path in enumerate(paths, start=1)]
