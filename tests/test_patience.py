"""Nobody works for a caller who left or whose time is up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mammo.errors import DeadlineExceeded, MammoError, RequestCancelled
from mammo.killable import Limits
from mammo.networks import _run
from mammo.patience import Patience
from mammo.preprocess import PreprocessConfig
from mammo.reading import ViewReader
from tests.dicom.builders import draw_pixels, make_file

KEY, CONFIG = bytes(range(32)), PreprocessConfig(height=64, width=32)


def test_it_ends_by_time_or_by_leaving() -> None:
    assert Patience().remaining() is None
    Patience().require()
    left = Patience(60.0)
    left.cancel()
    left.cancel()
    with pytest.raises(RequestCancelled):
        left.require()
    late = Patience(0.01)
    time.sleep(0.02)
    with pytest.raises(DeadlineExceeded, match=r"not scored within 0\.01 s"):
        late.require()


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_patience_is_above_zero(seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Patience(seconds)


@pytest.mark.parametrize(
    ("seconds", "leaves", "error"),
    [(30.0, True, RequestCancelled), (0.05, False, DeadlineExceeded)],
    ids=["left", "late"],
)
def test_waiting_ends_with_it(seconds: float, leaves: bool, error: type[MammoError]) -> None:
    patience = Patience(seconds)
    if leaves:
        threading.Timer(0.05, patience.cancel).start()
    begun = time.monotonic()
    with pytest.raises(error):
        patience.wait_for(Future())
    assert time.monotonic() - begun < 10


def test_what_was_done_in_time_is_taken() -> None:
    done: Future[int] = Future()
    done.set_result(1)
    patience = Patience()
    patience.cancel()
    patience.wait_for(done)  # raises nothing


def test_stopping_is_called_within_its_block_only() -> None:
    patience, calls = Patience(60.0), []
    with patience.stopping(lambda: calls.append("before")):
        pass
    with patience.stopping(lambda: calls.append("within")):
        patience.cancel()
    assert calls == ["within"]


def endless_graph(path: Path) -> onnxruntime.InferenceSession:
    """A loop of 10**9 turns: it ends in time only where it is ended."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("value", kinds.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("still", kinds.BOOL, []),
            helper.make_tensor_value_info("next", kinds.FLOAT, [1]),
        ],
    )
    turns = helper.make_tensor("turns", kinds.INT64, [], [10**9])
    graph = helper.make_graph(
        [helper.make_node("Loop", ["turns", "", "image"], ["logit"], body=body)],
        "endless",
        [helper.make_tensor_value_info("image", kinds.FLOAT, [1])],
        [helper.make_tensor_value_info("logit", kinds.FLOAT, [1])],
        [turns],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize("leaves", [True, False], ids=["left", "late"])
def test_inference_stops(tmp_path: Path, leaves: bool) -> None:
    session = endless_graph(tmp_path / "endless.onnx")
    patience = Patience(60.0 if leaves else 0.2)
    if leaves:
        threading.Timer(0.2, patience.cancel).start()
    begun = time.monotonic()
    with pytest.raises(RequestCancelled if leaves else DeadlineExceeded):
        _run(session, ["logit"], {"image": np.ones(1, np.float32)}, patience)
    assert time.monotonic() - begun < 20


def hang(data: bytes, *_: object) -> None:
    """Stand in for a codec that never ends."""
    time.sleep(600)


@pytest.mark.slow
def test_reading_stops_and_the_reader_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ViewReader(Limits(600.0, 512), exam_seconds=600.0)
    pool = reader.start()
    patience = Patience()
    threading.Timer(1.0, patience.cancel).start()
    monkeypatch.setattr("mammo.reading.read_view", hang)
    begun = time.monotonic()
    with pytest.raises(RequestCancelled):
        reader.read([b"hang"] * 6, KEY, "site", CONFIG, patience=patience)
    monkeypatch.undo()
    # the children that hung are dead, and what waited is not read: both places are free
    file = make_file(draw_pixels(12, rows=200, columns=100))
    views = reader.read([file] * 3, KEY, "site", CONFIG, patience=Patience(120.0))
    assert [type(one).__name__ for one in views] == ["ReadView"] * 3
    assert time.monotonic() - begun < 120
    pool.close()


@pytest.mark.slow
def test_the_originals_ids_come_only_where_asked_for() -> None:
    file = make_file(draw_pixels(12, rows=200, columns=100), PatientName="Doe^Jane")
    reader = ViewReader()
    (plain,), (named,) = (
        reader.read([file], KEY, "site", CONFIG, identity=asked) for asked in (False, True)
    )
    assert plain.original_ids is None and "Doe" not in repr(named)
    assert named.original_ids["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert np.array_equal(plain.prepared.pixels, named.prepared.pixels)
    reader.start().close()
