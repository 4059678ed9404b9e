"""The canary's way through ingest, data version, training and MLflow."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pydicom
import pytest

from mammo.continual.fit import train_release
from mammo.data.ingest import ingest
from mammo.data.version import current_version
from mammo.models.config import read_config
from mammo.settings import Settings
from tests.canary import FAMILY, TOKENS, plant, plant_beside_pixels, to_file
from tests.canary_search import find_tokens, search_tree

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planted(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled phantoms in a folder named after the patient, every text replaced."""
    folder = tmp_path_factory.mktemp("sets") / FAMILY
    shutil.copytree(phantoms, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom does not like what is planted
        for path in folder.rglob("*.dcm"):
            dataset = pydicom.dcmread(path)
            own = {name: dataset.get(name) for name in ("PatientID", "StudyInstanceUID")}
            dataset.SpecificCharacterSet = "ISO_IR 192"
            image = dataset.SOPInstanceUID
            plant(dataset)
            # one exam a patient, one image a file: else there is nothing to train on
            dataset.update(own)
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = image
            plant_beside_pixels(dataset)
            path.write_bytes(to_file(dataset))
    return folder


def test_no_token_is_in_index_version_release_or_mlflow(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("DEBUG")
    settings = Settings(home=tmp_path / "home", mlflow_port=9, service_port=9, _env_file=None)
    settings.home.mkdir()
    # a fixed key: who is golden follows from the pseudonyms
    (settings.home / "pseudonym.key").write_bytes(bytes(range(32)))
    report = ingest("rsna", planted, settings, read_config("smoke").preprocess)
    release = train_release(settings, config="smoke")

    assert (report.added, report.quarantined) == (len(list(planted.rglob("*.dcm"))), [])
    assert current_version(settings) and release.registered.version
    assert any(settings.home.rglob("mlflow*.db")) or any(settings.home.rglob("meta.yaml"))
    first = next(planted.rglob("*.dcm")).read_bytes()
    assert len(find_tokens(first)) > len(TOKENS) // 2  # the search sees what was planted
    assert search_tree(settings.home) == {}
    said = capfd.readouterr()
    assert find_tokens(said.out + said.err + caplog.text) == set()
