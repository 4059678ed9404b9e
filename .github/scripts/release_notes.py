"""Print the changelog's section of a version; refuse a tag that is not the version.

python .github/scripts/release_notes.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def section(changelog: str, version: str) -> str:
    """Return the text below the heading of ``version``, without the heading.

    Raises
    ------
    SystemExit
        There is no such heading, it still says unreleased, or nothing is below it.
    """
    parts = re.split(r"^## +", changelog, flags=re.MULTILINE)[1:]
    for heading, _, body in (part.partition("\n") for part in parts):
        if heading.split()[:1] != [version]:
            continue
        if "unreleased" in heading:
            raise SystemExit(f"CHANGELOG.md still calls {version} unreleased: give it its day")
        if not body.strip():
            raise SystemExit(f"CHANGELOG.md says nothing of {version}")
        return body.strip() + "\n"
    raise SystemExit(f"CHANGELOG.md has no section {version}")


def version_of(tag: str, project: str) -> str:
    """Return the version that ``tag`` names; refuse one that pyproject.toml does not have."""
    version = tomllib.loads(project)["project"]["version"]
    if tag != f"v{version}":
        raise SystemExit(f"the tag is {tag}, pyproject.toml says {version}: tag v{version}")
    return str(version)


if __name__ == "__main__":
    wanted = version_of(sys.argv[1], (ROOT / "pyproject.toml").read_text())
    print(section((ROOT / "CHANGELOG.md").read_text(), wanted), end="")
