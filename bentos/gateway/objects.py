"""Which objects are taken in, and which of them are scored.

A PACS that routes whole studies sends more than mammograms. What a mammography study
may hold is taken, so that nothing of it hangs in the sender's queue; what is no 2-D
mammogram for presentation is told by its SOP class, with the code that the service would
give it, and is not sent there. What a Secondary Capture, CR or DX image is only its
header says, which the service reads.
"""

from __future__ import annotations

from pydicom.uid import HTJ2K as HTJ2K_LOSSY
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from mammo.errors import ForProcessing, NotMammography, Tomosynthesis

STORAGE = "1.2.840.10008.5.1.4.1.1."
VERIFICATION = "1.2.840.10008.1.1"
NOT_AN_IMAGE = "NOT_AN_IMAGE"
"""Reports, presentation states and the like: kept, and no reason to score again."""


def _classes(code: str | None, *ends: str) -> dict[str, str | None]:
    return {STORAGE + end: code for end in ends}


OBJECTS: dict[str, str | None] = {
    **_classes(None, "1.2", "1", "1.1", "7", "7.2", "7.3"),
    **_classes(ForProcessing.code, "1.2.1", "1.1.1"),
    **_classes(Tomosynthesis.code, "13.1.3", "13.1.4", "13.1.5"),
    **_classes(NotMammography.code, "2", "2.1", "4", "4.1", "6.1", "3.1", "20", "128"),
    **_classes(NotMammography.code, "12.1", "12.2", "7.1", "7.4"),
    **_classes(NOT_AN_IMAGE, "11.1", "11.2", "88.11", "88.22", "88.33", "88.34", "88.50"),
    **_classes(NOT_AN_IMAGE, "88.59", "88.67", "104.1", "66", "66.4"),
}
"""SOP class -> why an object of it is not scored, None where the service is asked (PS3.4 B.5).

In order: mammograms for presentation, CR, DX, Secondary Capture; images for processing;
tomosynthesis and its projections; CT, MR, ultrasound, nuclear medicine, PET, angiography,
fluoroscopy, single-bit and colour captures; presentation states, structured reports, key
objects, dose, PDF, raw data, segmentation."""
TRANSFER_SYNTAXES: tuple[str, ...] = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian),
    *(DeflatedExplicitVRLittleEndian, RLELossless, JPEGBaseline8Bit, JPEGExtended12Bit),
    *(JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless),
    *(JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K_LOSSY),
)
"""For each SOP class; of those that a sender proposes its first is taken (PS3.8 9.3.3)."""


def is_scored(code: str | None) -> bool:
    """True for an image that the service was, or is to be, asked about."""
    return code is None


def counts(code: str | None) -> bool:
    """True for an object whose arrival is a reason to score its study (again): an image."""
    return code != NOT_AN_IMAGE
