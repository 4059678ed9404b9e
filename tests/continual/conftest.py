"""A small installation made once: phantoms ingested and a release trained on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammo.continual import unseen
from mammo.continual.fit import TrainedRelease, train_release
from mammo.continual.fit_detector import fit_detector
from mammo.continual.join import JoinedRelease, join_detector
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


@pytest.fixture(scope="session")
def folded(installation: Settings) -> TrainedRelease:
    """A release with out-of-fold scores."""
    config = read_config("smoke", ["folds=2", "golden_fraction=0.3", "holdout_fraction=0.3"])
    return train_release(installation, config=config)


@pytest.fixture(scope="session")
def detector(
    installation: Settings, folded: TrainedRelease, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An SSD trained beside the release on every other patient, so that some are left to fit on."""
    folder = tmp_path_factory.mktemp("detectors") / "ssd"
    with pytest.MonkeyPatch.context() as patch:
        held = lambda patient: int(patient[-2:], 16) % 2 == 0  # noqa: E731
        patch.setattr("mammo.continual.fit_detector.is_held_out", held)
        fit_detector(installation, "ssd", folder, epochs=2, seed=1, release=folded.directory)
    return folder


@pytest.fixture(scope="session")
def joined(installation: Settings, folded: TrainedRelease, detector: Path) -> JoinedRelease:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unseen, "LEAST_PATIENTS", 1)
        return join_detector(installation, folded.release.id, detector)
