"""A release in MLflow: under which names, whatever the scanners' headers say."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mammo.models.tracking import (
    mlflow_client,
    named_run,
    named_version,
    own_version,
    register_release,
)
from mammo.release import REGISTRY
from mammo.settings import Settings

pytestmark = pytest.mark.slow
SCANNERS = {
    "HOLOGIC, Inc./Selenia Dimensions": "HOLOGIC_ Inc./Selenia Dimensions",
    "GE MEDICAL SYSTEMS/Senographe (DS)": "GE MEDICAL SYSTEMS/Senographe _DS_",
    "Maker//A": "Maker__A",
    "Maker/../A": "Maker_.._A",
    "ACME $\\x_$/Züri": "ACME __x__/Züri",
}


@dataclass
class Recalibrated:
    """As much of a recalibrated release as registering needs."""

    id: str
    metrics: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"target": "cancer", "architecture": "brightness", "kind": "recalibrated"}


def registered(home: Path, name: str) -> tuple[Settings, Path]:
    """A release in the MLflow of a home: its version 1."""
    settings = Settings(home=home, mlflow_port=9, _env_file=None)  # type: ignore[call-arg]
    place = settings.releases_dir / name
    place.mkdir(parents=True)
    register_release(settings, Recalibrated(name), place, {}, [])
    return settings, place


def test_a_scanner_of_any_name_can_be_recalibrated(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", mlflow_port=9, _env_file=None)
    for number, (scanner, name) in enumerate(SCANNERS.items()):
        place = settings.releases_dir / f"r-{number}"
        place.mkdir(parents=True)
        (place / "manifest.json").write_text("{}")
        release = Recalibrated(place.name, {"aligned": {scanner: {"exams": 40 + number}}})
        run_id = register_release(settings, release, place, {"recalibrated": scanner}, []).run_id
        run = mlflow_client(settings).get_run(run_id)
        assert run.data.metrics == {f"aligned.{name}.exams": 40 + number}
        assert run.data.params["recalibrated"] == scanner
        assert run.data.params["target"] == "cancer"
        assert run.data.params["architecture"] == "brightness"
        assert run.data.tags["kind"] == "recalibrated"


@pytest.mark.parametrize(
    ("release", "registry", "version", "told"),
    [
        ("r-house", '{"version": "1"}', "1", ""),
        ("r-house", None, None, ""),
        ("r-job", '{"version": "1"}', None, "MLflow's version 1 is not of r-job: left as it is"),
        (
            "r-job",
            '{"version": "7"}',
            None,
            "MLflow tells of no version 7: RESOURCE_DOES_NOT_EXIST",
        ),
    ],
)
def test_only_the_version_of_this_release_is_its_own(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    release: str,
    registry: str | None,
    version: str | None,
    told: str,
) -> None:
    """registry.json of a job of Azure's names the version of the job's own MLflow."""
    settings, place = registered(tmp_path / "home", "r-house")
    (place / REGISTRY).unlink()
    if registry is not None:
        (place / REGISTRY).write_text(registry)
    caplog.clear()
    assert own_version(settings, place, release) == version
    assert told in caplog.text and bool(told) == ("mammo.tracking" in caplog.text)


def test_a_damaged_database_of_mlflow_has_no_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a verdict nor a deployment hangs on it."""
    settings = Settings(home=tmp_path, mlflow_port=9, _env_file=None)  # type: ignore[call-arg]
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"damaged" * 999)
    (tmp_path / REGISTRY).write_text('{"version": "1"}')
    assert own_version(settings, tmp_path, "r-1") is None
    assert "MLflow tells of no version 1: DatabaseError" in caplog.text


@pytest.mark.parametrize(
    "damaged", [b"", b'{"run_id": "1', b"\xff\xfe", b"[]", b"{}"],
    ids=["empty", "cut", "no text", "a list", "without its version"],
)  # fmt: skip
def test_a_damaged_registry_file_is_told_and_read_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damaged: bytes
) -> None:
    """As a kill left it where the file was not written in one step."""
    (tmp_path / "r-1").mkdir()
    (tmp_path / "r-1" / REGISTRY).write_bytes(damaged)
    assert named_version(tmp_path / "r-1") is None
    assert named_run(tmp_path / "r-1") is None
    assert "registry.json of r-1 is damaged, and read as missing" in caplog.text


def test_a_release_whose_registry_file_is_damaged_is_registered_again(tmp_path: Path) -> None:
    settings, place = registered(tmp_path / "home", "r-1")
    (place / REGISTRY).write_text("")
    assert register_release(settings, Recalibrated("r-1"), place, {}, []).version == "2"
    assert own_version(settings, place, "r-1") == "2"


def test_a_kill_leaves_no_half_of_the_registry_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_file: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(ZeroDivisionError):
        registered(tmp_path / "home", "r-1")
    assert named_version(tmp_path / "home" / "releases" / "r-1") is None
    monkeypatch.undo()
    assert not list(tmp_path.rglob(REGISTRY))
