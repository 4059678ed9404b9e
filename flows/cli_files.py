"""Files given to a command: which they are, what they hold, and by which name they are told.

A file may be named after its patient. A person at a terminal gave the name and is told it;
pipes, logs, JSON and files of errors get the file's SHA-256, or its place among those given.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli_terminal import may_name_files, say
from mammo.errors import SourceInvalid, SourceNotFound

if TYPE_CHECKING:
    from mammo.exam_report import Refused


def list_files(paths: Sequence[Path], *, as_json: bool) -> list[Path]:
    """Return the files among the paths and within its folders.

    Raises
    ------
    SourceNotFound
        A path is missing.
    SourceInvalid
        A path, or a folder or file in it, may not be looked at: passed over, it would
        leave an exam that is scored by fewer views.
    """
    named = may_name_files(as_json=as_json)
    missing: dict[int, Path] = {}
    found: list[Path] = []
    for number, path in enumerate(paths, 1):
        try:
            found += _files_of(path)
        except OSError as error:
            if not os.path.lexists(path) and isinstance(
                error, (FileNotFoundError, NotADirectoryError)
            ):
                missing[number] = path
                continue
            inner = error.filename not in (None, str(path))
            place = f"{'something in ' if inner else ''}path {number} of {len(paths)} given"
            told = Path(error.filename or path).name if named else place
            raise _unreadable(told, error) from None
    if missing and named:
        raise SourceNotFound(f"not found: {', '.join(path.name for path in missing.values())}")
    if missing:
        places = ", ".join(map(str, missing))
        raise SourceNotFound(f"not found: path {places} of {len(paths)} given")
    return found


def read_files(paths: Sequence[Path], *, as_json: bool) -> list[tuple[str, bytes]]:
    """Return the name to tell and the content of each file of `list_files`.

    Raises SourceNotFound, and SourceInvalid where one cannot be opened.
    """
    files, named = list_files(paths, as_json=as_json), may_name_files(as_json=as_json)
    found: list[tuple[str, bytes]] = []
    for number, path in enumerate(files, 1):
        told = path.name if named else f"file {number} of {len(files)}"
        data = _content(path, told)
        found.append((path.name if named else hashlib.sha256(data).hexdigest(), data))
    return found


def _files_of(path: Path) -> list[Path]:
    """Return the path itself, or the files below the folder that it is; OSError as it comes."""
    if not stat.S_ISDIR(path.stat().st_mode):
        found = [path]
    else:
        walk = os.walk(path, onerror=_raise)  # `Path.rglob` passes over what it may not enter
        found = sorted(Path(folder, name) for folder, _, names in walk for name in names)
    return [one for one in found if stat.S_ISREG(one.stat().st_mode)]


def _raise(error: OSError) -> None:
    raise error


def _content(path: Path, told: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(told, error) from None


def _unreadable(told: str, error: OSError) -> SourceInvalid:
    """Return the error to raise ``from None``: the system's words hold the path."""
    return SourceInvalid(f"{told} cannot be read: {error.strerror or type(error).__name__}")


def say_refused(refused: Sequence[Refused]) -> None:
    """Say which files were refused, by the names of `read_files`, and why."""
    for one in refused:
        say(f"refused: {one.file}: {one.code}: {one.message}")
