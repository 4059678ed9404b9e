"""Whose image a file is and which one: what a report in the same study has to repeat.

Everything else in mammo works with pseudonyms. A DICOM report belongs into the
patient's own study (PS3.3 C.7.1.1, C.7.2.1), so it needs the identity as the
image has it. It is read here, in the process that reads the file, and only
where it is asked for; it may go into that report and nowhere else: not into a
log line, a message or an answer.
"""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

import pydicom

KEPT = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "PatientName", "PatientID"),
    *("IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("SeriesInstanceUID", "StudyID", "Rows", "Columns", "NumberOfFrames", "Modality"),
    *("FrameOfReferenceUID", "TransferSyntaxUID"),
    *("ContentDate", "ContentTime", "PatientOrientation", "ImagerPixelSpacing", "PixelSpacing"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PresentationLUTShape", "BitsStored"),
    *("PixelRepresentation", "RescaleIntercept", "RescaleSlope", "RescaleType"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    *("ModalityLUTSequence", "VOILUTSequence"),
)
"""Attributes of Patient and General Study, of which image it is (PS3.3 C.7.1.1, C.7.2.1), and of
how it is shown (C.7.6.3, C.11.1, C.11.2): a presentation state says that for its images."""
VOI_LUTS = "00283010"
"""Of its items the first is kept: it is what is shown, and three of them are 50 KB."""


def read_original_ids(data: bytes) -> dict[str, Any]:
    """Return the attributes :data:`KEPT` of a DICOM file as the DICOM JSON model (PS3.18 F.2).

    The pixels are not read. Malformed values are left out: a report with an
    empty attribute of type 2 is better than none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote the values
        dataset = pydicom.dcmread(
            BytesIO(data), stop_before_pixels=True, force=True, specific_tags=list(KEPT)
        )
        kept: dict[str, Any] = {}
        for tag in list(dataset.keys()):
            try:
                kept[f"{tag:08X}"] = dataset[tag].to_json_dict(None, 0)
            except Exception:  # noqa: BLE001 - whatever a malformed value raises, it is left out
                continue
    if luts := kept.get(VOI_LUTS, {}).get("Value"):
        kept[VOI_LUTS]["Value"] = luts[:1]
    return kept
