"""The content of a Mammography CAD SR: TID 4000 and those below it (PS3.16).

    1    Mammography CAD Report
    1.1    language
    1.2    image library, TID 4020: 1.2.1, 1.2.2 …
    1.3    CAD Processing and Findings Summary, TID 4001: the exam, then each breast
    1.4    Summary of Detections, TID 4015
    1.5    Summary of Analyses, TID 4016

Images are described in the library, and pointed at from everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammo.reports.cad_findings import algorithm, summarise
from mammo.reports.cad_library import LIBRARY, describe_images
from mammo.reports.content import (
    CONTAINS,
    INFERRED,
    MODIFIED,
    PROPERTIES,
    code,
    container,
    pointing,
)
from mammo.reports.material import ReportMaterial, Status

DCM = codes.DCM
ENGLISH = Code("en", "RFC5646", "English")
OVERALL = Code("111234", "DCM", "Overall Impression / Recommendation Analysis")
"""As in PS3.16 D; the dictionary that comes with pydicom has an invisible space in it."""


def build_tree(material: ReportMaterial, images: Sequence[Dataset]) -> Dataset:
    """Return the root of the document: a CONTAINER with all that is told."""
    return container(
        DCM.MammographyCADReport,
        [
            code(DCM.LanguageOfContentItemAndDescendants, ENGLISH, MODIFIED),
            describe_images(material, images),
            summarise(material),
            _detections(material),
            _analyses(material),
        ],
        relation=None,
        template="4000",
    )


def _detections(material: ReportMaterial) -> Dataset:
    """Return the Summary of Detections: not attempted where the release tells no places."""
    if material.answer is not None and not material.localised:
        return code(DCM.SummaryOfDetections, DCM.NotAttempted, CONTAINS)
    return code(
        DCM.SummaryOfDetections,
        _status(material),
        CONTAINS,
        _performed(
            material,
            (DCM.SuccessfulDetections, DCM.FailedDetections),
            (DCM.DetectionPerformed, DCM.SelectedRegion),
        ),
    )


def _analyses(material: ReportMaterial) -> Dataset:
    """Return the Summary of Analyses: the score of the exam is one of all its images."""
    return code(
        DCM.SummaryOfAnalyses,
        _status(material),
        CONTAINS,
        _performed(
            material,
            (DCM.SuccessfulAnalyses, DCM.FailedAnalyses),
            (DCM.AnalysisPerformed, OVERALL),
        ),
    )


def _status(material: ReportMaterial) -> Code:
    """Return the status of the algorithms (CID 6042): a view that nobody took is no failure."""
    if material.status is Status.NOT_TRIED:
        return DCM.NotAttempted
    if material.answer is None:
        return DCM.Failed
    return DCM.PartiallySucceeded if material.refused else DCM.Succeeded


def _performed(
    material: ReportMaterial, outcomes: tuple[Code, Code], what: tuple[Code, Code]
) -> Iterator[Dataset]:
    """Yield what succeeded and what failed, each with the images that it was done on."""
    if material.status is Status.NOT_TRIED:
        return  # algorithms that were not attempted are not mentioned (TID 4000)
    known = range(len(material.images))
    failed = [one.place for one in material.refused]
    scored = [place for place in known if place not in failed]
    for outcome, places in zip(outcomes, (scored, failed), strict=True):
        if places:
            pointers = [pointing(PROPERTIES, (*LIBRARY, place + 1)) for place in places]
            performed = code(*what, CONTAINS, [*algorithm(material), *pointers])
            yield container(outcome, [performed], INFERRED)
