"""The kinds of documents: their names in routes and commands, UIDs and series."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from mammo.reports.material import ReportMaterial


class ReportKind(StrEnum):
    """A document that is written of a scoring."""

    CAD = "cad"
    REPORT = "report"
    MARKS = "marks"


KINDS = tuple(ReportKind)
SOP_CLASSES = {
    ReportKind.CAD: "1.2.840.10008.5.1.4.1.1.88.50",
    ReportKind.REPORT: "1.2.840.10008.5.1.4.1.1.88.33",
    ReportKind.MARKS: "1.2.840.10008.5.1.4.1.1.11.1",
}
"""Mammography CAD SR, Comprehensive SR and Grayscale Softcopy Presentation State (PS3.6 A)."""
SERIES_NUMBERS = {ReportKind.REPORT: 990, ReportKind.CAD: 991, ReportKind.MARKS: 992}
"""High, so that viewers list the documents below the images."""


def uid_of(kind: ReportKind, part: str, seed: str) -> str:
    """Return the UID of a ``part`` (``series``, ``instance``) of a document; always the same."""
    return str(generate_uid(entropy_srcs=[seed, kind.value, part]))


def earlier_document(kind: ReportKind, material: ReportMaterial, study_uid: str) -> list[Dataset]:
    """Return the document that this one replaces, as a reference is made of it; or none."""
    if material.replaces is None:
        return []
    earlier = Dataset()
    earlier.StudyInstanceUID = study_uid
    earlier.SeriesInstanceUID = uid_of(kind, "series", material.replaces)
    earlier.SOPClassUID = SOP_CLASSES[kind]
    earlier.SOPInstanceUID = uid_of(kind, "instance", material.replaces)
    return [earlier]


def write(kind: ReportKind | str, material: ReportMaterial) -> bytes:
    """Return the document of this kind. Raises ResultUnknown, ValueError for another kind."""
    from mammo.reports.cad import write_cad
    from mammo.reports.comprehensive import write_report
    from mammo.reports.marks import write_marks

    writers: dict[ReportKind, Callable[[ReportMaterial], bytes]] = {
        ReportKind.CAD: write_cad,
        ReportKind.REPORT: write_report,
        ReportKind.MARKS: write_marks,
    }
    return writers[ReportKind(kind)](material)
