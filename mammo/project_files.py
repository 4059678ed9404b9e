"""Where the project's files that are no code lie: `configs`, `deploy/azure`.

In a checkout and in the images they stand beside the packages; in an installed wheel inside
this one, since site-packages belongs to everybody (`tool.hatch` in pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
INSIDE = "project"
"""Name of the folder in the wheel's `mammo`; a checkout has none."""


def project_folder(name: str) -> Path:
    """Return a folder of the project by its path from the checkout's root, as ``deploy/azure``."""
    inside = PACKAGE / INSIDE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
