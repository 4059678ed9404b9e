"""Write mammo's version wherever it stands: `make version VERSION=0.2.0`.

What Azure ML keeps never changes under its version, so its environment and components bear ours.
The changelog's section gets its day by hand, and `make setup` tells the installed package.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = (
    "pyproject.toml",
    "mammo/__init__.py",
    "deploy/azure/environment.yml",
    "deploy/azure/train.yml",
    "deploy/azure/components/*.yml",
)
LINE = r'^((?:__version__|version) = "|version: "|environment: azureml:mammo:|image: \S+:v){}("?)$'
"""A line that says nothing but mammo's version; pins of other packages stand in lists."""


def set_version(root: Path, version: str) -> list[str]:
    """Write ``version`` in place of the present one; return the changed files, sorted.

    Raises
    ------
    SystemExit
        ``version`` is not of the form 1.2.3, or a file lacks the present version.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise SystemExit(f"a version is like 1.2.3, not {version!r}")
    present = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    line = re.compile(LINE.format(re.escape(present)), re.MULTILINE)
    written = {}
    for path in sorted(path for one in FILES for path in root.glob(one)):
        written[path], count = line.subn(rf"\g<1>{version}\g<2>", path.read_text())
        if not count:
            raise SystemExit(f"{path.relative_to(root)} has no line with version {present}")
    for path, text in written.items():
        path.write_text(text)
    return [path.relative_to(root).as_posix() for path in written]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("make version VERSION=1.2.3")
    print(*set_version(ROOT, sys.argv[1]), sep="\n")
