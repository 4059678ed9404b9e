"""`mammo compare`: from the names of runs to numbers and one page.

report = write_comparison(settings, ["r-20261122-1a2b3c4d", "r-20261123-5e6f7a8b"])
report.path, report.comparison.pairs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mammo
from mammo.appraisal import compare_words as say
from mammo.appraisal.compare import Comparison, compare_runs
from mammo.appraisal.compare_cost import Cost, measure_costs
from mammo.appraisal.compare_groups import GroupDifference, compare_groups
from mammo.appraisal.compare_page import LEADS, SUBJECT, build_sections
from mammo.appraisal.compare_runs import Progress, read_runs
from mammo.appraisal.scores import UNTOUCHED
from mammo.data.durable import write_text
from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES
from mammo.explore.page import Origin, render_page, summarise
from mammo.settings import Settings


@dataclass(frozen=True, eq=False)
class ComparisonReport:
    """What was compared, what it costs, and the page that was written."""

    path: Path
    comparison: Comparison
    groups: tuple[GroupDifference, ...]
    costs: tuple[Cost, ...]
    warnings: tuple[str, ...]
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "page": str(self.path),
            "warnings": list(self.warnings),
            "sentences": list(self.sentences),
            "costs": [one.to_dict() for one in self.costs],
            "subgroups": [one.to_dict() for one in self.groups],
            **self.comparison.to_dict(),
        }


def write_comparison(
    settings: Settings,
    names: Sequence[str],
    *,
    part: str = UNTOUCHED,
    level: str = "breast",
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    to: Path | None = None,
    command: str = "mammo compare",
    progress: Progress | None = None,
) -> ComparisonReport:
    """Compare runs and write the page; for errors see `read_runs` and `compare_runs`."""
    runs = read_runs(settings, names, progress)
    found = compare_runs(runs, part=part, level=level, resamples=resamples, seed=seed)
    groups, costs = compare_groups(found), measure_costs(runs)
    sections = build_sections(found, groups, costs)
    versions = sorted({run.release.data_version for run in runs})
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    origin = Origin(", ".join(versions), command, now, mammo.__version__)
    title = f"{len(runs)} models"
    page = render_page(title, sections, origin, subject=SUBJECT, leads=LEADS)
    place = to or settings.reports_dir / "compare" / f"{'-'.join(one.name for one in runs)}.html"
    write_text(place, page, drafts=place.absolute().parent)
    warnings, _ = summarise(sections, LEADS)
    told = tuple(say.comparison_sentences(found))
    return ComparisonReport(place, found, tuple(groups), tuple(costs), warnings, told)
