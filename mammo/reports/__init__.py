"""What is written into the patient's own study after a scoring, and after a failure.

    material = ReportMaterial.of_kept(store.latest(exam))
    material = ReportMaterial.of_answer(answer, original_ids_of(files))
    material = ReportMaterial.of_failure(original_ids_of(files), error.code, error.message)
    write_cad(material)     Mammography CAD SR, TID 4000: status, scores, marks
    write_report(material)  Comprehensive SR, TID 1500: the same as measurements
    write_marks(material)   Grayscale Softcopy Presentation State: marks for any viewer

Each is the bytes of a DICOM file. The same material gives the same bytes, with the
same SOP Instance UID: sent twice, an archive has it once.
"""

from __future__ import annotations

from mammo.reports.cad import write_cad
from mammo.reports.comprehensive import write_report
from mammo.reports.identities import original_ids_of
from mammo.reports.kinds import KINDS, ReportKind, write
from mammo.reports.marks import write_marks
from mammo.reports.material import ReportMaterial, Status

__all__ = [
    "KINDS",
    "ReportKind",
    "ReportMaterial",
    "Status",
    "original_ids_of",
    "write",
    "write_cad",
    "write_marks",
    "write_report",
]
