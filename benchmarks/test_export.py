"""One view at 1024 x 512 through each exported graph, against eager PyTorch.

    pytest benchmarks/test_export.py               # needs torch: make bench-models
    pytest benchmarks/test_export.py -k resnet50

The graphs are written by the code that writes a release's. One thread, one core,
all ways in turns. Calibrated on the films of one patient, parity is told on
those of another. Random weights where ImageNet's do not come by pip: time does
not depend on them, and no claim on accuracy is made from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the exports need torch: make bench-models")

import torch

from benchmarks.clock import Row, take_turns
from benchmarks.export_ways import films, ready, written
from benchmarks.report import describe_run
from mammo.continual.carry import machine
from mammo.models.breast_net import build_view_net
from mammo.models.imagenet import is_packaged

RESULTS = Path(__file__).with_name("export.json")
FP32_BAR, INT8_BAR = 1.8, 4.0
BARS: dict[str, dict[str, float]] = {
    "tf_efficientnet_lite0": {"onnx_fp32": FP32_BAR, "onnx_int8": INT8_BAR},
    "resnet50": {"onnx_fp32": FP32_BAR, "onnx_int8": INT8_BAR},
    "baseline_cnn": {},
    "convnext_tiny": {},
}
"""Model -> graph -> how many times faster than eager it must be; the last two for information."""


@pytest.fixture(scope="module")
def measured(turns: int) -> Iterator[dict[str, Any]]:
    """What was measured, by model and graph; written when every model was there."""
    table: dict[str, Any] = {}
    yield table
    if set(table) == set(BARS):
        run = describe_run("see films", turns) | {"machine": machine()}
        for name in ("image", "versions"):
            del run[name]
        RESULTS.write_text(json.dumps(run | {"models": table}, indent=1) + "\n")


@pytest.mark.parametrize("name", BARS)
def test_exported_graph_is_faster(
    name: str,
    turns: int,
    tmp_path: Path,
    record: Callable[[Row], None],
    measured: dict[str, Any],
) -> None:
    torch.manual_seed(0)
    net = build_view_net(name, pretrained=is_packaged(name))[0].eval()
    images, origin = films()
    first = images[0].patient
    calibration = [one.tensor for one in images if one.patient == first]
    unseen = [one.tensor for one in images if one.patient != first]
    ways = written(net, calibration, tmp_path)

    logits = {
        way: np.ravel([scorer(one[None]) for one in unseen]) for way, (scorer, _) in ways.items()
    }
    for way in ("torchscript", "onnx_fp32"):
        np.testing.assert_allclose(logits[way], logits["eager"], atol=1e-4)

    seconds = take_turns({way: ready(one[0], unseen[0]) for way, one in ways.items()}, turns)
    measured[name] = {"films": origin, "pretrained": is_packaged(name), "eager_s": seconds["eager"]}
    for way, (_, path) in ways.items():
        if path is None:
            continue
        record(_row(f"{name}, {way}", way, seconds, BARS[name].get(way)))
        difference = np.abs(logits[way] - logits["eager"])
        measured[name][way] = {
            "seconds": seconds[way],
            "ratio": round(seconds["eager"] / seconds[way], 3),
            "mb": round(path.stat().st_size / 1e6, 2),
            "max_logit_difference": float(difference.max()),
            "mean_logit_difference": float(difference.mean()),
            "logit_sd": float(logits["eager"].std()),
        }


def _row(step: str, way: str, seconds: dict[str, float], bar: float | None) -> Row:
    others = {name: value for name, value in seconds.items() if name != way}
    fastest = min(others, key=others.__getitem__)
    return Row(step, seconds[way], "eager", seconds["eager"], fastest, others[fastest], bar)
