"""`mammo explain`: a file's heat in its own pixels, and the check over an index of phantoms."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from mammo.appraisal.explain import Explainer, explain_files, known_findings
from mammo.appraisal.explain_check import boxed_rows, check_release, relevant_findings
from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.dicom.phantom import write_phantoms
from mammo.errors import NothingReadable, TooFewLabels
from mammo.export.onnx import export_onnx
from mammo.models.breast_net import OutputsGraph, build_view_net
from mammo.models.config import TrainConfig
from mammo.models.heat import network_heat
from mammo.preprocess import PreprocessConfig
from mammo.release import Release
from mammo.settings import Settings

from ..bentos.releases import write_release

pytestmark = pytest.mark.slow
SIZE = {"height": 256, "width": 128}
EXAMS = 5


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, exams=EXAMS, scanner="aurora", seed=4, cancer_rate=1.0)
    return folder


@pytest.fixture(scope="module")
def settings(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The phantoms in an index, and a release of a random network that has seen none of them."""
    made = Settings(
        home=tmp_path_factory.mktemp("home"), mlflow_port=9, service_port=9, _env_file=None
    )
    (made.home / "pseudonym.key").write_bytes(bytes(range(32)))
    ingest("rsna", phantoms, made, PreprocessConfig(**SIZE))
    _write_network(write_release(made.releases_dir, "r-random"))
    return made


def _write_network(place: Path) -> None:
    config = TrainConfig(
        architecture="small_cnn", pretrained=False, frozen_stages=0,
        preprocess=PreprocessConfig(**SIZE),
    )  # fmt: skip
    torch.manual_seed(5)
    net, _ = build_view_net("small_cnn", pretrained=False)
    torch.nn.init.normal_(net.head.weight)
    export_onnx(OutputsGraph(net), place / "model.onnx", **SIZE, output=OutputsGraph.NAMES)
    save_file(dict(net.state_dict()), place / "weights.safetensors")
    (place / "train_config.json").write_text(json.dumps(config.to_dict()))
    golden = np.random.default_rng(0).random((1, 256, 128), np.float32)
    np.savez(place / "golden.npz", tensor=golden)
    release = Release.read(place)
    replace(release, architecture="small_cnn", preprocess=config.preprocess).seal(place)


@pytest.fixture(scope="module")
def explainer(settings: Settings) -> Explainer:
    return Explainer.load(settings.releases_dir / "r-random")


def files_of(phantoms: Path, count: int) -> list[Path]:
    return sorted((phantoms / "train_images").rglob("*.dcm"))[:count]


def test_heat_of_a_file_sums_to_its_logit(
    settings: Settings, explainer: Explainer, phantoms: Path
) -> None:
    paths = [*files_of(phantoms, 2), phantoms / "train.csv"]
    views, refused = explain_files(
        settings, explainer, [(path.name, path.read_bytes()) for path in paths]
    )
    assert [one.code for one in refused] == ["NOT_DICOM"] and len(views) == 2
    bias = explainer.network.head.bias.item()
    for view in views:
        assert view.heat.heat.sum() + bias == pytest.approx(view.logit, abs=1e-3)
        whole = view.heat.at_original()
        assert whole.shape == (view.mammogram.rows, view.mammogram.columns)
        for place in view.places:
            assert 0 <= place.x <= view.mammogram.columns and 0 <= place.y <= view.mammogram.rows
        told = json.dumps(view.to_dict())
        assert view.file not in told and view.mammogram.image_id in told


def test_boxes_are_those_of_the_index(settings: Settings, phantoms: Path) -> None:
    truth = pd.read_csv(phantoms / "truth.csv").dropna(subset=["x_min"])
    index = read_index(settings.index_path)
    found = known_findings(settings, list(index["image_id"]))
    assert sum(map(len, found.values())) == len(truth)
    relevant = [one for text in index["findings"] for one in relevant_findings(text, "cancer")]
    assert len(relevant) == int(truth["malignant"].sum()) > 0
    everything = [one for text in index["findings"] for one in relevant_findings(text, "abnormal")]
    assert len(everything) == len(truth)


