"""What every document has besides its content: patient, study, series, device, time."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from mammo import __version__
from mammo.reports.codes import MANUFACTURER, own_scheme
from mammo.reports.kinds import SERIES_NUMBERS, SOP_CLASSES, ReportKind, uid_of
from mammo.reports.material import ReportMaterial

if TYPE_CHECKING:
    from highdicom.base import SOPClass

MODEL = "mammo screening"
DEVICE_UID = generate_uid(entropy_srcs=["mammo screening service"])
UTF_8 = "ISO_IR 192"
"""Names are text here, whatever character set the image had."""


def common(kind: ReportKind, material: ReportMaterial, description: str) -> dict[str, Any]:
    """Return the arguments that highdicom's documents share: series, instance, equipment."""
    return {
        "series_instance_uid": uid_of(kind, "series", material.seed),
        "series_number": SERIES_NUMBERS[kind],
        "sop_instance_uid": uid_of(kind, "instance", material.seed),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": [__version__, *([material.release] if material.release else [])],
        "device_serial_number": material.release or __version__,
        "series_description": description,
    }


def new_document(
    kind: ReportKind, material: ReportMaterial, image: Dataset, modality: str, description: str
) -> SOPClass:
    """Return a document of a kind that highdicom does not have whole, in the image's study."""
    from highdicom.base import SOPClass

    document = SOPClass(
        study_instance_uid=image.StudyInstanceUID,
        sop_class_uid=SOP_CLASSES[kind],
        modality=modality,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=image.PatientID,
        patient_name=image.PatientName,
        patient_birth_date=image.PatientBirthDate,
        patient_sex=image.PatientSex,
        accession_number=image.AccessionNumber,
        study_id=image.StudyID,
        study_date=image.StudyDate,
        study_time=image.StudyTime,
        referring_physician_name=image.ReferringPhysicianName,
        **common(kind, material, description),
    )
    document.copy_patient_and_study_information(image)
    return document


def to_bytes(document: Dataset, material: ReportMaterial) -> bytes:
    """Return the file of a document that is as old as the scoring: written again, the same."""
    at = material.told_at
    document.InstanceCreationDate = f"{at:%Y%m%d}"
    document.InstanceCreationTime = f"{at:%H%M%S}"
    for keyword in ("Content", "PresentationCreation"):
        if f"{keyword}Date" in document:
            setattr(document, f"{keyword}Date", f"{at:%Y%m%d}")
            setattr(document, f"{keyword}Time", f"{at:%H%M%S}")
    for equipment in document.get("ContributingEquipmentSequence") or []:
        equipment.ContributionDateTime = f"{at:%Y%m%d%H%M%S}+0000"
    document.TimezoneOffsetFromUTC = "+0000"
    document.SpecificCharacterSet = UTF_8
    document.CodingSchemeIdentificationSequence = [own_scheme()]
    stream = BytesIO()
    document.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def group_by_series(images: Sequence[Dataset]) -> dict[tuple[str, str], list[Dataset]]:
    """Return references to images (PS3.3 table 10-11) by Study and Series Instance UID."""
    series: dict[tuple[str, str], list[Dataset]] = {}
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID = image.SOPClassUID
        reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
        series.setdefault((image.StudyInstanceUID, image.SeriesInstanceUID), []).append(reference)
    return series


def reference_studies(images: Sequence[Dataset]) -> list[Dataset]:
    """Return references by study and series, as evidence has them (PS3.3 C.17.2)."""
    studies: dict[str, list[Dataset]] = {}
    for (study, series), references in group_by_series(images).items():
        item = Dataset()
        item.SeriesInstanceUID = series
        item.ReferencedSOPSequence = references
        studies.setdefault(study, []).append(item)
    items = []
    for study, of_series in studies.items():
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = of_series
        items.append(item)
    return items
