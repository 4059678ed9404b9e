"""The cards in a release's MLflow run, and a card with a real change record on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mammo.appraisal.card import model_card
from mammo.appraisal.card_log import log_cards
from mammo.changes.record import CHANGE_RECORD
from mammo.data.index import write_index
from mammo.data.store import store_lock
from mammo.data.version import snapshot_store
from mammo.data.version_files import listing_path
from mammo.detection.carried import CarriedDetector, JointScore
from mammo.errors import DigestMismatch, RunUnknown
from mammo.models.tracking import mlflow_client, register_release
from mammo.release import DETECTOR_TRAINING, Release
from mammo.settings import Settings
from tests.appraisal.test_card import by_key, index_rows
from tests.bentos.releases import write_release
from tests.changes.changing import make_history


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home", mlflow_port=9, _env_file=None)
    made.index_path.parent.mkdir(parents=True)
    write_index(index_rows(), made.index_path)
    return made


def of_version(place: Path, version: str) -> Path:
    """Seal a release again as trained on a data version."""
    replace(Release.read(place), data_version=version).seal(place)
    return place


def test_both_cards_are_in_the_run_and_are_replaced_by_newer_ones(
    settings: Settings, tmp_path: Path
) -> None:
    place = of_version(write_release(settings.releases_dir, "r-20260301-aaaaaaaa"), "")
    assert log_cards(settings, place) == []  # not registered: there is no run
    run_id = register_release(settings, Release.read(place), place, {}, []).run_id
    logged = log_cards(settings, place)
    assert logged == ["cards/data.html", "cards/data.md", "cards/model.html", "cards/model.md"]

    client = mlflow_client(settings)
    first = Path(client.download_artifacts(run_id, "cards", str(tmp_path)))
    assert "# Release r-20260301-aaaaaaaa: model card" in (first / "model.md").read_text()
    assert "Not judged by the gate" in (first / "model.md").read_text()
    assert "## Sources and terms" in (first / "data.md").read_text()

    clause = {"name": "golden_auc", "state": "failed", "text": "0.40 is too low."}
    gate = {"passed": False, "failed": ["golden_auc"], "against": None, "clauses": [clause]}
    (place / "gate.json").write_text(json.dumps(gate))
    write_index(index_rows().iloc[:1], settings.index_path)  # other data than it was trained on
    warned: list[str] = []
    assert log_cards(settings, place, warned.append) == ["cards/model.html", "cards/model.md"]
    assert "names no data version" in warned[0]
    (tmp_path / "again").mkdir()
    again = Path(client.download_artifacts(run_id, "cards", str(tmp_path / "again")))
    assert "0.40 is too low." in (again / "model.md").read_text()
    assert (again / "data.html").read_text() == (first / "data.html").read_text()
    assert len(client.list_artifacts(run_id, "cards")) == 4


def test_the_card_of_other_data_never_takes_its_place(settings: Settings, tmp_path: Path) -> None:
    """The version was dropped from this machine, and more was ingested, before the gate judged."""
    with store_lock(settings):
        version = snapshot_store(settings, rows=3)
    place = of_version(write_release(settings.releases_dir, "r-1"), version)
    run_id = register_release(settings, Release.read(place), place, {}, []).run_id
    assert "cards/data.html" in log_cards(settings, place)
    listing_path(settings, version).unlink()
    write_index(index_rows().iloc[:1], settings.index_path)
    warned: list[str] = []
    assert log_cards(settings, place, warned.append) == ["cards/model.html", "cards/model.md"]
    assert "is not written" in warned[0] and version in warned[0]
    cards = Path(mlflow_client(settings).download_artifacts(run_id, "cards", str(tmp_path)))
    assert f"# Data version {version}: " in (cards / "data.md").read_text()
    assert "| rsna | 2 | 2 | 2 | 1 | 0 |" in (cards / "data.md").read_text()


def test_a_run_of_another_mlflow_is_named(settings: Settings) -> None:
    """A release that was trained elsewhere, in a job of Azure ML, say."""
    place = write_release(settings.releases_dir, "r-1")
    registry = {"run_id": "0" * 32, "version": "1", "url": "https://elsewhere"}
    (place / "registry.json").write_text(json.dumps(registry))
    with pytest.raises(RunUnknown, match="where the release was trained"):
        log_cards(settings, place)


def test_no_card_is_logged_of_a_changed_release(settings: Settings) -> None:
    place = write_release(settings.releases_dir, "r-1")
    register_release(settings, Release.read(place), place, {}, [])
    (place / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch):
        log_cards(settings, place)


def test_a_release_that_came_into_service_shows_its_change_record(tmp_path: Path) -> None:
    settings = make_history(tmp_path / "home")
    for name in ("r-1", "r-2"):
        place = settings.releases_dir / name
        record = json.loads((place / CHANGE_RECORD).read_text())
        change = by_key(model_card(place))["change"]
        rows = dict(change.tables[0].rows)
        assert rows["at"] == record["at"][:19]
        assert rows["clause of the plan"].split(";")[0] == record["clause"]["text"].split(";")[0]
        assert rows["code"] == (record["code"]["commit"] or "not known")
        if record["approval"]:
            assert rows["approved"] == record["approval"]["reason"]
            assert record["approval"]["by"] in record["clause"]["text"]
            assert record["approval"]["by"] not in str(change)
            assert "approved by a person" in rows["clause of the plan"]
    assert record["approval"] and "No change record" not in str(change.sentences)


def test_a_detector_is_on_the_card_with_its_use_and_its_training(tmp_path: Path) -> None:
    place = write_release(tmp_path / "releases", "r-1")
    assert "detector" not in by_key(model_card(place))
    joint = JointScore(0.7, 0.4, -0.3)
    CarriedDetector("ssd", "ab12", 0.25, joint).write(place)
    training = {"patients": ["P-7", "P-8"], "data_version": "d1", "training": {"epochs": 4}}
    (place / DETECTOR_TRAINING[1]).write_text(json.dumps(training))
    for name in ("detector.onnx", DETECTOR_TRAINING[0]):
        (place / name).write_bytes(b"graph")
    replace(Release.read(place), detector="ssd").seal(place)
    section = by_key(model_card(place))["detector"]
    rows = dict(section.tables[0].rows)
    assert rows["breast score"].startswith("-0.30 +0.70 x the classifier's logit +0.40 x")
    assert rows["trained on"] == "2 patients of data version d1"
    assert rows["training"] == "epochs 4" and "P-7" not in str(section)
