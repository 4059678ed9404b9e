"""Edge cases of the object: kinds, implants, spacing, field of view, texts, file structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastTomosynthesisImageStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
)

from mammo.dicom.image import StoredImage
from mammo.exam import Mammogram

from .archive_cases import Case, Measure, exact
from .builders import code_item, draw_pixels, make_dataset, make_file, to_bytes

KIND, TOMO, BREAST, SPACING, FIELD, TEXT, FILE = (
    "kind of object", "tomosynthesis and synthetic", "implant and part", "spacing",
    "field of view", "texts and identifiers", "file structure",
)  # fmt: skip
DERIVED = ["DERIVED", "PRIMARY"]
PRIVATE_CLASS = "1.2.840.113619.99.1"


def case(topic: str, name: str, expected: str, *measure: Measure, **changes: Any) -> Case:
    """Return a case of a mammogram with these elements changed."""
    return Case(topic, name, expected, lambda: make_file(**changes), *measure)


def spacing(mammogram: Mammogram, _: StoredImage) -> str:
    """Measure the spacing."""
    return f"{mammogram.spacing_mm:.4g} mm" if mammogram.spacing_mm else "no spacing"


def scanner(mammogram: Mammogram, _: StoredImage) -> str:
    """Measure what is kept of the device."""
    return mammogram.scanner.key


def hologic() -> bytes:
    """Return a Secondary Capture whose pixels lie in Hologic's private group."""
    dataset = make_dataset(
        np.zeros((8, 8), "u1"), "1.2.840.10008.1.2.1", 8, SOPClassUID=SecondaryCaptureImageStorage
    )
    block = dataset.private_block(0x7E01, "HOLOGIC, Inc.", create=True)
    block.add_new(0x10, "SQ", [Dataset()])
    return to_bytes(dataset)


def undeclared() -> bytes:
    """Return a file with a Latin-1 manufacturer and no Specific Character Set."""
    return make_file(Manufacturer="H_pital").replace(b"H_pital", "Hôpital".encode("latin-1"))


