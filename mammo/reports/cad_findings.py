"""What a Mammography CAD SR says of the exam, its breasts and its findings (TID 4001 to 4006).

A finding is a *Selected region*: the release points at a place and does not say whether a
mass or calcifications are there. That concept has a certainty and no probability of cancer
(TID 4006 row 7); the probabilities are those of breasts and exam.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammo import __version__
from mammo.reports.cad_library import LIBRARY
from mammo.reports.codes import PROBABILITY_OF_CANCER, breast_code, own_code, percent
from mammo.reports.content import (
    CONTAINS,
    INFERRED,
    MODIFIED,
    PROPERTIES,
    code,
    container,
    number,
    outline,
    text,
)
from mammo.reports.material import ReportMaterial
from mammo.reports.wording import how_regions, tell_exam, tell_region

DCM = codes.DCM
IMPRESSION = Code("111034", "DCM", "Individual Impression/Recommendation")
SHOWN = DCM.PresentationRequiredRenderingDeviceIsExpectedToPresent
MAY_BE_SHOWN = DCM.PresentationOptionalRenderingDeviceMayPresent
Finding = tuple[int, Mapping[str, Any], Mapping[str, Any], str]
"""Place of the image, its view, the finding, and what is said of it."""


def algorithm(material: ReportMaterial) -> list[Dataset]:
    """Return what computed it (TID 4019): this software, by the release that scored."""
    version = material.release or __version__
    return [
        text(DCM.AlgorithmName, "mammo", PROPERTIES),
        text(DCM.AlgorithmVersion, version, PROPERTIES),
        text(DCM.AlgorithmParameters, how_regions(material), PROPERTIES),
    ]


def summarise(material: ReportMaterial) -> Dataset:
    """Return the CAD Processing and Findings Summary: the exam, and each breast with findings."""
    findings = list(_findings(material))
    return code(
        DCM.CADProcessingAndFindingsSummary,
        _summary(material, bool(findings)),
        CONTAINS,
        [*_overall(material), *_breasts(material, findings)],
    )


def _summary(material: ReportMaterial, found: bool) -> Code:
    """Return the one code that says it all (CID 6047)."""
    if material.answer is None:
        return DCM.NoAlgorithmsSucceededWithoutFindings
    if material.refused or material.answer.get("refused") or not material.localised:
        if found:
            return DCM.NotAllAlgorithmsSucceededWithFindings
        return DCM.NotAllAlgorithmsSucceededWithoutFindings
    if found:
        return DCM.AllAlgorithmsSucceededWithFindings
    return DCM.AllAlgorithmsSucceededWithoutFindings


def _overall(material: ReportMaterial) -> Iterator[Dataset]:
    """Yield the impression of the exam and the probability of it and of each breast (TID 4002)."""
    yield text(DCM.ImpressionDescription, tell_exam(material), PROPERTIES)
    yield from algorithm(material)
    if material.answer is None:
        return
    yield from _scores(material.answer, None)
    for breast in material.answer["breasts"]:
        yield from _scores(breast, breast["laterality"])


def _scores(told: Mapping[str, Any], side: str | None) -> Iterator[Dataset]:
    """Yield probability and scale of a breast, or of the exam where ``side`` is None."""
    where = breast_code(side)
    sided = [] if where is None else [code(codes.SCT.Laterality, where, MODIFIED)]
    probability = percent(told["score"] if side is None else told["probability"])
    yield number(PROBABILITY_OF_CANCER, probability, codes.UCUM.Percent, PROPERTIES, sided)
    if told.get("scale") is not None:
        scale = float(told["scale"])
        yield number(own_code("SCALE"), scale, codes.UCUM.NoUnits, PROPERTIES, sided)


def _breasts(material: ReportMaterial, findings: list[Finding]) -> Iterator[Dataset]:
    """Yield an impression for each breast that has findings (TID 4003 asks for one).

    Score and sentence of a breast stand in the body of the whole: those of a breast without
    findings have no other place.
    """
    if material.answer is None:
        return
    reserved = bool(material.answer.get("abstention"))
    for breast in material.answer["breasts"]:
        own = [one for one in findings if one[1]["laterality"] == breast["laterality"]]
        if not own:
            continue
        intent = SHOWN if breast["recall"] and not reserved else MAY_BE_SHOWN
        children = [
            code(DCM.RenderingIntent, intent, MODIFIED),
            *(_finding(material, one, intent) for one in own),
        ]
        yield container(IMPRESSION, children, INFERRED)


def _findings(material: ReportMaterial) -> Iterator[Finding]:
    for place, view in zip(material.scored, material.views, strict=False):
        found = view["findings"]
        for rank, finding in enumerate(found, start=1):
            yield place, view, finding, tell_region(finding, rank, len(found))


def _finding(material: ReportMaterial, one: Finding, intent: Code) -> Dataset:
    """Return a Single Image Finding (TID 4006) with centre and outline on the original's pixels."""
    place, view, finding, told = one
    left, top, right, bottom = (float(finding[n]) for n in ("x_min", "y_min", "x_max", "y_max"))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    at = (*LIBRARY, place + 1)
    children = [code(DCM.RenderingIntent, intent, MODIFIED), *algorithm(material)]
    # a detector's score is no probability: a place that it alone names has no certainty
    if view.get("probability") is not None and finding.get("share") is not None:
        certainty = percent(view["probability"] * finding["share"])
        children.append(number(DCM.CertaintyOfFinding, certainty, codes.UCUM.Percent, PROPERTIES))
    middle = [((left + right) / 2, (top + bottom) / 2)]
    children += [
        outline(DCM.Center, "POINT", middle, at, PROPERTIES),
        outline(DCM.Outline, "POLYLINE", corners, at, PROPERTIES),
        text(DCM.SelectedRegionDescription, told, PROPERTIES),
    ]
    return code(DCM.SingleImageFinding, DCM.SelectedRegion, CONTAINS, children)