def test_a_release_of_before_has_the_same_heat_from_its_weights(
    explainer: Explainer, tmp_path: Path
) -> None:
    place = tmp_path / "r-old"
    shutil.copytree(explainer.directory, place)
    export_onnx(explainer.network, place / "model.onnx", **SIZE, output="logit")
    Release.read(place).seal(place)
    tensors = np.random.default_rng(1).random((2, 1, 256, 128), np.float32)
    old, new = Explainer.load(place).explain(tensors), explainer.explain(tensors)
    for one, other, eager in zip(old, new, network_heat(explainer.network, tensors), strict=True):
        np.testing.assert_allclose(one, eager, atol=1e-5)
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_check_measures_patients_not_trained_on(settings: Settings) -> None:
    place = settings.releases_dir / "r-random"
    stages: list[str] = []
    found = check_release(settings, place, progress=lambda stage, done, total: stages.append(stage))
    assert found.localisation.patients == EXAMS and set(stages) == {"localisation", "sanity"}
    assert found.sanity.last.step == "stage 0" and found.sanity.images == EXAMS
    assert found.images["share_by_chance"].between(0, 0.3).all()
    assert json.loads(json.dumps(found.to_dict()))["release"] == "r-random"


def test_a_patient_trained_on_is_never_shown_as_evidence(
    settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "r-seen"
    shutil.copytree(settings.releases_dir / "r-random", place)
    patients = sorted(read_index(settings.index_path)["patient_id"].unique())
    frame = pd.DataFrame({"patient_id": patients[1:], "part": "train"})
    frame.to_parquet(place / "patients.parquet")
    rows = boxed_rows(settings, place, Release.read(place))
    assert set(rows["patient_id"]) == {patients[0]}
    pd.DataFrame({"patient_id": patients, "part": "train"}).to_parquet(place / "patients.parquet")
    with pytest.raises(
        TooFewLabels, match=r"none of them both with a box and of a patient that r-"
    ):
        boxed_rows(settings, place, Release.read(place))


def test_nothing_readable_is_said(settings: Settings, explainer: Explainer) -> None:
    with pytest.raises(NothingReadable, match="file 1: NOT_DICOM"):
        explain_files(settings, explainer, [("a.txt", b"no DICOM at all" * 50)])


def test_the_command_draws_and_tells(
    settings: Settings, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import app

    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    runner, to = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}), tmp_path / "heat.png"
    (path,) = files_of(phantoms, 1)
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"no DICOM at all" * 50)
    line = ["explain", str(path), str(bad), "--release", "r-random", "--to", str(to), "--json"]
    result = runner.invoke(app, line)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["release"] == "r-random" and len(told["views"]) == 1
    assert path.name not in result.stdout and bad.name not in result.stdout
    (refused,) = told["refused"]
    assert refused["code"] == "NOT_DICOM"
    assert refused["file"] == hashlib.sha256(bad.read_bytes()).hexdigest()
    assert Image.open(to).format == "PNG" and Image.open(to).height > 900
    for asked, words in (
        (["explain"], "give files, or --check"),
        (["explain", str(path), "--check"], "give files, or --check"),
        (["explain", str(path), "--release", "r-none"], "No release 'r-none'"),
        (["explain", str(path)], "no release is in service"),
        (["explain", str(path), "--release", "r-random", "--to", "no/x.png"], "no folder no"),
        (["explain", str(path), "--release", "r-random", "--to", "."], "is a directory"),
        (["compare", "r-random"], "found 1 run; a comparison has 2 to 8"),
        (["compare", "r-random", "r-none"], "no release, MLflow run or folder"),
    ):
        result = runner.invoke(app, asked)
        assert result.exit_code in (1, 2) and words in result.output, result.output
