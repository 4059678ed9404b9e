"""Build the documentation strictly, with report and slides in it: `build/site`.

Example: python -m benchmarks.site

The site is built by zensical from `zensical.toml`; a broken link or anchor ends it with status 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SITE, PAPER = ROOT / "build" / "site", ROOT / "build" / "paper"


def build() -> int:
    """Build the site and put report and slides into it; the status of the generator."""
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=ROOT, check=False
    )
    if done.returncode == 0 and PAPER.is_dir():
        shutil.copytree(PAPER, SITE / "paper", dirs_exist_ok=True)
    if done.returncode == 0:
        print(f"site: {(SITE / 'index.html').as_uri()}")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(build())
