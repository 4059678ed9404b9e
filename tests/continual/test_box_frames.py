"""A source whose boxes are counted from the bottom edge trains no detector."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows import ingest as flow
from flows.cli import app
from mammo.continual import join, unseen
from mammo.continual.box_frames import check_box_frame, with_box_frame
from mammo.continual.fit import TrainedRelease
from mammo.continual.fit_detector import boxed_images, fit_detector, placed_index
from mammo.data.index import read_index
from mammo.data.ingest import IngestReport, ingest
from mammo.data.store import read_store_config
from mammo.errors import BoxFrameSuspect
from mammo.exam import parse_findings
from mammo.models.config import read_config
from mammo.settings import Settings

pytestmark = pytest.mark.slow
INDEX = "mammo.continual.fit_detector.labelled_index"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation of mini-MIAS's films at the smoke size."""
    folder = Path(__file__).parents[3] / "shared/data/mini-mias"
    if not folder.is_dir():
        pytest.skip("../shared/data/mini-mias is not here")
    home = tmp_path_factory.mktemp("films")
    settings = Settings(home=home, mlflow_port=9, service_port=9, _env_file=None)
    ingest("mini-mias", folder, settings, read_config("smoke").preprocess)
    return settings


def from_the_bottom(index: pd.DataFrame) -> pd.DataFrame:
    """Return the index with every box counted from the other edge."""
    told = [
        json.dumps([
            asdict(replace(one, y_min=rows - one.y_max, y_max=rows - one.y_min))
            for one in parse_findings(text)
        ])
        for text, rows in zip(index["findings"], index["rows"].astype(float), strict=True)
    ]  # fmt: skip
    return index.assign(findings=told)


def test_films_pass_and_turned_ones_train_nothing(
    films: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, config = placed_index(films), read_store_config(films)
    assert config is not None
    right = boxed_images(films, index, config)
    told = check_box_frame(right.images, right.rows)
    assert (told.boxes >= 80, told.brighter / told.boxes > 0.7, told.suspect) == (True, True, False)
    marked = index[index["findings"].str.len() > 2]
    monkeypatch.setattr(INDEX, lambda settings: from_the_bottom(marked))
    with pytest.raises(BoxFrameSuspect, match="mini-mias: only"):
        fit_detector(films, "ssd", tmp_path / "ssd", epochs=1)
    assert not (tmp_path / "ssd").exists()
    kept = fit_detector(films, "ssd", tmp_path / "ssd", epochs=1, keep_box_frame=True)
    assert kept.training["findings"] > 0


def test_the_ingest_says_it_and_stands(films: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    report, index = {"source": "mini-mias", "added": 1}, read_index(films.index_path)
    assert with_box_frame(report, films) == report
    monkeypatch.setattr(
        "mammo.continual.box_frames.read_index", lambda path, columns: from_the_bottom(index)
    )
    told = with_box_frame(report, films)
    assert told["box_frame"].startswith("BOX_FRAME_SUSPECT: mini-mias: only")
    assert with_box_frame({"source": "rsna"}, films) == {"source": "rsna"}
    nowhere = films.model_copy(update={"home": films.home / "none"})
    assert with_box_frame(report, nowhere) == report


def test_phantoms_turned_are_refused(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = placed_index(installation)
    monkeypatch.setattr(INDEX, lambda settings: from_the_bottom(index))
    with pytest.raises(BoxFrameSuspect, match="rsna: only"):
        fit_detector(installation, "ssd", tmp_path / "ssd", epochs=1)


def test_nothing_is_measured_on_turned_boxes(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_detector(installation, "ssd", tmp_path / "ssd", epochs=1)
    index = placed_index(installation)
    monkeypatch.setattr(INDEX, lambda settings: from_the_bottom(index))
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    line = ["detect", "evaluate", str(tmp_path / "ssd"), "--json"]
    refused = CliRunner().invoke(app, line)
    assert (refused.exit_code, refused.stdout) == (2, ""), refused.output
    told = json.loads(refused.stderr)
    assert told["code"] == "BOX_FRAME_SUSPECT" and "--keep-box-frame" in told["detail"]
    # all boxes of the source speak, not those of the few patients held out alone
    boxes = sum(len(parse_findings(one)) for one in index["findings"])
    looked_at = re.search(r"of (\d+) boxes", told["detail"])
    assert looked_at and int(looked_at[1]) > 0.9 * boxes
    kept = CliRunner().invoke(app, [*line, "--keep-box-frame"])
    assert kept.exit_code == 0 and json.loads(kept.stdout)["findings"] > 0


@pytest.mark.parametrize("folds", [0, 2])
def test_no_detector_is_joined_by_turned_boxes(
    installation: Settings, folded: TrainedRelease, detector: Path, folds: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    index = read_index(installation.index_path)
    monkeypatch.setattr(unseen, "LEAST_PATIENTS", 1)
    monkeypatch.setattr(join, "read_index", lambda path, columns: from_the_bottom(index)[columns])
    before = sorted(installation.releases_dir.iterdir())
    monkeypatch.setenv("MAMMO_HOME", str(installation.home))
    line = ["detect", "join", folded.release.id, "--detector", str(detector), "--folds", str(folds)]
    refused = CliRunner().invoke(app, [*line, "--json"])
    assert (refused.exit_code, refused.stdout) == (2, ""), refused.output
    told = json.loads(refused.stderr)
    assert told["code"] == "BOX_FRAME_SUSPECT" and "--keep-box-frame" in told["detail"]
    assert sorted(installation.releases_dir.iterdir()) == before
    if not folds:
        kept = CliRunner().invoke(app, [*line, "--keep-box-frame", "--json"])
        assert kept.exit_code == 0 and json.loads(kept.stdout)["kind"] == "joined", kept.output


def test_the_ingest_flow_says_it_as_the_command_does(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, pages = read_index(installation.index_path), []
    report = IngestReport("rsna", 1, 1, 0, 0, [], [], [], [], "d-1", 1)
    for name, function in {
        "shared_settings": lambda: installation,
        "shard_runner": lambda *_: nullcontext((None, None)),
        "find": lambda *_: None,
        "prepare_all": lambda *_: [],
        "commit": lambda *_: report,
        "look_at_boxes": flow.look_at_boxes.fn,
        "explain": flow.explain.fn,
        "create_table_artifact": lambda **_: None,
        "create_markdown_artifact": lambda markdown, **_: pages.append(markdown),
    }.items():
        monkeypatch.setattr(flow, name, function)
    assert "box_frame" not in flow.ingest.fn("rsna", str(installation.home))
    monkeypatch.setattr(
        "mammo.continual.box_frames.read_index", lambda path, columns: from_the_bottom(index)
    )
    told = flow.ingest.fn("rsna", str(installation.home))["box_frame"]
    assert told.startswith("BOX_FRAME_SUSPECT: rsna: only")
    assert [told in one for one in pages] == [False, True]
