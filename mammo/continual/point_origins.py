"""From what each operating point of a release was set: the holdout, or exams in service.

set_in_service(release)       # {"Maker/A": "scores of 45 exams in service since 2026-03-01, ..."}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mammo.release import RECALIBRATED, Release

ALIGNED = "aligned"
"""The part of a release's metrics that says which points were set without outcomes."""
BY_OUTCOMES = "points_by_outcomes"
"""The same of points that outcomes have raised or lowered since, scanner by scanner."""
NEWEST_BY_OUTCOMES = "calibrated_on_outcomes"
"""The newest of those alone: all that older releases keep of them."""
MEASURED_OF = "measured_of"
"""Of a recalibrated release: the id of the release whose numbers its metrics are."""

HOLDOUT = "the holdout"
NOT_KEPT = "not kept"


def set_in_service(release: Release) -> dict[str, str]:
    """Return from what the points set in service were set, by scanner, in words."""
    metrics = release.metrics
    newest = {"recalibrated": _scores, NEWEST_BY_OUTCOMES: _outcomes}
    told = {
        str(metrics[name]["scanner"]): words(metrics[name])
        for name, words in newest.items()
        if name in metrics
    }
    told |= {name: _outcomes(facts) for name, facts in metrics.get(BY_OUTCOMES, {}).items()}
    told |= {name: _scores(facts) for name, facts in metrics.get(ALIGNED, {}).items()}
    return dict(sorted(told.items()))


def _scores(facts: Mapping[str, Any]) -> str:
    since = facts.get("since")
    when = f"in service since {since[:10]}" if since else "in service, its latest"
    return f"scores of {facts['exams']} exams {when}, without outcomes"


def _outcomes(facts: Mapping[str, Any]) -> str:
    before = facts.get("before")
    told = f"outcomes of {facts['exams']} exams in service, {facts['cancers']} with cancer"
    return f"{told}; before that from {_scores(before)}" if before else told


def point_origins(release: Release) -> dict[str, str]:
    """Return from what every operating point was set, by scanner, in words."""
    moved = set_in_service(release)
    # a drill's child is recalibrated without saying from what
    others = HOLDOUT if moved or release.kind != RECALIBRATED else NOT_KEPT
    return {name: moved.get(name, others) for name in sorted(release.operating_points)}


def told_points(release: Release) -> tuple[str, ...]:
    """Return sentences on what the operating points rest on."""
    if release.kind != RECALIBRATED:
        return (
            "The operating points and the calibration were set on the holdout, so its numbers "
            "are kind.",
        )
    moved = set_in_service(release)
    if not moved:
        return ("Its operating points were set after the training; from what is not kept.",)
    each = (f"The operating point of {name} was set from {told}." for name, told in moved.items())
    return (
        *each,
        "The other operating points and their calibration were set on the holdout, so its numbers "
        "are kind.",
    )


def told_measures(release: Release) -> str:
    """Return a sentence on whose numbers the metrics are, and at which operating points."""
    if release.kind != RECALIBRATED:
        return "As sealed in the manifest when the release was made."
    of = release.metrics.get(MEASURED_OF)
    return (
        f"Of {f'release {of}' if of else 'an earlier release'}, which has the same network, at its "
        "own operating points: nothing was measured anew with those set since."
    )
