"""The reason of a triage in words, for the person who is alerted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from monitoring.causes import Cause, Hypothesis

if TYPE_CHECKING:
    from monitoring.evidence import Evidence

DOUBTS = {
    "REFERENCE_OTHER_RELEASE": "the reference belongs to another release",
    "CLOCK_BACKWARDS": "exams carry times that go backwards",
    "NOW_BACKWARDS": "the clock is behind that of the last run",
}
"""Codes under which the evidence itself is in doubt, and what they say."""

NAMES: dict[Cause, str] = {
    "data_fault": "a fault of the data",
    "acquisition": "images that are made otherwise",
    "prevalence": "more or fewer cancers, or other women",
    "concept": "cancers that look otherwise",
    "mixed": "two things at once",
    "software_version": "a new software version",
}
DONE = {
    "quarantine": "Nothing is learnt from these exams until a person has closed the episode.",
    "recalibrate_and_retrain": "Its operating point is recalibrated at once and a candidate "
    "is trained.",
    "retrain": "A candidate is trained; no operating point is set before outcomes are there.",
    "ask": "A person decides; nothing is started.",
    "note": "Nothing is retrained.",
}


def reason_for(
    evidence: Evidence,
    cause: Cause,
    action: str,
    pair: Hypothesis,
    probabilities: Mapping[Cause, float],
) -> str:
    """Return what was seen, what it means and what is done. ``pair`` is the likeliest two."""
    doubts = [DOUBTS[code] for code in evidence.codes if code in DOUBTS]
    if doubts:
        return f"{_capital(' and '.join(doubts))}: {_uncertain(probabilities)} {DONE['ask']}"
    if cause == "mixed":
        return f"Two things at once: {' and '.join(NAMES[one] for one in pair)}. {DONE[action]}"
    said = SAYINGS[cause](evidence)
    if action == "ask":
        return f"{said} But it is not certain: {_uncertain(probabilities)} {DONE['ask']}"
    return f"{said} {DONE[action]}"


def _uncertain(probabilities: Mapping[Cause, float]) -> str:
    first = sorted(probabilities.items(), key=lambda item: -item[1])[:2]
    return " or ".join(f"{NAMES[one]} ({chance:.0%})" for one, chance in first) + "."


def _say_data_fault(evidence: Evidence) -> str:
    if evidence.extremes:
        worst = max(evidence.extremes, key=lambda name: abs(evidence.robust[name]))
        return (
            f"{_listed(evidence.extremes)}: the median exam lies "
            f"{abs(evidence.robust[worst]):.0f} SD from the reference, further than scanners "
            "differ. Look at the images and how they are sent before anything is learnt from them."
        )
    if evidence.values_absent:
        return (
            f"{evidence.absent_rate:.0%} of the channel values are missing: "
            "features or embeddings do not arrive. Look at the service's log."
        )
    if evidence.mostly_marked:
        return (
            f"{evidence.quality_rate:.0%} of exams have an image that is saturated, flat or "
            f"without a breast; in the reference {evidence.quality_rate_reference:.0%}. "
            "Look at the images: inverted, or in another window?"
        )
    if "missing" not in evidence.moved:
        moved = _shifted(evidence, evidence.images_moved or evidence.scores_moved)
        return (
            f"Images of a scanner that the release knows arrive far from its own ({moved}). "
            "Look at them: inverted, in another window, or of another kind?"
        )
    rate = max(evidence.incomplete_rate, evidence.refused_rate)
    return (
        f"{rate:.0%} of exams lack a view or had a file refused; "
        f"in the reference {evidence.incomplete_rate_reference:.0%}. "
        "Look at what the sender leaves out."
    )


def _say_acquisition(evidence: Evidence) -> str:
    names = (*evidence.images_moved, *evidence.moved.get("header", ()))
    who = "A scanner that the release has not met: its" if evidence.scanner_new else "The"
    if not names:
        scores = _shifted(evidence, evidence.scores_moved)
        return f"{who} exams score differently ({scores})."
    scores = ""
    if evidence.scores_moved:
        scores = f", and with them {_shifted(evidence, evidence.scores_moved)}"
    return f"{who} images differ ({_shifted(evidence, names)}){scores}."


def _say_concept(evidence: Evidence) -> str:
    return (
        "Outcomes show that the release ranks exams worse than on its reference, with no "
        "change of the images that explains it."
    )


def _say_prevalence(evidence: Evidence) -> str:
    ratio = evidence.rate_ratio
    if ratio is not None:
        return (
            f"Outcomes show {ratio:.1f} times as many cancers per exam as the reference, "
            "and cancers rank as they did."
        )
    if ages := evidence.moved.get("population", ()):
        return (
            f"Other women are screened ({_shifted(evidence, ages)}); images and scores moved no "
            "further than that explains."
        )
    return (
        f"Scores moved ({_shifted(evidence, evidence.scores_moved)}) while the images look as "
        "before: more or fewer cancers, or another group of women. Outcomes will tell."
    )


def _say_version(evidence: Evidence) -> str:
    return (
        "The scanner's software version is new to the release. Nothing has moved yet; "
        "the scanner is watched."
    )


SAYINGS: dict[Cause, Callable[[Evidence], str]] = {
    "data_fault": _say_data_fault,
    "acquisition": _say_acquisition,
    "concept": _say_concept,
    "prevalence": _say_prevalence,
    "software_version": _say_version,
}


def _shifted(evidence: Evidence, names: tuple[str, ...]) -> str:
    ordered = sorted(names, key=lambda name: -abs(evidence.shifts.get(name, 0.0)))[:4]
    return ", ".join(
        f"{name.replace('_', ' ')} {evidence.shifts.get(name, 0.0):+.1f} SD" for name in ordered
    )


def _listed(names: tuple[str, ...]) -> str:
    return _capital(", ".join(name.replace("_", " ") for name in names))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
