"""`mammo predict` tells what the release says: scores, reserves, boxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.heat_release import one_exam, write_heat_release

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heat_release(tmp_path_factory.mktemp("home") / "releases", "r-light")


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exam")
    one_exam(folder)
    return folder / "train_images"


def predict(release: Path, exam: Path, *more: str) -> Result:
    home = {"MAMMO_HOME": str(release.parents[1]), "COLUMNS": "200", "TERM": "dumb"}
    line = ["predict", str(exam), "--release", str(release), *more]
    return CliRunner(env=home).invoke(app, line)


def test_json_is_the_answer_of_the_service(release: Path, exam: Path) -> None:
    done = predict(release, exam, "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["abstention"] == ["UNKNOWN_SCANNER"] and answer["scale"] is None
    assert answer["operating_point"]["threshold"] == answer["threshold"]
    assert [view["view"] for view in answer["views"]] == ["CC", "MLO"] * 2
    box = next(view for view in answer["views"] if view["findings"])["findings"][0]
    assert box["x_min"] < box["x_max"] and box["source"] == "heat" and 0 < box["share"] <= 1


def test_the_tables_hold_every_view_with_its_boxes(release: Path, exam: Path) -> None:
    answer = json.loads(predict(release, exam, "--json").stdout)
    told = predict(release, exam).stdout
    assert "UNKNOWN_SCANNER" in told and "findings in pixels of the original" in told
    for view in answer["views"]:
        for box in view["findings"]:
            text = f"x {box['x_min']:.0f}-{box['x_max']:.0f}, y {box['y_min']:.0f}"
            assert text in told.replace("\n", " ")
    for breast in answer["breasts"]:
        assert f"{breast['probability']:.4g}" in told
