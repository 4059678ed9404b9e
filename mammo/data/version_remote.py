"""Data versions on a remote: a folder, S3 or Azure Blob, by DVC.

``MAMMO_DATA_REMOTE`` is where: a path, ``s3://bucket/prefix`` (or what speaks
S3, at ``MAMMO_DATA_REMOTE_ENDPOINT``) or ``azure://container/prefix``.
Credentials are those of the cloud's own tools (``AWS_ACCESS_KEY_ID``,
``AZURE_STORAGE_CONNECTION_STRING``, a profile, a managed identity) and are
never written down here.

The files lie on the remote as DVC lays them, so `dvc pull` reads them too;
beside them, in ``mammo-versions/``, one small JSON a version says what it is.
It is written last: a version that can be seen is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from yaml import YAMLError

from mammo.data.store import store_lock
from mammo.data.version import (
    digest_of,
    find_version,
    list_versions,
    log_version,
    open_repo,
)
from mammo.data.version_files import damaged_files, listing_path, require_whole, version_files
from mammo.errors import (
    ChecksumMismatch,
    MammoError,
    RemoteUnreachable,
    SettingsInvalid,
    VersionUnknown,
)
from mammo.settings import Settings

REMOTE = "data"
FOLDER = "mammo-versions"
ENTRY = ("made_at", "rows", "pointer")
KINDS = {"s3": "s3", "azure": "blob"}
"""Address before ``://`` -> the extra that brings its client."""


def push_version(settings: Settings, version: str) -> dict[str, Any]:
    """Copy a version to the remote; what is there already is not sent again.

    Returns
    -------
    dict
        ``{"version", "files", "sent"}``.

    Raises
    ------
    VersionUnknown
        No such version is here, or not all of its files.
    ChecksumMismatch
        A file is damaged, here or (when fetched) on the remote.
    RemoteUnreachable
        The remote does not answer, or does not let us in; what was sent stays and is
        not sent again.
    """
    name = find_version(settings, version)
    files = version_files(settings, name)
    require_whole(settings, name)  # what is damaged here must not become what others fetch
    entry = list_versions(settings)[name]
    with _remote(settings) as (repo, fs, folder):
        _forget_remote(repo)
        sent = 0
        # the list of files goes last: where it is, they are
        for digests in ([file.md5 for file in files], [_folder_digest(entry)]):
            done, failed = repo.cloud.push(_named_md5(digests), remote=REMOTE)
            _require_all(failed, "sent to")
            sent += len(done)
        fs.makedirs(folder, exist_ok=True)
        fs.pipe_file(fs.join(folder, f"{name}.json"), json.dumps(entry, indent=2).encode())
    return {"version": name, "files": len(files), "sent": sent}


