"""`mammo detect` on an installation of phantoms: whose images, which boxes, what comes back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from mammo.appraisal.detector_files import detect_files
from mammo.continual.detector_patients import require_strangers
from mammo.continual.fit import TrainedRelease
from mammo.continual.fit_detector import (
    detections_held_out,
    fit_detector,
    is_held_out,
    patients_left_out,
    placed_index,
)
from mammo.continual.split import GOLDEN_SEED, known_parts
from mammo.data.index import read_index
from mammo.data.split import golden_patients
from mammo.detection.detector import save_detector
from mammo.detection.registry import load_detector
from mammo.errors import BoxInvalid, EmptyRequest, IndexMissing, NoBoxes, PatientLeak, SourceInvalid
from mammo.exam import parse_findings
from mammo.geometry import PreprocessConfig
from mammo.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector(installation: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an SSD that went once over the phantoms."""
    folder = tmp_path_factory.mktemp("detectors") / "ssd"
    fit_detector(installation, "ssd", folder, epochs=1, seed=1)
    return folder


def test_nobody_is_trained_on_and_measured(installation: Settings, detector: Path) -> None:
    network, manifest = load_detector(detector)
    index = read_index(installation.index_path)
    held = {one for one in index["patient_id"] if is_held_out(one)}
    assert held and not held & set(manifest.patients) and not manifest.left_out
    assert held | set(manifest.patients) == set(index["patient_id"])
    images = detections_held_out(installation, network, manifest)
    assert {one.patient_id for one in images} == held
    sizes = index.set_index("image_id")[["rows", "columns"]]
    for one in images:
        rows, columns = sizes.loc[one.image_id]
        assert one.truth == parse_findings(
            index.loc[index["image_id"] == one.image_id, "findings"].item()
        )
        assert all(0 <= it.x_min < it.x_max <= columns for it in one.found)
        assert all(0 <= it.y_min < it.y_max <= rows for it in one.found)


def test_beside_a_release_its_own_patients_are_left_out(
    installation: Settings, trained: TrainedRelease, detector: Path, tmp_path: Path
) -> None:
    manifest = fit_detector(
        installation, "ssd", tmp_path / "ssd", epochs=1, release=trained.directory
    )
    parts = known_parts(trained.directory)
    kept = {one for one, part in parts.items() if part in ("holdout", "golden")}
    assert kept and set(manifest.left_out) == kept
    assert manifest.patients
    assert set(manifest.patients) <= {one for one, part in parts.items() if part == "train"}
    index = placed_index(installation)
    names = (str(one) for one in range(999))
    stranger = next(
        one
        for one in names
        if golden_patients(pd.DataFrame({"patient_id": [one]}), 0.01, GOLDEN_SEED)
    )
    more = pd.concat([index, index.iloc[:1].assign(patient_id=stranger)])
    assert patients_left_out(more, trained.directory) == kept | {stranger}
    require_strangers(manifest, trained.directory, index)
    _, other = load_detector(detector)
    assert kept & set(other.patients)
    with pytest.raises(PatientLeak, match="anew"):
        require_strangers(other, trained.directory, index)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"height": 96}, "height 128 instead of 96"),
        ({"margin": 0.2}, "margin 0.02 instead of 0.2"),
        ({"percentile_high": 99.0, "width": 32}, "width 64 instead of 32, percentile_high 99.5"),
    ],
    ids=["size", "margin", "percentiles"],
)
def test_images_that_are_prepared_otherwise_are_not_measured(
    installation: Settings, detector: Path, changed: dict[str, float], told: str
) -> None:
    network, manifest = load_detector(detector)
    other = replace(manifest, preprocess=manifest.preprocess | changed)
    with pytest.raises(SourceInvalid, match=told):
        detections_held_out(installation, network, other)


def test_an_empty_home_is_told_before_how_it_would_prepare(detector: Path, tmp_path: Path) -> None:
    network, manifest = load_detector(detector)
    empty = Settings(home=tmp_path / "empty", _env_file=None)
    assert manifest.config != PreprocessConfig()
    with pytest.raises(IndexMissing):
        detections_held_out(empty, network, manifest)


