"""Original images as data sets: whose they are, which they are, how they are shown.

What a document in the patient's study repeats of its images was read with them, as a
DICOM JSON model (:mod:`mammo.dicom.original_ids`); here it becomes a data set again,
with what the modules of PS3.3 ask for at least empty (type 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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
    if image.PatientSex not in SEXES:  # a value of another time; type 2 may be empty
        image.PatientSex = ""
    return image


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
