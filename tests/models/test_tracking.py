"""A release in MLflow: under which names, whatever the scanners' headers say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mammo.models.tracking import mlflow_client, register_release
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
