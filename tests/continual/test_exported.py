"""A child with an int8 graph: made, sealed, loaded, gated; and a training that carries one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from bentos.screening.loading import require_signed
from mammo.continual.carry import carried_graph
from mammo.continual.derive import derive_release
from mammo.continual.exported import ExportedRelease, export_release
from mammo.continual.fit import TrainedRelease, settle_config
from mammo.continual.judge import judge_candidates
from mammo.errors import ParityError, ReleaseNotFound, SourceInvalid
from mammo.export.settings import FP32, ExportConfig, QuantizeConfig
from mammo.models.config import read_config
from mammo.release import Release
from mammo.screening import LOGIT_TOLERANCE, Screener
from mammo.settings import Settings

pytestmark = pytest.mark.slow

INT8 = ExportConfig(
    candidates=(FP32, "onnx_int8", "pruned_int8"),
    max_auc_loss=1.0,  # so few phantoms judge nothing: what is tested is the way
    max_auc_loss_bound=1.0,
    prune_epochs=1,
    latency_turns=1,
    quantize=QuantizeConfig(images=8),
)


@pytest.fixture(scope="module")
def exported(installation: Settings, trained: TrainedRelease) -> ExportedRelease:
    return export_release(installation, trained.release.id, INT8)


def test_child_is_whole_and_says_what_it_carries(
    installation: Settings, exported: ExportedRelease, trained: TrainedRelease
) -> None:
    release = Release.read(exported.directory, verify=True)
    assert (release.kind, release.parent) == ("exported", trained.release.id)
    require_signed(exported.directory, installation)
    assert release.trained_on == trained.release.trained_on
    record = json.loads((exported.directory / "export.json").read_text())
    assert record["chosen"] == carried_graph(exported.directory)
    assert set(record["candidates"]) == set(INT8.candidates)
    assert record["judged_on"]["part"] == "holdout"
    assert "export.json" in release.files
    assert f"model.onnx is **{record['chosen']}**" in (exported.directory / "card.md").read_text()
    assert not list(exported.directory.glob("tmp*"))


def test_points_set_in_service_are_not_lost(
    installation: Settings, trained: TrainedRelease
) -> None:
    points = trained.release.operating_points
    child, _ = derive_release(
        trained.directory, installation.releases_dir, operating_points=points, metrics={}
    )
    with pytest.raises(SourceInvalid, match=f"was recalibrated.*export {trained.release.id}"):
        export_release(installation, child.id, INT8)


def test_child_was_judged_on_nobody_it_was_made_with(
    exported: ExportedRelease, trained: TrainedRelease
) -> None:
    for name in ("patients.parquet", "images.parquet"):
        same = pd.read_parquet(trained.directory / name)
        pd.testing.assert_frame_equal(pd.read_parquet(exported.directory / name), same)
    patients = pd.read_parquet(exported.directory / "patients.parquet")
    held = int((patients["part"] == "holdout").sum())
    assert exported.exports["judged_on"]["patients"] == held


def test_child_has_its_own_golden_and_its_parents_weights(
    exported: ExportedRelease, trained: TrainedRelease
) -> None:
    Screener.load(exported.directory)
    golden = np.load(exported.directory / "golden.npz")
    assert golden["tolerance"] >= LOGIT_TOLERANCE
    before, after = (
        load_file(one / "weights.safetensors") for one in (trained.directory, exported.directory)
    )
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_float_release_is_still_checked_strictly(trained: TrainedRelease) -> None:
    assert np.load(trained.directory / "golden.npz")["tolerance"] == LOGIT_TOLERANCE
    assert carried_graph(trained.directory) == FP32


def test_gate_judges_the_child_like_any_other(
    installation: Settings, exported: ExportedRelease, trained: TrainedRelease
) -> None:
    decision = judge_candidates(installation, trained.directory, [exported.directory])[0]
    clause = decision.clause("golden_auc_non_inferior")
    assert clause.value is not None and abs(clause.value) < 1


def test_nothing_is_left_when_no_graph_passes(
    installation: Settings, trained: TrainedRelease
) -> None:
    before = sorted(installation.releases_dir.iterdir())
    hopeless = replace(INT8, candidates=("onnx_int8",), max_auc_loss=-2.0)
    with pytest.raises(ParityError, match="onnx_int8: AUC falls by"):
        export_release(installation, trained.release.id, hopeless)
    assert sorted(installation.releases_dir.iterdir()) == before


def test_unknown_release_is_named(installation: Settings) -> None:
    with pytest.raises(ReleaseNotFound, match="No release 'r-1'"):
        export_release(installation, "r-1", INT8)


def test_wrong_export_setting_is_refused_before_anything_is_trained(
    installation: Settings,
) -> None:
    config = replace(read_config("smoke"), export={"candidates": ["onnx_int4"]})
    with pytest.raises(SourceInvalid, match="no candidate onnx_int4"):
        settle_config(installation, config)
