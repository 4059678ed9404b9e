"""A site's exams become a release: `prepare` and `train` run here as their files say, as a job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mammo.azure_mlflow import tokens
from mammo.dicom.phantom import write_phantoms
from mammo.models.config import read_config
from tests.azure.components import run_component
from tests.azure.workspace import Workspace, job_of

KEYS = {"MAMMO_PSEUDONYM_KEY": bytes(range(32)).hex()}
"""Who is golden follows from the pseudonyms: with this one there are cancers in every part."""


@pytest.mark.slow
@pytest.mark.stack
def test_a_training_of_a_job_is_in_the_workspace(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token is about to end; stdout has the release's JSON alone; then the gate judges."""
    phantoms = tmp_path / "phantoms"
    write_phantoms(phantoms, exams=36, scanner=("aurora", "borealis"), seed=5, cancer_rate=0.4)
    inputs = {"exams": phantoms, "source": "rsna", "config": "smoke"}
    run_component("prepare", inputs, tmp_path / "prepared", **KEYS)
    run_id = job_of(workspace, monkeypatch, seconds=tokens.AHEAD_SECONDS - 10)
    inputs = {"prepared": tmp_path / "prepared", "config": "smoke", "seed": 7}
    run_component("train", inputs, tmp_path / "trained", **KEYS)
    told = json.loads((tmp_path / "trained" / "trained.json").read_text())
    run = workspace.store.get_run(run_id)
    assert told["mlflow_run_id"] == run_id and run.info.status == "RUNNING"
    assert run.data.tags["release"] == told["release"] and run.data.params["seed"] == "7"
    auc = told["metrics"]["golden_auc"]["value"]
    assert run.data.metrics["golden_auc.value"] == pytest.approx(auc)
    losses = workspace.store.get_metric_history(run_id, "train_loss")
    assert len(losses) == read_config("smoke").epochs
    names = {name.removeprefix(f"{run_id}/") for name in workspace.files}
    assert {"release/manifest.json", "release/model.onnx", "cards/model.md"} <= names
    release = tmp_path / "trained" / "releases" / told["release"]
    sent = workspace.files[f"{run_id}/release/model.onnx"]
    assert sent == (release / "model.onnx").read_bytes()
    assert [path for _, path, _ in workspace.requests if path.endswith("/token")]
    inputs = {"trained": tmp_path / "trained"}
    run_component("evaluate", inputs, tmp_path / "report", **KEYS)
    job_of(workspace, monkeypatch, seconds=3600)  # each step is a job with a token of its own
    inputs |= {"report": tmp_path / "report"}
    # so small a training does not pass; then nothing is registered
    told = json.loads(run_component("register", inputs, tmp_path / "registered", status=1, **KEYS))
    assert told["passed"] is False
    assert not [one for one in (tmp_path / "registered").rglob("*") if one.is_file()]
    # the cards with the verdict are beside those of the training, in its run
    unjudged = b"Not judged by the gate"
    assert unjudged in workspace.files[f"{run_id}/cards/model.md"]
    assert unjudged not in workspace.files[f"{run_id}/cards/model.2.md"]
