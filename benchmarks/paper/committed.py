"""The committed pages that are made of results: report, benchmarks, the README's table."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from benchmarks.paper.render import fill
from benchmarks.paper.results import ROOT
from benchmarks.written import write_between

REPORT = Path("docs/report.md")
BENCHMARKS = Path("docs/benchmarks.md")
README = Path("README.md")
BLOCKS = {
    "limits": "readme_limits.md",
    "demo": "readme_demo.md",
    "table": "readme_table.md",
    "results": "results.md",
    "reading speed": "readme_reading.md",
    "reading runs": "readme_runs.md",
    "index": "readme_index.md",
    "models": "readme_models.md",
}
"""What stands between comments in the README, and the template that it is made of."""


def write_committed(root: Path = ROOT) -> None:
    """Write all of them anew."""
    for page in (REPORT, BENCHMARKS):
        (root / page).write_text(fill(page.name))
    for name, template in BLOCKS.items():
        write_between(root / README, name, fill(template).strip())


def stale_pages(root: Path = ROOT) -> list[str]:
    """Return the pages that say something else than the results files do now."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        (made / REPORT).parent.mkdir()
        shutil.copy(root / README, made / README)
        write_committed(made)
        return [
            str(one)
            for one in (REPORT, BENCHMARKS, README)
            if (made / one).read_text() != _text(root / one)
        ]


def _text(page: Path) -> str:
    return page.read_text() if page.is_file() else ""
