"""Files given to a command: which they are, what they hold, and by which name they are told.

A file may be named after its patient. A person at a terminal gave the name and is told it;
pipes, logs, JSON and files of errors get the file's SHA-256.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.cli_terminal import may_name_files
from mammo.errors import SourceInvalid, SourceNotFound


def list_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files among the paths and within its folders; SourceNotFound if one is missing."""
    missing = {number: path for number, path in enumerate(paths, 1) if not path.exists()}
    if missing and sys.stderr.isatty():
        raise SourceNotFound(f"not found: {', '.join(path.name for path in missing.values())}")
    if missing:
        places = ", ".join(map(str, missing))
        raise SourceNotFound(f"not found: path {places} of {len(paths)} given")
    nested = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths]
    return [path for group in nested for path in group if path.is_file()]


def read_files(paths: Sequence[Path], *, as_json: bool) -> list[tuple[str, bytes]]:
    """Return the name to tell and the content of each file of `list_files`.

    Raises SourceNotFound, and SourceInvalid where one cannot be opened.
    """
    files = list_files(paths)
    contents = [_content(path, number, len(files)) for number, path in enumerate(files, 1)]
    if may_name_files(as_json=as_json):
        return [(path.name, data) for path, data in zip(files, contents, strict=True)]
    return [(hashlib.sha256(data).hexdigest(), data) for data in contents]


def _content(path: Path, number: int, count: int) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        # `from None`: the error's own words hold the path, and a traceback would keep them
        raise SourceInvalid(
            f"file {number} of {count} cannot be read: {error.strerror or type(error).__name__}"
        ) from None
