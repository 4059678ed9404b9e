"""What a deployment leaves behind: the change record, and the aliases in MLflow."""

from __future__ import annotations

import getpass
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mammo.prediction_log import PredictionLog
from mammo.release import REGISTRY, Release, write_json
from mammo.settings import Settings

CHANGE_RECORD = "change_record.json"
_log = logging.getLogger("mammo.deploy")


@dataclass(frozen=True)
class Why:
    """Why a release goes into service, and at whose word; part of the record."""

    reason: str = "manual"
    episode_key: str | None = None
    by: str = field(default_factory=getpass.getuser)


def write_change(pointer: dict[str, Any], settings: Settings, why: Why) -> dict[str, Any]:
    """Write the change record beside the release and in the log, once per change."""
    log = PredictionLog(settings.log_url).create()
    known: dict[str, dict[str, Any]] = {
        one["record"].get("at", ""): one["record"] for one in log.changes()
    }
    if pointer["changed_at"] in known:  # a deployment run again
        return known[pointer["changed_at"]]
    release = Release.read(Path(pointer["release_dir"]))
    record = {
        "release": release.id,
        "kind": release.kind,
        "parent": release.parent,
        "previous": id_of(pointer["previous"]),
        "bento_tag": pointer["bento_tag"],
        "digest": release.digest,
        "data_version": release.data_version,
        "metrics": release.metrics,
        "gate": _read(settings.releases_dir / release.id / "gate.json"),
        **asdict(why),
        "at": pointer["changed_at"],
    }
    if (settings.releases_dir / release.id).is_dir():
        write_json(settings.releases_dir / release.id / CHANGE_RECORD, record)
    log.add_change(release.id, record)
    return record


def name_in_mlflow(pointer: dict[str, Any], settings: Settings) -> None:
    """Name champion and previous in MLflow, where it knows them; serving does not need it."""
    previous = id_of(pointer["previous"])
    for release_id, alias in ((previous, "previous"), (pointer["release_id"], "champion")):
        registry = _read(settings.releases_dir / release_id / REGISTRY) if release_id else None
        if registry is not None:
            _set_alias(settings, str(registry["version"]), alias)


def _set_alias(settings: Settings, version: str, alias: str) -> None:
    from mlflow.exceptions import MlflowException

    from mammo.models.tracking import set_alias

    try:
        set_alias(settings, version, alias)
    except MlflowException as error:
        _log.warning("MLflow did not take the alias %s: %s", alias, type(error).__name__)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def id_of(pointer: dict[str, Any] | None) -> str | None:
    """Return the release id of a pointer; None without one."""
    return pointer["release_id"] if pointer else None
