"""What a header says of an image besides its view and its pixels.

Ages and days are what drift monitoring needs; nothing here quotes a text.
"""

from __future__ import annotations

import re
from datetime import date

from mammo.dicom.header import LOSSY_SYNTAXES, Header
from mammo.dicom.tags import Tags
from mammo.exam import Exposure

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
READ_TEXTS = (
    *("PatientID", "Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
    *("SeriesDescription", "ProtocolName"),
)
"""The texts that are used, in which the character set matters."""
LOSSY_DERIVATION = "113040"
"""Derivation Code Sequence (0008,9215): lossy compression (PS3.16 CID 7203)."""
UID = re.compile(rb"[0-9]+(\.[0-9]+)+")
"""PS3.5 9.1; components with leading zeros are common and harmless."""
UID_LENGTH = 64
OLDEST = 90
"""Years: 90 stands for 90 and above, of whom there are so few that an age would tell who it is."""
ROTATIONS = frozenset((90.0, 180.0, 270.0))
POSSIBLE = {
    "BodyPartThickness": (12.0, 200.0),
    "CompressionForce": (1.0, 500.0),
    "KVP": (15.0, 60.0),
    "Exposure": (0.5, 2000.0),
}
"""What a compressed breast can have, in mm, newton, kV and mAs; tubes of contrast mammography
reach 49 kV. Others are fillers (0, 9999) or another unit (5.3 cm), and read as absent."""


def find_codes(tags: Tags, header: Header) -> set[str]:
    """Return the quality codes of single elements."""
    codes = {
        "LOSSY_COMPRESSED": _is_lossy(tags, header.syntax),
        "BURNED_IN_ANNOTATION": tags.code("BurnedInAnnotation") == "YES",
        "FIELD_OF_VIEW_FLIPPED": tags.code("FieldOfViewHorizontalFlip") == "YES",
        "FIELD_OF_VIEW_ROTATED": tags.number("FieldOfViewRotation") in ROTATIONS,
        "CHARSET_INVALID": not tags.charset.valid or not all(map(tags.is_decodable, READ_TEXTS)),
        "UID_INVALID": not all(_is_uid(tags.raw(keyword)) for keyword in UIDS),
    }
    return {code for code, holds in codes.items() if holds} | set(header.quality)


def find_implant(tags: Tags, modifiers: tuple[str, ...]) -> bool | None:
    """Return whether the breast holds an implant; None where nothing says so.

    Breast Implant Present (0028,1300), or a view with the implant displaced,
    which there is of breasts with implants only.
    """
    if "IMPLANT_DISPLACED" in modifiers:
        return True
    return {"YES": True, "NO": False}.get(tags.code("BreastImplantPresent"))


def read_day(tags: Tags) -> date | None:
    """Return Acquisition, Content or Study Date (0008,0022, 0023, 0020), the first there is."""
    days = map(tags.day, ("AcquisitionDate", "ContentDate", "StudyDate"))
    return next((day for day in days if day), None)


def read_age(tags: Tags) -> int | None:
    """Return Patient's Age (0010,1010) or study date less birth date, in years, 90 at most.

    None outside 1-120: 000Y is what anonymisers write.
    """
    text = tags.code("PatientAge")
    age: int | None = None
    if re.fullmatch(r"\d{3}Y", text):
        age = int(text[:3])
    elif (born := tags.day("PatientBirthDate")) and (on := tags.day("StudyDate")):
        age = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return min(age, OLDEST) if age is not None and 1 <= age <= 120 else None


def read_exposure(tags: Tags) -> Exposure:
    """Return thickness, compression force, tube voltage and exposure, where they are possible.

    Exposure (0018,1152) is a whole number of mAs; Exposure in uAs (0018,1153) stands in
    where it is absent.
    """
    thickness, force, kvp, exposure = (_possible(tags.number(one), one) for one in POSSIBLE)
    fine = tags.number("ExposureInuAs")
    if exposure is None and fine is not None:
        exposure = _possible(fine / 1000, "Exposure")
    return Exposure(thickness, force, kvp, exposure)


def _possible(value: float | None, keyword: str) -> float | None:
    low, high = POSSIBLE[keyword]
    return value if value is not None and low <= value <= high else None


def _is_lossy(tags: Tags, syntax: str) -> bool:
    """True if the pixels were ever compressed with loss, as far as the header tells."""
    if syntax in LOSSY_SYNTAXES or tags.text("LossyImageCompression") in ("01", "1"):
        return True
    return any(
        item.text("CodeValue") == LOSSY_DERIVATION for item in tags.items("DerivationCodeSequence")
    )


def _is_uid(raw: bytes) -> bool:
    value = raw.rstrip(b" \0")
    return not value or (len(value) <= UID_LENGTH and UID.fullmatch(value) is not None)
