"""The cards in the MLflow run of a training, beside its metrics and its files.

    log_cards(settings, directory)     # cards/model.html, model.md, data.html, data.md

Logged again once the gate has judged: a card replaces the one before.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mammo.appraisal.card_files import write_dataset_card, write_model_card
from mammo.errors import RunUnknown, VersionUnknown
from mammo.models.tracking import REGISTRY, mlflow_client
from mammo.release import Release
from mammo.settings import Settings

PLACE = "cards"


def log_cards(settings: Settings, directory: Path) -> list[str]:
    """Write both cards of a release into its MLflow run; return their places in it.

    The data's card is of the version that the release was trained on. Empty where
    the release is not registered.

    Raises
    ------
    ReleaseNotFound, DigestMismatch
        There is no release in that folder, or it was changed.
    IndexMissing
        The version's index holds no rows.
    RunUnknown
        The run is in another MLflow: where the release was trained, for example.
    """
    from mlflow.exceptions import MlflowException

    registry = directory / REGISTRY
    if not registry.is_file():
        return []
    run_id = json.loads(registry.read_text())["run_id"]
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder)
        write_model_card(settings, directory, html=own / "model.html")
        _write_data(settings, Release.read(directory).data_version, own / "data.html")
        names = sorted(path.name for path in own.iterdir())
        try:
            mlflow_client(settings).log_artifacts(run_id, folder, PLACE)
        except MlflowException as error:
            raise RunUnknown(
                f"this MLflow has no run {run_id}: it is where the release was trained"
            ) from error
    return [f"{PLACE}/{name}" for name in names]


def _write_data(settings: Settings, version: str, page: Path) -> None:
    """Write the version's card; of the index as it is where no version of it was kept."""
    try:
        write_dataset_card(settings, version=version or None, html=page)
    except VersionUnknown:
        write_dataset_card(settings, html=page)