def test_the_command_measures_and_draws(
    installation: Settings, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    picture = tmp_path / "froc.png"
    asked = ["detect", "evaluate", str(detector), "--to", str(picture), "--json"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    told = json.loads(answer.stdout, parse_constant=refuse)
    assert told["findings"] > 0
    assert 0 <= told["froc"]["centre"]["1.0"]["value"] <= 1
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["froc.html", "froc", "file/froc.png"])
def test_a_place_that_no_picture_can_have_is_refused_before_the_work(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(
        "mammo.continual.fit_detector.detections_held_out",
        lambda *args, **more: pytest.fail("it measured"),
    )
    line = ["detect", "evaluate", str(detector), "--to", str(tmp_path / name)]
    answer = CliRunner().invoke(app, line)
    assert answer.exit_code == 2 and "--to" in answer.stderr, answer.output


@pytest.mark.parametrize("as_json", [True, False])
def test_the_numbers_are_told_also_where_the_picture_cannot_be_drawn(
    installation: Settings, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    as_json: bool,
) -> None:  # fmt: skip
    def full(path: Path, summaries: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    monkeypatch.setattr("mammo.appraisal.detection_plots.draw_froc", full)
    picture = tmp_path / "no" / "such" / "froc.png"
    line = ["detect", "evaluate", str(detector), "--to", str(picture)]
    answer = CliRunner().invoke(app, [*line, *(["--json"] if as_json else [])])
    assert answer.exit_code == 1 and "drawn" not in answer.stderr
    assert ("map50" if as_json else "mAP@50") in answer.stdout
    assert picture.parent.is_dir()  # the folder is made


@pytest.fixture
def sick(detector: Path, tmp_path: Path) -> Path:
    """The detector with one NaN among its weights."""
    network, manifest = load_detector(detector)
    weights = {key: one.clone() for key, one in network.weights().items()}
    bias = next(key for key in weights if "classification_head" in key and key.endswith("bias"))
    weights[bias][0] = torch.nan
    network.load_weights(weights)
    return save_detector(network, manifest, tmp_path / "sick")


def test_a_detector_that_gives_no_number_is_refused_by_both_commands(
    installation: Settings, sick: Path, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    exam = str(sorted((phantoms / "train_images").iterdir())[3])
    for line in (["evaluate", str(sick)], ["files", exam, "--detector", str(sick)]):
        answer = CliRunner().invoke(app, ["detect", *line, "--json"])
        assert answer.exit_code == 1 and not answer.stdout, answer.output
        assert json.loads(answer.stderr)["code"] == "SCORE_NOT_FINITE"


def test_files_give_findings_in_the_original(
    installation: Settings, detector: Path, exam_files: list[tuple[str, bytes]]
) -> None:
    bad = [*exam_files, ("bad.dcm", b"no DICOM")]
    views, refused = detect_files(installation, detector, bad)
    assert [(one.file, one.code) for one in refused] == [("bad.dcm", "NOT_DICOM")]
    assert len(views) == len(exam_files)
    index = read_index(installation.index_path).set_index("image_id")
    for one in views:
        assert one.image_id in index.index
        assert all(it.x_max <= index.loc[one.image_id, "columns"] for it in one.findings)
    strong, _ = detect_files(installation, detector, bad, least_score=0.5)
    assert all(it.score >= 0.5 for one in strong for it in one.findings)
    with pytest.raises(EmptyRequest):
        detect_files(installation, detector, [])


@pytest.mark.parametrize("as_json", [True, False])
def test_files_of_which_none_can_be_read_are_an_error(
    installation: Settings, detector: Path, trained: TrainedRelease, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, as_json: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    (bad := tmp_path / "bad.dcm").write_bytes(b"no DICOM")
    for by in (["--detector", str(detector)], ["--release", str(trained.directory)]):
        line = ["detect", "files", str(bad), *by, *(["--json"] if as_json else [])]
        answer = CliRunner().invoke(app, line)
        assert answer.exit_code == 2 and not answer.stdout, answer.output
        assert "NOTHING_READABLE" in answer.stderr and "file 1: NOT_DICOM" in answer.stderr


def test_a_refused_file_is_told_by_its_digest_and_why(
    installation: Settings, detector: Path, trained: TrainedRelease, tmp_path: Path,
    exam_files: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    (bad := tmp_path / "bad.dcm").write_bytes(b"no DICOM")
    (good := tmp_path / "good.dcm").write_bytes(exam_files[0][1])
    digest = hashlib.sha256(b"no DICOM").hexdigest()
    for by in (["--detector", str(detector)], ["--release", str(trained.directory)]):
        line = ["detect", "files", str(bad), str(good), *by]
        (one,) = json.loads(CliRunner().invoke(app, [*line, "--json"]).stdout)["refused"]
        assert (one["file"], one["code"]) == (digest, "NOT_DICOM") and one["message"]
        said = CliRunner(env={"COLUMNS": "300"}).invoke(app, line).stderr
        assert f"refused: {digest}: NOT_DICOM: {one['message']}" in said and "bad.dcm" not in said


def broken(index: pd.DataFrame, findings: str) -> pd.DataFrame:
    return index.assign(findings=findings)


OUTSIDE = json.dumps([{"x_min": -5, "y_min": 0, "x_max": 9, "y_max": 9, "kind": "mass"}])


@pytest.mark.parametrize(
    ("findings", "error"), [("[]", NoBoxes), (OUTSIDE, BoxInvalid)], ids=["none", "outside"]
)
def test_sets_that_teach_nothing_are_refused(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    findings: str, error: type[Exception],
) -> None:  # fmt: skip
    index = broken(placed_index(installation), findings)
    monkeypatch.setattr("mammo.continual.fit_detector.labelled_index", lambda settings: index)
    with pytest.raises(error):
        fit_detector(installation, "ssd", tmp_path / "ssd", epochs=1)
    assert not (tmp_path / "ssd").exists()


def test_what_has_no_place_is_no_negative(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = placed_index(installation).assign(findings="[]", cancer=0, abnormal=0)
    index.loc[:9, "cancer"] = 1
    monkeypatch.setattr("mammo.continual.fit_detector.labelled_index", lambda settings: index)
    assert len(placed_index(installation)) == len(index) - 10
