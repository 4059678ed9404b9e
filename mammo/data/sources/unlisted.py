"""Files of a set that no row of its table names: told, and not read."""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path


def find_unlisted(
    folder: Path, suffixes: tuple[str, ...], named: Container[str]
) -> tuple[str, ...]:
    """Return the names of image files below a folder that the table does not have.

    ``named`` holds the paths below the folder that it has, with ``/``. Hidden files
    are none, and links to folders are not followed.
    """
    found = []
    for place, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        for name in sorted(files):
            path = name if below == "." else f"{below}/{name}"
            if not name.startswith(".") and name.lower().endswith(suffixes) and path not in named:
                found.append(name)
    return tuple(found)
