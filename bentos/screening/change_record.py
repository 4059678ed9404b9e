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
    """Why a release goes into service, and at whose word; part of the record.

    ``evidence`` is what the guard saw, as plain data. ``clause`` is what permitted the move,
    `Permit.to_dict`; `Permit.granted` sets it, so that the pointer tells it, too.
    """

    reason: str = "manual"
    episode_key: str | None = None
    by: str = field(default_factory=getpass.getuser)
    evidence: dict[str, Any] | None = None
    clause: dict[str, Any] | None = None


def last_move(pointer: dict[str, Any]) -> dict[str, Any]:
    """Return the last change that the pointer tells of; see `mammo.pointer`.

    Of a pointer written before that was kept, the champion's coming.
    """
    place = {name: pointer[name] for name in ("release_id", "bento_tag", "release_dir")}
    legacy = {**place, "stage": "champion", "at": pointer["changed_at"], **asdict(Why())}
    return pointer.get("moved") or legacy


def is_recorded(pointer: dict[str, Any], settings: Settings) -> bool:
    """Whether the record of the pointer's last move is written."""
    return _find(PredictionLog(settings.log_url).create(), last_move(pointer)) is not None


def write_change(pointer: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Write the change record beside the release and in the log, once per move."""
    log, moved = PredictionLog(settings.log_url).create(), last_move(pointer)
    known = _find(log, moved)
    if known is not None:  # a deployment run again
        return known
    release = Release.read(Path(moved["release_dir"]))
    record = {
        "release": release.id,
        "kind": release.kind,
        "parent": release.parent,
        "previous": id_of(pointer["previous"]),
        "champion": id_of(pointer),
        "stage": moved["stage"],
        "percent": moved.get("percent", 0),
        "bento_tag": moved["bento_tag"],
        "digest": release.digest,
        "data_version": release.data_version,
        "metrics": release.metrics,
        "gate": _read(settings.releases_dir / release.id / "gate.json"),
        **{name: moved[name] for name in ("reason", "episode_key", "by", "at")},
    }
    if (settings.releases_dir / release.id).is_dir():
        write_json(settings.releases_dir / release.id / CHANGE_RECORD, record)
    log.add_change(release.id, record)
    return record


def _find(log: PredictionLog, moved: dict[str, Any]) -> dict[str, Any] | None:
    same = (one["record"] for one in log.changes() if one["record"].get("at") == moved["at"])
    return next(same, None)


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