MIXED = {"Modality": None, "SOPClassUID": SecondaryCaptureImageStorage}
TWELVE = draw_pixels(12)
CASES: tuple[Case, ...] = (
    case(KIND, "a mammogram", "L CC; exact", exact(TWELVE)),
    case(KIND, "intent absent", "L CC", PresentationIntentType=None),
    case(KIND, "Modality absent", "L CC", Modality=None),
    case(KIND, "Modality MG, class Computed Radiography", "L CC",
         SOPClassUID=ComputedRadiographyImageStorage),
    case(KIND, "Modality MG, class Secondary Capture (film)", "L CC",
         SOPClassUID=SecondaryCaptureImageStorage),
    case(KIND, "neither modality nor class", "L CC", Modality=None, SOPClassUID=None),
    case(KIND, "Digital X-Ray of the breast", "L CC", Modality="DX", BodyPartExamined="BREAST",
         SOPClassUID=DigitalXRayImageStorageForPresentation),
    case(KIND, "Digital X-Ray of the chest", "NOT_MAMMOGRAPHY", Modality="DX",
         BodyPartExamined="CHEST", SOPClassUID=DigitalXRayImageStorageForPresentation),
    case(KIND, "Secondary Capture of the chest", "NOT_MAMMOGRAPHY", BodyPartExamined="CHEST",
         **MIXED),
    case(KIND, "CT", "NOT_MAMMOGRAPHY", Modality="CT", SOPClassUID=CTImageStorage),
    case(KIND, "CT class under Modality MG", "NOT_MAMMOGRAPHY", SOPClassUID=CTImageStorage),
    case(KIND, "a private class of one frame", "NOT_MAMMOGRAPHY", SOPClassUID=PRIVATE_CLASS),
    case(KIND, "For Processing by intent", "FOR_PROCESSING",
         PresentationIntentType="FOR PROCESSING"),
    case(KIND, "For Processing by class", "FOR_PROCESSING",
         SOPClassUID=DigitalMammographyXRayImageStorageForProcessing),
    case(KIND, "For Processing by Image Type alone", "FOR_PROCESSING",
         PresentationIntentType=None, ImageType=["ORIGINAL", "PRIMARY", "RAW"]),
    case(KIND, "with contrast medium", "L CC CONTRAST_ENHANCED",
         ImageType=[*DERIVED, "POST_CONTRAST", "SUBTRACTION"]),
    case(TOMO, "Breast Tomosynthesis", "TOMOSYNTHESIS", NumberOfFrames=60,
         SOPClassUID=BreastTomosynthesisImageStorage),
    case(TOMO, "Breast Projection X-Ray", "TOMOSYNTHESIS", NumberOfFrames=15,
         SOPClassUID=BreastProjectionXRayImageStorageForPresentation),
    case(TOMO, "several frames in a mammography class", "TOMOSYNTHESIS", NumberOfFrames=60),
    case(TOMO, "a private class with several frames", "TOMOSYNTHESIS", NumberOfFrames=15,
         SOPClassUID=PRIVATE_CLASS),
    case(TOMO, "one slice, by Image Type", "TOMOSYNTHESIS",
         ImageType=[*DERIVED, "TOMOSYNTHESIS", "NONE"]),
    case(TOMO, "one slice, VOLUME in Image Type", "TOMOSYNTHESIS",
         ImageType=[*DERIVED, "VOLUME", "NONE"]),
    case(TOMO, "one part of a concatenated volume", "TOMOSYNTHESIS", ImageType=DERIVED,
         VolumetricProperties="VOLUME", InConcatenationTotalNumber=52),
    Case(TOMO, "Secondary Capture with Hologic's private pixels", "TOMOSYNTHESIS", hologic),
    case(TOMO, "Secondary Capture described as tomosynthesis", "TOMOSYNTHESIS",
         SOPClassUID=SecondaryCaptureImageStorage, SeriesDescription="L CC Tomosynthesis"),
    case(TOMO, "synthetic: GENERATED_2D", "L CC SYNTHETIC_2D",
         ImageType=[*DERIVED, "TOMOSYNTHESIS", "GENERATED_2D"]),
    *(case(TOMO, f"synthetic: {name}", "L CC SYNTHETIC_2D", ImageType=DERIVED,
           SeriesDescription=f"L CC {name}")
      for name in ("C-View", "S-View", "V-Preview", "Insight 2D", "Intelligent 2D", "Synthesized")),
    case(TOMO, "synthetic of one frame in the class of tomosynthesis", "L CC SYNTHETIC_2D",
         SOPClassUID=BreastTomosynthesisImageStorage,
         ImageType=[*DERIVED, "TOMOSYNTHESIS", "GENERATED_2D"]),
    # the breast
    case(BREAST, "implant present", "L CC IMPLANT", BreastImplantPresent="YES"),
    case(BREAST, "implant not present", "L CC", BreastImplantPresent="NO"),
    case(BREAST, "partial view", "L CC PARTIAL_VIEW", PartialView="YES"),
    case(BREAST, "partial view, coded", "L CC PARTIAL_VIEW",
         PartialViewCodeSequence=[code_item("R-40826", "SRT")]),
    # spacing
    case(SPACING, "Pixel Spacing corrected to the body", "L CC; 0.07 mm", spacing,
         PixelSpacing=["0.07"] * 2, ImagerPixelSpacing=["0.08"] * 2),
    case(SPACING, "Pixel Spacing calibrated", "L CC; 0.08 mm", spacing,
         PixelSpacing=["0.08"] * 2, ImagerPixelSpacing=["0.08"] * 2,
         PixelSpacingCalibrationType="GEOMETRY"),
    case(SPACING, "Pixel Spacing repeats the detector's", "L CC SPACING_DETECTOR; 0.08 mm",
         spacing, PixelSpacing=["0.08"] * 2, ImagerPixelSpacing=["0.08"] * 2),
    case(SPACING, "detector alone", "L CC SPACING_DETECTOR; 0.1 mm", spacing,
         ImagerPixelSpacing=["0.1"] * 2),
    case(SPACING, "detector and magnification factor", "L CC; 0.08 mm", spacing,
         ImagerPixelSpacing=["0.1"] * 2, EstimatedRadiographicMagnificationFactor="1.25"),
    case(SPACING, "detector and distances", "L CC; 0.1 mm", spacing,
         ImagerPixelSpacing=["0.11"] * 2, DistanceSourceToDetector="660",
         DistanceSourceToPatient="600"),
    case(SPACING, "magnification view, by its factor",
         "L CC MAGNIFICATION NON_STANDARD_VIEW; 0.05 mm", spacing,
         ImagerPixelSpacing=["0.1"] * 2, EstimatedRadiographicMagnificationFactor="2"),
    case(SPACING, "0 and absurd values", "L CC; no spacing", spacing, PixelSpacing=["0"] * 2,
         ImagerPixelSpacing=["1"] * 2),
    # field of view
    case(FIELD, "flipped: not flipped again", "L CC FIELD_OF_VIEW_FLIPPED; exact", exact(TWELVE),
         FieldOfViewHorizontalFlip="YES"),
    *(case(FIELD, f"rotated by {degrees}: not rotated again",
           "L CC FIELD_OF_VIEW_ROTATED; exact", exact(TWELVE), FieldOfViewRotation=degrees)
      for degrees in ("90", "180", "270")),
    case(FIELD, "rotated by 0", "L CC", FieldOfViewRotation="0", FieldOfViewHorizontalFlip="NO"),
    # texts
    case(TEXT, "burned-in annotation", "L CC BURNED_IN_ANNOTATION", BurnedInAnnotation="YES"),
    case(TEXT, "lossy once, uncompressed now", "L CC LOSSY_COMPRESSED",
         LossyImageCompression="01"),
    case(TEXT, "unknown character set", "L CC CHARSET_INVALID", SpecificCharacterSet="KLINGON"),
    case(TEXT, "Latin-1 text declared as it is", "L CC; Hôpital/X", scanner,
         SpecificCharacterSet="ISO_IR 100", Manufacturer="Hôpital", ManufacturerModelName="X"),
    Case(TEXT, "Latin-1 text that is not declared", "L CC CHARSET_INVALID; Hôpital", undeclared,
         scanner),
    case(TEXT, "Japanese with escape sequences", "L CC; 島津", scanner, Manufacturer="島津",
         SpecificCharacterSet=["", "ISO 2022 IR 87"]),
    case(TEXT, "UTF-8", "L CC; 島津", scanner, Manufacturer="島津",
         SpecificCharacterSet="ISO_IR 192"),
    case(TEXT, "a UID that is a path", "L CC UID_INVALID", SOPInstanceUID="../../../etc/passwd"),
    case(TEXT, "a UID with letters", "L CC UID_INVALID", StudyInstanceUID="exam-17"),
    case(TEXT, "the patient's name in the model", "L CC IDENTITY_IN_TEXT; unknown", scanner,
         ManufacturerModelName="Unit of Secret"),
    # the file
    Case(FILE, "no preamble", "L CC PREAMBLE_MISSING; exact", lambda: make_file()[128:],
         exact(TWELVE)),
    Case(FILE, "neither preamble nor prefix", "L CC PREAMBLE_MISSING; exact",
         lambda: make_file()[132:], exact(TWELVE)),
    Case(FILE, "no File Meta Information", "L CC PREAMBLE_MISSING; exact",
         lambda: make_file()[make_file().index(b"\x08\0\x16\0UI"):], exact(TWELVE)),
    Case(FILE, "empty", "EMPTY_FILE", lambda: b""),
    Case(FILE, "a PNG picture", "NOT_DICOM", lambda: b"\x89PNG\r\n\x1a\n" + bytes(200)),
    Case(FILE, "cut in the header", "DICOM_TRUNCATED", lambda: make_file()[:420]),
)  # fmt: skip
