"""What a deployment leaves behind: the change record, and the aliases in MLflow."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mammo.changes.books import ChangeBooks
from mammo.changes.origin import code_origin, container_origin
from mammo.changes.page import write_page
from mammo.changes.record import CHANGE_RECORD, Origin, describe_change
from mammo.changes.signing import record_key, sealed
from mammo.models.tracking import named_version, own_version, set_alias, version_owner
from mammo.prediction_log import PredictionLog
from mammo.release import Release, write_json
from mammo.settings import Settings

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
    log, at = PredictionLog(settings.log_url).create(), last_move(pointer)["at"]
    return any(one["record"].get("at") == at for one in log.changes())


def write_change(pointer: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Write the change record in the log and beside the release, once per move; return it.

    Killed anywhere and called again, it ends with the same record in both places.
    """
    moved, log = last_move(pointer), PredictionLog(settings.log_url).create()
    release = Release.read(Path(moved["release_dir"]))
    key = record_key(settings.keys_dir)

    def seal(before: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return sealed(record, before, key)

    record = describe_change(pointer, moved, release, log, _origin(settings, release.id))
    written = ChangeBooks(settings.log_url).write_once(moved["at"], seal)
    beside = settings.releases_dir / release.id
    if beside.is_dir():
        write_json(beside / CHANGE_RECORD, written)
    _show(settings)
    return written


def _show(settings: Settings) -> None:
    """Write the page of the history anew; what is in service does not hang on it."""
    try:
        write_page(settings)
    except Exception as error:  # noqa: BLE001 - the move is done and recorded, whatever it is
        _log.warning("the page of changes was not written: %s", type(error).__name__)


def _origin(settings: Settings, release_id: str) -> Origin:
    version = named_version(settings.releases_dir / release_id)
    # written once and signed: an MLflow that does not answer now takes nothing from it
    if version is not None and version_owner(settings, version) not in (None, release_id):
        version = None
    return Origin(code_origin(), container_origin(settings), version)


def name_in_mlflow(pointer: dict[str, Any], settings: Settings) -> None:
    """Name champion and previous in MLflow, where it knows them; serving does not need it."""
    roles = {"previous": id_of(pointer["previous"]), "champion": pointer["release_id"]}
    for alias, release_id in roles.items():
        if release_id is None:
            continue
        version = own_version(settings, settings.releases_dir / release_id, release_id)
        if version is not None:
            _set_alias(settings, version, alias)


def _set_alias(settings: Settings, version: str, alias: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        set_alias(settings, version, alias)
    except MlflowException as error:
        _log.warning("MLflow did not take the alias %s: %s", alias, type(error).__name__)


def id_of(pointer: dict[str, Any] | None) -> str | None:
    """Return the release id of a pointer; None without one."""
    return pointer["release_id"] if pointer else None
