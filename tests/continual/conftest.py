"""A small installation made once: phantoms ingested and a release trained on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammo.continual.fit import TrainedRelease, train_release
from mammo.data.ingest import ingest
from mammo.dicom.phantom import write_phantoms
from mammo.models.config import read_config
from mammo.settings import Settings

EXAMS = 36
SCANNERS = ("aurora", "borealis")


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled set in the RSNA layout: 36 exams of two scanners."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, exams=EXAMS, scanner=SCANNERS, seed=5, cancer_rate=0.4)
    return folder


@pytest.fixture(scope="session")
def installation(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose store holds the phantoms at the smoke size."""
    settings = Settings(
        home=tmp_path_factory.mktemp("home"), mlflow_port=9, service_port=9, _env_file=None
    )
    # a fixed key: who is golden follows from the pseudonyms
    (settings.home / "pseudonym.key").write_bytes(bytes(range(32)))
    ingest("rsna", phantoms, settings, read_config("smoke").preprocess)
    return settings


@pytest.fixture(scope="session")
def trained(installation: Settings) -> TrainedRelease:
    """A release of the smoke configuration."""
    return train_release(installation, config="smoke")


@pytest.fixture
def exam_files(phantoms: Path) -> list[tuple[str, bytes]]:
    """The files of one exam, by name and content."""
    folder = sorted((phantoms / "train_images").iterdir())[3]
    return [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.dcm"))]
