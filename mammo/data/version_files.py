"""The files of a data version: what they are, whether they are whole, putting them back.

DVC's own checkout removes a file and links it anew, and a reader in between
finds none. Here every file of the store is replaced in one step and the index
last, so that whoever reads meanwhile has the one version or the other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mammo.data.durable import (
    make_folder,
    replace_by_link,
    storing,
    write_file,
    write_text,
)
from mammo.data.index import count_rows
from mammo.data.staging import directory_of
from mammo.data.store import store_lock
from mammo.data.version import (
    NO_LINKS,
    cache_path,
    current_version,
    digest_of,
    file_md5,
    find_version,
    list_versions,
    pointer_path,
    snapshot_store,
    store_dir,
)
from mammo.errors import ChecksumMismatch, IndexMissing, VersionUnknown
from mammo.folder_entries import sync_folder
from mammo.settings import Settings


@dataclass(frozen=True, slots=True)
class VersionFile:
    """One file of a version: its path in the store, its MD5, and where its bytes lie."""

    path: str
    md5: str
    cached: Path

    @property
    def size_bytes(self) -> int | None:
        """Size of the file; None when its bytes are not on this machine."""
        return self.cached.stat().st_size if self.cached.is_file() else None


def version_files(settings: Settings, version: str) -> list[VersionFile]:
    """Return the files of a version, ordered by path.

    Raises
    ------
    VersionUnknown
        No such version, or its list of files is not on this machine.
    ChecksumMismatch
        The list of files is not what was written.
    """
    name = find_version(settings, version)
    digest = digest_of(list_versions(settings)[name]["pointer"])
    listing = listing_path(settings, name)
    if not listing.is_file():
        raise VersionUnknown(_elsewhere(name))
    if file_md5(listing) != digest or not digest.startswith(name):
        raise ChecksumMismatch(_damaged(settings, name, 1, listing.name))
    return [
        VersionFile(one["relpath"], one["md5"], cache_path(settings, one["md5"]))
        for one in sorted(json.loads(listing.read_text()), key=lambda one: one["relpath"])
    ]


def listing_path(settings: Settings, name: str) -> Path:
    """Return where DVC keeps the list of a version's files."""
    return cache_path(settings, f"{digest_of(list_versions(settings)[name]['pointer'])}.dir")


def version_file(settings: Settings, version: str, path: str) -> VersionFile:
    """Return one file of a version, whose bytes are here.

    Raises
    ------
    VersionUnknown
        The version has no such file, or its bytes are not on this machine.
    """
    for file in version_files(settings, version):
        if file.path == path:
            if not file.cached.is_file():
                raise VersionUnknown(_elsewhere(find_version(settings, version)))
            return file
    raise VersionUnknown(f"data version {version} has no file {path}")


def damaged_files(settings: Settings, version: str) -> Iterator[tuple[VersionFile, str]]:
    """Yield the files of a version that are ``missing`` here or ``changed``; reads every byte."""
    for file in version_files(settings, version):
        if not file.cached.is_file():
            yield file, "missing"
        elif file_md5(file.cached) != file.md5:
            yield file, "changed"


def missing_files(settings: Settings, version: str) -> Iterator[tuple[VersionFile, str]]:
    """Yield the files of a version that are ``missing`` here; reads none of them."""
    for file in version_files(settings, version):
        if not file.cached.is_file():
            yield file, "missing"


def checkout_version(settings: Settings, version: str) -> str:
    """Put the store back to what it was in ``version``; return the version's name.

    A store that was not made a version yet is made one first, so nothing is
    lost. It may be killed anywhere and run again to the same end.

    Raises
    ------
    VersionUnknown
        No such version was made here, or its files are on the remote only.
    ChecksumMismatch
        A file of the version is damaged; the store is as it was.
    """
    name = find_version(settings, version)
    files = version_files(settings, name)
    require_whole(settings, name)
    with store_lock(settings):
        if settings.index_path.exists():
            present_version(settings)
        with storing(settings.data_dir):
            _put_in_place(settings, files)
        pointer = list_versions(settings)[name]["pointer"]
        write_text(pointer_path(settings), pointer, directory_of(settings))
    return name


def present_version(settings: Settings) -> str:
    """Return the version that the store is; make it where an ingest was killed before it could.

    Call it under `mammo.data.store.store_lock`.

    Raises
    ------
    IndexMissing
        There is no store.
    """
    version, index = current_version(settings), settings.index_path
    if not index.exists():
        raise IndexMissing("there is no exam index yet: run `mammo ingest` first")
    # a pointer without its entry: killed between the two, and made a version once more
    made = version in list_versions(settings)
    known = {file.path: file.md5 for file in version_files(settings, version)} if made else {}
    if known.get(index.name) == file_md5(index):
        return version
    return snapshot_store(settings, rows=count_rows(index))


def require_whole(settings: Settings, name: str) -> None:
    """Raise unless all files are here (VersionUnknown) and sound (ChecksumMismatch)."""
    damaged = list(damaged_files(settings, name))
    if any(how == "missing" for _, how in damaged):
        raise VersionUnknown(_elsewhere(name))
    if damaged:
        raise ChecksumMismatch(_damaged(settings, name, len(damaged), damaged[0][0].path))


def _put_in_place(settings: Settings, files: list[VersionFile]) -> None:
    """Link every file where it belongs, the index after what it names, then tidy up."""
    store, drafts = store_dir(settings), directory_of(settings)
    make_folder(drafts)
    index = settings.index_path.name
    for file in sorted(files, key=lambda one: one.path == index):
        target = store / file.path
        if target.is_file() and target.samefile(file.cached):
            continue
        make_folder(target.parent)
        _place(file.cached, target, drafts)
    kept = {store / file.path for file in files}
    for path in [one for one in store.rglob("*") if one.is_file()]:
        if path not in kept:
            path.unlink()


def _place(cached: Path, target: Path, drafts: Path) -> None:
    """Make ``target`` a link to a file of the cache, or a copy where there are no links."""
    try:
        replace_by_link(target, cached, drafts)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        write_file(target, lambda out: shutil.copyfileobj(cached.open("rb"), out), drafts)
    sync_folder(target.parent)


def _damaged(settings: Settings, name: str, count: int, first: str) -> str:
    files = "1 file is" if count == 1 else f"{count} files are"
    return (
        f"of data version {name} {files} not what was written (first: {first}, in "
        f"{settings.data_dir.name}/.dvc/cache): `mammo data fetch {name}` removes what is damaged "
        "and brings it from the remote"
    )


def _elsewhere(name: str) -> str:
    return (
        f"the files of data version {name} are not on this machine: `mammo data fetch {name}` "
        "brings them from the remote (MAMMO_DATA_REMOTE)"
    )
