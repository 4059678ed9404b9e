"""Mammography CAD SR (PS3.3 A.35.5, template TID 4000 of PS3.16): what a CAD viewer reads.

The document has what mammography workstations ask for: the library of the images, what
came of the exam, the findings of each breast with their place and certainty, and which
detection and which analysis succeeded or failed on which image. It is written of a
scoring with and without findings, of one from only some of the images, and of an exam
that was not scored: its status is never absent.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from mammo.reports.cad_tree import build_tree
from mammo.reports.document import new_document, reference_studies, to_bytes
from mammo.reports.identities import as_images, told_as_unknown
from mammo.reports.kinds import ReportKind, earlier_document
from mammo.reports.material import ReportMaterial

DESCRIPTION = "Decision support: mammography CAD"


def write_cad(material: ReportMaterial) -> bytes:
    """Return the Mammography CAD SR as the bytes of a DICOM file.

    Raises
    ------
    ResultUnknown
        The identity of an original is malformed, as without UIDs; a report needs the study.
    """
    with told_as_unknown():
        images = as_images(material.images)
        document = new_document(ReportKind.CAD, material, images[0], "SR", DESCRIPTION)
        _describe(document, images)
        document.update(build_tree(material, images))
        earlier = earlier_document(ReportKind.CAD, material, images[0].StudyInstanceUID)
        if earlier:
            document.PredecessorDocumentsSequence = reference_studies(earlier)
        return to_bytes(document, material)


def _describe(document: Dataset, images: Sequence[Dataset]) -> None:
    """Fill the module SR Document General (PS3.3 C.17.2): complete, unverified, its evidence."""
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"  # a device wrote it, nobody has read it
    document.PerformedProcedureCodeSequence = []
    document.ReferencedPerformedProcedureStepSequence = []
    of_study: list[Dataset] = []
    others: list[Dataset] = []
    for item in reference_studies(images):
        own = item.StudyInstanceUID == document.StudyInstanceUID
        (of_study if own else others).append(item)
    document.CurrentRequestedProcedureEvidenceSequence = of_study
    if others:
        document.PertinentOtherEvidenceSequence = others
