"""The cards in the MLflow run of a training, beside its metrics and its files.

    log_cards(settings, directory)     # cards/model.html, model.md, data.html, data.md

Logged again once the gate has judged: a card replaces the one before, never one of other data.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from mammo.appraisal.card_files import write_dataset_card, write_model_card
from mammo.errors import RunUnknown, VersionUnknown
from mammo.models.tracking import mlflow_client, named_run
from mammo.release import Release
from mammo.settings import Settings

PLACE = "cards"
_log = logging.getLogger(__name__)


def log_cards(
    settings: Settings, directory: Path, warn: Callable[[str], None] = _log.warning
) -> list[str]:
    """Write both cards of a release into its MLflow run; return their places in it.

    The data's card is of the version that the release was trained on. Where that is not on
    this machine, the card stays as it is in the run, and ``warn`` is called with why. A
    release without a version has the card of the index as it was at the first call. Empty
    where the release is not registered.

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

    run_id = named_run(directory)
    if run_id is None:
        return []
    client = mlflow_client(settings)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder)
        write_model_card(settings, directory, html=own / "model.html")
        try:
            there = [one.path for one in client.list_artifacts(run_id, PLACE)]
            left = _write_data(settings, Release.read(directory), there, own / "data.html")
            names = sorted(path.name for path in own.iterdir())
            client.log_artifacts(run_id, folder, PLACE)
        except MlflowException as error:
            raise RunUnknown(
                f"this MLflow has no run {run_id}: it is where the release was trained"
            ) from error
    if left:
        warn(f"the card of the data is not written: {left}")
    return [f"{PLACE}/{name}" for name in names]


def _write_data(settings: Settings, release: Release, there: list[str], page: Path) -> str:
    """Write the card of the data that the release was trained on; else return why not."""
    version = release.data_version
    if not version and f"{PLACE}/{page.name}" in there:
        return f"release {release.id} names no data version, and the index may have grown since"
    try:
        write_dataset_card(settings, version=version or None, html=page)
    except VersionUnknown as error:
        return error.message
    return ""
