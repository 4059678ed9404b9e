"""Original images as data sets: whose they are, which they are, how they are shown.

What a document in the patient's study repeats of its images was read with them, as a
DICOM JSON model (:mod:`mammo.dicom.original_ids`); here it becomes a data set again,
with what the modules of PS3.3 ask for at least empty (type 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from mammo.dicom.original_ids import read_original_ids
from mammo.errors import ResultUnknown

NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("AccessionNumber", "StudyID", "ReferringPhysicianName"),
)
"""Type 2 in the modules Patient and General Study (PS3.3 C.7.1.1, C.7.2.1)."""
SEXES = ("M", "F", "O", "")
DATES, TIMES = ("StudyDate", "ContentDate", "PatientBirthDate"), ("StudyTime", "ContentTime")
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?")


def original_ids_of(files: Iterable[bytes | Path]) -> tuple[dict[str, Any], ...]:
    """Return who and what each DICOM file is, as the DICOM JSON model (PS3.18 F.2).

    A file is its content or its path; no pixel is decoded. They name the patient: for
    documents of her own study alone. A file that is no DICOM gives an empty dict, in
    its place.
    """
    return tuple(
        read_original_ids(one if isinstance(one, bytes) else one.read_bytes()) for one in files
    )


def as_images(identities: Sequence[dict[str, Any]]) -> list[Dataset]:
    """Return the images as data sets, in order. Raises ResultUnknown without their UIDs."""
    return [as_image(one) for one in identities]


def as_image(ids: dict[str, Any]) -> Dataset:
    """Return what was kept of an original as a data set, with what type 2 asks for.

    Raises ResultUnknown where a UID is missing: no document can refer to it.
    """
    image = Dataset.from_json(ids)
    if not all(image.get(keyword) for keyword in NEEDED):
        raise ResultUnknown(
            "An original image has no Study, Series, SOP Class or SOP Instance UID: no report "
            "can refer to it."
        )
    for keyword in MAY_BE_EMPTY:
        if keyword not in image:
            setattr(image, keyword, "")
    _mend(image)
    return image


def _mend(image: Dataset) -> None:
    """Write dates and times of old equipment as they are written now; empty what is none.

    Names and numbers stay, whatever their length: they have to be those of the archive.
    """
    image.SpecificCharacterSet = "ISO_IR 192"  # the texts were decoded when they were read
    if image.PatientSex not in SEXES:
        image.PatientSex = ""
    for keyword in (*DATES, *TIMES):
        if keyword in image:
            mend = mend_date if keyword in DATES else mend_time
            setattr(image, keyword, mend(str(image.get(keyword) or "")))


def mend_date(text: str) -> str:
    """Return a DA of 8 digits (PS3.5 6.2), also from ``2016.10.04``; empty where it is no date."""
    digits = text.strip().replace(".", "")
    try:
        datetime.strptime(digits, "%Y%m%d")
    except ValueError:
        return ""
    return digits


def mend_time(text: str) -> str:
    """Return a TM (PS3.5 6.2), also from ``13:25:30``; empty where it is no time of a day."""
    found = _TIME.match(text.strip().replace(":", ""))
    return found.group() if found else ""


def in_first_study(images: Sequence[Dataset]) -> list[Dataset]:
    """Return the images of the first one's study: a presentation state has no other."""
    return [one for one in images if one.StudyInstanceUID == images[0].StudyInstanceUID]


@contextmanager
def told_as_unknown() -> Iterator[None]:
    """Let malformed identities be a ResultUnknown that quotes nothing of them."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultUnknown(
            f"The ids of the original images are malformed ({type(error).__name__}): no report "
            "can be written with them. Correct the images in the archive and send them again."
        ) from None  # the cause quotes values that name the patient
