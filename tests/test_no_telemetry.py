"""Nothing that scores an exam tells anybody of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCORE = """
{first}
import onnx, onnxruntime
from onnx import TensorProto, helper
place = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", place[:1], place[1:])
opset = [helper.make_opsetid("", 17)]
model = helper.make_model(graph, opset_imports=opset, ir_version=8)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""


@pytest.mark.parametrize(
    ("first", "reported"), [("import mammo.screening", False), ("import onnxruntime", True)]
)
def test_onnx_runtime_keeps_to_itself(tmp_path: Path, first: str, reported: bool) -> None:
    """Its telemetry keeps a file of events and a device id in the home folder when it is on."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment = kept | {"HOME": str(tmp_path), "XDG_CACHE_HOME": ""}
    script = SCORE.format(first=first)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
    found = [path.name for path in tmp_path.rglob("*onnxruntime*")]
    assert bool(found) == reported
