"""The sentences in the documents: what a reader sees who does not follow codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mammo import INTENDED_USE
from mammo.reports.codes import percent
from mammo.reports.material import ReportMaterial

SIDES = {"L": "Left breast", "R": "Right breast"}
HOW_JOINED = (
    "Regions are peaks of the heat of the score, marks of a detector, or named by both. Certainty "
    "of Finding is the image's calibrated probability times the region's part of the evidence: a "
    "rank, not a calibrated risk; a place that the detector alone names has none."
)
HOW_REGIONS = (
    "Regions are peaks of the heat of the score; no detector. Certainty of Finding is the image's "
    "calibrated probability times the region's part of the evidence: a rank, not a calibrated risk."
)


HOW_GONE = "The regions of this score are no longer kept."


def how_regions(material: ReportMaterial) -> str:
    """Return what the regions of an exam are, by what its release has."""
    if material.answer is not None and not material.views:
        return HOW_GONE
    breasts = [] if material.answer is None else material.answer["breasts"]
    marked = any("sources" in one for view in material.views for one in view["findings"])
    return HOW_JOINED if marked or any(one.get("agreement") for one in breasts) else HOW_REGIONS


def tell_exam(material: ReportMaterial) -> str:
    """Return what became of the exam, in sentences; codes stand in them as in the API."""
    answer = material.answer
    if answer is None:
        return f"Not scored: {material.code}. {material.text} {INTENDED_USE}"
    lines = [
        f"Exam: {_score(answer)}; {answer['decision']} (a breast is recalled from "
        f"{percent(answer['threshold'])} % on)."
    ]
    lines += [_tell_breast(breast) for breast in answer["breasts"]]
    lines += _tell_reserves(answer)
    if quality := answer.get("quality"):
        lines.append(f"Quality: {', '.join(quality)}.")
    if refused := answer.get("refused"):
        codes = sorted(one["code"] for one in refused)
        lines.append(f"Not scored, {len(refused)} of the files sent: {', '.join(codes)}.")
    if not answer["views"]:
        lines.append("Its regions are no longer kept.")
    elif not material.localised:
        lines.append("This release does not tell where the score comes from: no regions.")
    return " ".join([*lines, INTENDED_USE])


def _tell_reserves(answer: Mapping[str, Any]) -> list[str]:
    """Return why a score should not be relied on, and what of that nobody knows or judged."""
    reserves, told = answer.get("abstention"), list[str]()
    if reserves is None:
        told.append("Not known: whether anything speaks against the score.")
    elif reserves:
        told.append(f"Not to be relied on: {', '.join(reserves)}.")
    if answer.get("familiarity_judged") is False:
        told.append("Not judged: whether the images look like those the release was tried on.")
    return told


def _tell_breast(breast: Mapping[str, Any]) -> str:
    """Return score and decision of a breast."""
    side = SIDES.get(breast["laterality"], "Breast of unknown side")
    return f"{side}: {_score(breast)}; {'recall' if breast['recall'] else 'no recall'}."


def tell_region(finding: Mapping[str, Any], number: int, of: int) -> str:
    """Return what a region is, and what it rests on."""
    return f"Region {number} of {of} in this image: {tell_rest(finding, ' for the score')}."


def tell_rest(finding: Mapping[str, Any], of: str = "") -> str:
    """Return its part of the image's evidence (``of`` the score), and its detector's score."""
    told = []
    if finding.get("share") is not None:
        told.append(f"{round(100 * finding['share'])} % of the evidence{of}")
    if finding.get("score") is not None:
        told.append(f"marked by the detector with {finding['score']:.2f}")
    return ", ".join(told)


def _score(told: Mapping[str, Any]) -> str:
    probability = told["score"] if "score" in told else told["probability"]
    scale = told.get("scale")
    tenth = "" if scale is None else f", tenth {scale} of 10 of the reference exams"
    return f"probability of cancer {percent(probability)} %{tenth}"
