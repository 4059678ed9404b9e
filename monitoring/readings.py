"""What the evidence answers to each sign of the table in `monitoring.causes`.

A reading returns one of the sign's answers, or None where the answer is not known. Where
one sign explains another, the other is not known: most exams incomplete explain images
that moved, for the mean of fewer views is another one.
"""

from __future__ import annotations

from monitoring.evidence import Evidence
from monitoring.features import HEADER

FAR_Z = 2.5
"""Robust SD between the median exam and the reference that two scanners seldom differ by.

On a scanner and a software version that are known it is sooner a fault than a service.
"""
FEW, MOST = 1 / 3, 2 / 3
"""Shares of the strata that carry a change: up to the first are few, from the second most."""
ARRIVES_OTHERWISE = (
    "values are missing in most exams",
    "most exams lack views or had files refused",
    "images further off than scanners differ",
    "images saturated, flat or without a breast",
    "images of a known scanner far from its own",
)


def read_arrival(evidence: Evidence) -> str:
    """Return the worst that is said of how exams arrive."""
    if evidence.values_absent:
        return "values are missing in most exams"
    if evidence.mostly_incomplete:
        return "most exams lack views or had files refused"
    if evidence.extremes:
        return "images further off than scanners differ"
    if evidence.mostly_marked:
        return "images saturated, flat or without a breast"
    if _far_for_known(evidence):
        return "images of a known scanner far from its own"
    if "missing" in evidence.moved:
        return "views missing or files refused more often"
    return "exams as before"


def _far_for_known(evidence: Evidence) -> bool:
    names = (one for one in evidence.moved.get("image", ()) if one != "quality")
    known = not (evidence.scanner_new or evidence.version_new)
    return known and any(abs(evidence.robust.get(one, 0.0)) >= FAR_Z for one in names)


def read_images(evidence: Evidence) -> str | None:
    """Return whether images moved; None where what arrives is another thing altogether."""
    if read_arrival(evidence) in ARRIVES_OTHERWISE:
        return None  # the mean of fewer views is another one: that says nothing of the scanner
    if not evidence.images_moved:
        return "as before"
    return "no more than age" if evidence.explained_by_age(evidence.images_moved) else "moved"


def read_header(evidence: Evidence) -> str | None:
    """Return whether the header's values moved; None where it is not watched."""
    names = evidence.moved.get("header", ())
    watched = bool(names) or any(one in evidence.shifts for one in HEADER)
    if not watched or evidence.mostly_incomplete:
        return None
    if not names:
        return "as before"
    return "no more than age" if evidence.explained_by_age(names) else "moved"


def read_women(evidence: Evidence) -> str | None:
    """Return whether the women's age moved; None where it is not watched."""
    if evidence.moved.get("population"):
        return "moved"
    return "as before" if "age_years" in evidence.shifts else None


def read_scores(evidence: Evidence) -> str:
    """Return whether scores or recall moved."""
    return "moved" if evidence.scores_moved else "as before"


def read_cancers(evidence: Evidence) -> str | None:
    """Return whether outcomes show that cancers rank lower; None without outcomes."""
    if evidence.ranks_lower:
        return "lower"
    return None if evidence.outcome is None else "not shown"


def read_rate(evidence: Evidence) -> str | None:
    """Return whether outcomes show more or fewer cancers; None without outcomes."""
    if evidence.outcome is None:
        return None
    ratio = evidence.rate_ratio
    if ratio is None:
        return "not shown"
    return "more" if ratio > 1 else "fewer"


def read_spread(evidence: Evidence) -> str | None:
    """Return how many strata carry the change; None where they cannot tell."""
    if evidence.strata_watched < 2:
        return "most" if evidence.level == "programme" and evidence.moved else None
    share = evidence.strata_moved / evidence.strata_watched
    return "few" if share <= FEW else "most" if share >= MOST else "some"


def read_machine(evidence: Evidence) -> str:
    """Return whether scanner and version are known to the release."""
    if evidence.scanner_new:
        return "a new scanner"
    return "a new software version" if evidence.version_new else "known"
