"""Candidates are held against the network, and what falls short is not carried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import numpy_helper

from mammo.errors import ParityError, SourceInvalid
from mammo.export import graphs
from mammo.export.candidates import export_candidates
from mammo.export.latency import Latency, measure_latency
from mammo.export.quantize import quantize_onnx
from mammo.export.settings import CANDIDATES, FP32, ExportConfig
from mammo.export.verdict import Candidate, ExportTable, Judged, choose, judge
from mammo.models.breast_net import ViewNet
from tests.export.conftest import Drawn, fit

ALL = ExportConfig(candidates=CANDIDATES, latency_turns=2)
QUICK = Latency(1.0, 2.0)


@pytest.fixture(scope="module")
def table(
    learnt: ViewNet,
    judged: Judged,
    drawn: tuple[Drawn, pd.DataFrame],
    calibration: list[np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> ExportTable:
    images, views = drawn
    half = len(images) // 2

    def fine_tune(net: ViewNet) -> None:
        fit(net, images.pixels[:half], views["label"].to_numpy()[:half], steps=15)

    folder = tmp_path_factory.mktemp("candidates")
    return export_candidates(
        learnt, judged, ALL, folder, calibration=calibration, fine_tune=fine_tune
    )


def test_every_candidate_is_judged(table: ExportTable) -> None:
    assert [one.name for one in table.candidates] == list(CANDIDATES)
    for one in table.candidates:
        assert one.size_mb > 0 and one.latency_ms > 0 and one.times_faster > 0
        assert one.auc_change is not None
        assert one.auc_change.n_patients == 12  # of the second half, unit: patient
        assert one.auc_change.low <= one.auc_change.value <= one.auc_change.high


def test_float_graphs_give_the_logits_of_the_network(table: ExportTable) -> None:
    for one in table.candidates[:2]:
        assert one.max_logit_difference < 1e-4
        assert one.passed and one.auc_change is not None and one.auc_change.value == 0


def test_int8_and_pruned_files_are_smaller(table: ExportTable) -> None:
    size = {one.name: one.size_mb for one in table.candidates}
    assert size["onnx_int8"] < 0.5 * size[FP32]
    assert size["pruned_fp32"] < 0.8 * size[FP32]
    assert table.pruned is not None and table.to_dict()["pruned"]["share"] == 0.3


def test_the_network_told_the_masses(table: ExportTable) -> None:
    """Without this the AUC changes above would mean nothing."""
    assert table.eager_auc is not None and table.eager_auc > 0.9


def test_chosen_is_the_fastest_that_passes() -> None:
    def one(name: str, ms: float, *failed: str) -> Candidate:
        return Candidate(name, 1.0, ms, 1.0, 0.0, 0.0, 0.9, None, failed)

    many = [one(FP32, 9), one("onnx_int8", 3), one("pruned_int8", 1, "AUC falls")]
    assert choose([*many, one("torchscript", 0.5)]).name == "onnx_int8"
    with pytest.raises(ParityError, match="pruned_int8: AUC falls"):
        choose(many[2:])


def _absurd(path: Path) -> None:
    """Make every scale of an int8 graph's activations a thousand times too large."""
    model = onnx.load(str(path))
    tensors = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            scale = numpy_helper.to_array(tensors[node.input[1]]) * 1000
            tensors[node.input[1]].CopyFrom(
                numpy_helper.from_array(scale.astype(np.float32), node.input[1])
            )
    onnx.save(model, str(path))


def test_a_quantisation_with_absurd_ranges_is_not_carried(
    learnt: ViewNet,
    judged: Judged,
    calibration: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def planted(path: Path, target: Path, *rest: object) -> None:
        quantize_onnx(path, target, *rest)  # type: ignore[arg-type]
        _absurd(target)

    monkeypatch.setattr(graphs, "quantize_onnx", planted)
    config = ExportConfig(candidates=("onnx_int8", FP32), latency_turns=1)
    table = export_candidates(learnt, judged, config, tmp_path, calibration=calibration)
    bad = table.candidates[0]
    assert any(words.startswith("AUC falls by") for words in bad.failed)
    assert table.chosen == FP32
    alone = replace(config, candidates=("onnx_int8",))
    with pytest.raises(ParityError, match="onnx_int8: AUC falls by"):
        export_candidates(learnt, judged, alone, tmp_path / "alone", calibration=calibration)


@pytest.mark.parametrize(
    ("name", "own", "words"),
    [
        (FP32, 0.01, "a logit differs by 0.01, allowed is 0.001"),
        (FP32, np.nan, "a logit differs by nan"),
        ("onnx_int8", np.nan, "its AUC could not be judged"),
        ("onnx_int8", 0.01, None),
    ],
)
def test_bars_tell_what_was_missed(
    judged: Judged, tmp_path: Path, name: str, own: float, words: str | None
) -> None:
    path = tmp_path / "graph"
    path.write_bytes(b"x")
    eager = judged.views["label"].to_numpy(float)
    found = judge(name, path, eager, eager + own, QUICK, judged, ExportConfig())
    assert [one.split(" (")[0].startswith(words or "-") for one in found.failed] == [True] * bool(
        words
    )


def test_loss_of_auc_is_judged_by_value_and_by_bound(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "graph"
    path.write_bytes(b"x")
    eager = judged.views["label"].to_numpy(float)
    swapped = eager.copy()
    swapped[:2] = 1.5  # one negative breast of six above every positive
    assert not judged.views["label"][:2].any()
    found = judge("onnx_int8", path, eager, swapped, QUICK, judged, ExportConfig())
    assert found.auc_change is not None and found.auc_change.value == pytest.approx(-1 / 6)
    assert [one.split(",")[0] for one in found.failed] == [
        "AUC falls by 0.1667",
        f"AUC may fall by {-found.auc_change.low:.4f} (lower bound)",
    ]


def test_a_graph_without_labels_is_trusted_only_with_the_same_weights(
    judged: Judged, tmp_path: Path
) -> None:
    path = tmp_path / "graph"
    path.write_bytes(b"x")
    one_class = Judged(judged.images, judged.views.assign(label=0))
    eager = np.linspace(-1, 1, len(judged.views))
    assert judge(FP32, path, eager, eager, QUICK, one_class, ExportConfig()).passed
    int8 = judge("onnx_int8", path, eager, eager, QUICK, one_class, ExportConfig())
    assert int8.failed == ("its AUC could not be judged",)


def test_ways_are_compared_turn_by_turn() -> None:
    def work(count: int) -> object:
        return sum(range(count))

    found = measure_latency({"slow": lambda: work(400_000), "fast": lambda: work(40_000)}, 5)
    assert found["slow"].ratio == 1.0
    assert found["fast"].ratio > 3  # ten times less to do


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"candidates": ["onnx_int4"]}, "no candidate onnx_int4; allowed are torchscript"),
        ({"prune": 1.2}, "prune is 1.2; allowed is between 0 and 1"),
        ({"max_auc": 1}, "unknown setting max_auc. Allowed: candidates"),
        ({"quantize": {"calibration": "guess"}}, "calibration is 'guess'; allowed are minmax"),
        ({"quantize": {"bits": 4}}, "unknown setting bits"),
        ({"quantize": {"images": 0}}, "images is 0; at least 1"),
    ],
)
def test_settings_that_do_not_exist_are_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(SourceInvalid, match=words):
        ExportConfig.from_dict(data)


def test_settings_survive_a_file() -> None:
    assert ExportConfig.from_dict(ALL.to_dict()) == ALL