def remote_versions(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what versions lie on the remote, oldest first, as `list_versions` does."""
    with _remote(settings) as (_, fs, folder):
        if not fs.exists(folder):
            return {}
        paths = [path for path in fs.find(folder) if path.endswith(".json")]
        found = {fs.name(path).removesuffix(".json"): _entry(fs, path) for path in paths}
    return dict(sorted(found.items(), key=lambda one: one[1]["made_at"]))


def fetch_version(settings: Settings, version: str) -> dict[str, Any]:
    """Bring a version's files from the remote into the cache; the store is left as it is.

    Damaged files of the cache are brought anew. Raises as `push_version` does.
    """
    name, entry = _find(settings, version)
    with store_lock(settings):  # an ingest may note its own version at this moment
        log_version(settings, name, {key: entry[key] for key in ENTRY})
    with _remote(settings) as (repo, _, _):
        _drop_damaged(settings, name)
        came = _pull_listing(settings, repo, name)
        files = version_files(settings, name)
        came += _pull(repo, [file.md5 for file in files])
    _require_sound(settings, name)
    return {"version": name, "files": len(files), "came": came}


def _forget_remote(repo: Any) -> None:
    """Let DVC look at the remote anew: what it remembers there may have been removed since."""
    from dvc_data.hashfile.db import get_index

    get_index(repo.cloud.get_remote_odb(REMOTE)).clear()


def _pull(repo: Any, digests: list[str]) -> int:
    came, failed = repo.cloud.pull(_named_md5(digests), remote=REMOTE)
    _require_all(failed, "brought from")
    return len(came)


def _find(settings: Settings, version: str) -> tuple[str, dict[str, Any]]:
    try:
        name = find_version(settings, version)
    except VersionUnknown:
        there = remote_versions(settings)
        found = [one for one in there if version and one.startswith(version)]
        if len(found) != 1:
            raise VersionUnknown(
                f"data version {version!r} is neither here nor on the remote, which has "
                f"{', '.join(list(there)[-5:]) or 'none'}"
            ) from None
        return found[0], there[found[0]]
    return name, list_versions(settings)[name]


def _pull_listing(settings: Settings, repo: Any, name: str) -> int:
    from dvc_objects.errors import ObjectFormatError

    try:
        return _pull(repo, [_folder_digest(list_versions(settings)[name])])
    except ObjectFormatError as error:  # DVC reads it where it lies
        raise ChecksumMismatch(_came_damaged(name, 1)) from error


def _drop_damaged(settings: Settings, name: str) -> int:
    """Remove what is damaged from the cache; return how many files that were."""
    try:
        damaged = [file.cached for file, how in damaged_files(settings, name) if how == "changed"]
    except ChecksumMismatch:
        damaged = [listing_path(settings, name)]
    except VersionUnknown:  # the list of files comes from the remote, too
        damaged = []
    for path in damaged:
        path.unlink()
    return len(damaged)


def _require_sound(settings: Settings, name: str) -> None:
    """Raise ChecksumMismatch where what came is not what was sent; DVC itself does not look."""
    if count := _drop_damaged(settings, name):
        raise ChecksumMismatch(_came_damaged(name, count))


def _came_damaged(name: str, count: int) -> str:
    files, them = ("1 file", "it") if count == 1 else (f"{count} files", "them")
    return (
        f"{files} of data version {name} came damaged from the remote, and the cache does not keep "
        f"{them}. Fetch again; if it stays so, the remote's copy is damaged: remove {them} there "
        f"and run `mammo data push {name}` where the version is whole"
    )


@contextmanager
def _remote(settings: Settings) -> Iterator[tuple[Any, Any, str]]:
    """Open DVC with the remote; give its repository, the file system, the folder of entries."""
    if not settings.data_remote:
        raise SettingsInvalid(
            "no remote for data versions is set: MAMMO_DATA_REMOTE=/mnt/archive, "
            "s3://bucket/prefix or azure://container/prefix"
        )
    url = settings.data_remote
    where: dict[str, Any] = {"url": url}
    if settings.data_remote_endpoint and url.startswith("s3://"):
        where["endpointurl"] = settings.data_remote_endpoint
    with _named(url), open_repo(settings.data_dir, {"remote": {REMOTE: where}}) as repo:
        remote = repo.cloud.get_remote(REMOTE)
        yield repo, remote.fs, remote.fs.join(remote.path, FOLDER)


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Give what a remote's client raises our code; its text may hold keys and stays inside."""
    from dvc.config import ConfigError
    from dvc.fs import RemoteMissingDepsError

    try:
        yield
    except MammoError:
        raise
    except RemoteMissingDepsError as error:
        extra = KINDS.get(url.partition("://")[0], "")
        raise SettingsInvalid(
            f"the client for {url.partition('://')[0]}:// is not installed: "
            f"`pip install -e '.[{extra}]'` in the checkout"
        ) from error
    except ConfigError as error:
        raise SettingsInvalid(f"MAMMO_DATA_REMOTE={url} is no address that DVC knows") from error
    except Exception as error:
        if not _is_far(error):
            raise
        raise RemoteUnreachable(
            f"the remote {url} does not answer or does not let us in ({type(error).__name__}): "
            "check the address, the network, and the credentials in the environment "
            "(AWS_ACCESS_KEY_ID, AZURE_STORAGE_CONNECTION_STRING); then run the same again"
        ) from error


def _is_far(error: BaseException) -> bool:
    """Tell whether an error is of the far side: of a client, the network, or of rights there."""
    if isinstance(error, OSError):  # as fsspec translates them: PermissionError and the like
        return True
    kinds = (one.__module__.partition(".")[0] for one in type(error).__mro__)
    return bool({"botocore", "azure", "aiohttp", "adlfs", "dvc_objects"} & set(kinds))


def _require_all(failed: set[Any], did: str) -> None:
    if failed:
        raise RemoteUnreachable(
            f"{len(failed)} files could not be {did} the remote; those that could are kept: "
            "run the same again"
        )


def _entry(fs: Any, path: str) -> dict[str, Any]:
    """Read what the remote says of a version; raise ChecksumMismatch where that is no entry."""
    with fs.open(path, "rb") as handle:
        content: bytes = handle.read()
    try:
        entry: dict[str, Any] = json.loads(content)
        datetime.fromisoformat(entry["made_at"])
        if not digest_of(entry["pointer"]).startswith(fs.name(path).removesuffix(".json")):
            raise ValueError("it is of another version")
        return entry | {"rows": int(entry["rows"])}
    except (ValueError, LookupError, TypeError, AttributeError, YAMLError) as error:
        raise ChecksumMismatch(
            f"{FOLDER}/{fs.name(path)} on the remote is no entry of a data version "
            f"({type(error).__name__}): remove it there and run `mammo data push` where the "
            "version is whole"
        ) from error


def _folder_digest(entry: dict[str, Any]) -> str:
    return f"{digest_of(entry['pointer'])}.dir"


def _named_md5(digests: Iterable[str]) -> list[Any]:
    from dvc_data.hashfile.hash_info import HashInfo

    return [HashInfo("md5", one) for one in digests]
