"""De-identification: pseudonyms, and headers by the basic profile of PS3.15 annex E.

A pseudonym is HMAC-SHA256 under the site's secret key (NIST FIPS 198-1), so that
ids are stable within a site, differ between sites, and cannot be guessed back
from a list of known patient numbers without the key. UIDs are replaced likewise.

What happens to an element is said by table E.1-1 as the library dicom-anonymizer
holds it (edition 2026c), except for the options that are stated in the header:

- 113105 Clean Descriptors: free texts are kept when all their words are imaging's;
- 113106 Retain Longitudinal Temporal Information with Full Dates: the days of
  acquisition are kept, all times and other dates are removed;
- 113108 Retain Patient Characteristics: age (90 stands for 90 and above) and sex.

Beyond the table, a text is kept only where :mod:`mammo.dicom.kept_elements` names
its element, and never where it holds a word of the file's own identity; private,
unknown, overlay, curve and malformed elements are removed. What is burned into
the pixels stays there: the reader flags it as BURNED_IN_ANNOTATION where it is said.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from functools import partial
from importlib.metadata import version
from typing import Literal
from uuid import UUID

from pydicom.dataset import Dataset

import mammo
from mammo.dicom.confidentiality import TABLE, Cleaner
from mammo.dicom.facts import read_age
from mammo.dicom.file import DicomFile
from mammo.dicom.identity import identity_words
from mammo.dicom.tags import Tags
from mammo.dicom.views import find_view
from mammo.errors import ViewUnknown
from mammo.exam import ViewPosition

Kind = Literal["patient", "exam", "image"]
_PREFIX: dict[str, str] = {"patient": "P", "exam": "E", "image": "I"}
CBIS_PATIENT = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_(?:LEFT|RIGHT)_(?:CC|MLO)")
"""Patient ID of CBIS-DDSM: one for each image, with the patient inside."""
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
"""De-identification Method Code Sequence (0012,0064), PS3.16 CID 7050, scheme DCM."""


def pseudonym(key: bytes, kind: Kind, value: str) -> str:
    """Return ``P-``, ``E-`` or ``I-`` and 16 hexadecimal digits (64 bits).

    The kind is part of what is hashed: the same text as patient and as exam
    gives unrelated ids. Blanks around ``value`` do not count (PS3.5 6.2 pads
    with them).

    Raises
    ------
    ValueError
        The key is empty, the kind is unknown or the value is blank.
    """
    text = value.strip(" \0")
    if not key or kind not in _PREFIX or not text:
        raise ValueError("a pseudonym needs a key, a kind of patient, exam or image, and a value")
    digest = hmac.new(key, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()
    return f"{_PREFIX[kind]}-{digest[:16]}"


def keyed_uid(key: bytes, uid: str) -> str:
    """Return the UID that stands for another one: ``2.25.`` and a UUID (PS3.5 B.2).

    128 bits of the HMAC, less the six that mark a UUID of version 8 (RFC 9562).
    """
    digest = hmac.new(key, f"uid:{uid.strip(' ')}".encode(), hashlib.sha256).digest()
    bits = int.from_bytes(digest[:16])
    bits = bits & ~(0xF << 76) | 8 << 76
    bits = bits & ~(0x3 << 62) | 2 << 62
    return f"2.25.{UUID(int=bits).int}"


def identify(tags: Tags, sha256: str) -> tuple[str, str]:
    """Return the identities of patient and exam, to be made pseudonyms at once.

    An exam is its Study Instance UID (0020,000D), without one the patient; a
    patient is the Patient ID (0010,0020), without one the exam, without either
    the file. In CBIS-DDSM every image is a patient and a study of its own: both
    are the case number there.
    """
    patient, study = tags.text("PatientID"), tags.text("StudyInstanceUID")
    if case := CBIS_PATIENT.match(patient):
        return case[1], case[1]
    return patient or study or sha256, study or patient or sha256


def deidentify_header(file: DicomFile, key: bytes) -> Dataset:
    """Return a new data set without Pixel Data that holds nobody's identity.

    Elements of the original are neither changed nor converted; what is not
    understood is left out. Patient ID and Patient's Name become the pseudonym.
    """
    tags = Tags(file.dataset, file.little_endian)
    patient, _ = identify(tags, "")
    stand_in = pseudonym(key, "patient", patient) if patient else ""
    cleaner = Cleaner(identity_words(tags), stand_in, partial(keyed_uid, key))
    result = cleaner.clean(tags)
    _keep_age(result, tags)
    _keep_view(result, tags)
    _state_method(result)
    return result


def header_json(file: DicomFile, key: bytes) -> str:
    """Return the de-identified header as one line of DICOM JSON (PS3.18 annex F).

    Without pixels and look-up tables; the same file gives the same bytes.
    """
    header = deidentify_header(file, key)
    _drop_tables(header)
    return json.dumps(header.to_json_dict(), sort_keys=True, separators=(",", ":"))


def _drop_tables(header: Dataset) -> None:
    for element in header:
        for item in element.value if element.VR == "SQ" else ():
            item.pop("LUTData", None)
            _drop_tables(item)


def _keep_age(result: Dataset, tags: Tags) -> None:
    """Write the age in years, which the removed birth date may be the only source of."""
    if (years := read_age(tags)) is not None:
        result.PatientAge = f"{years:03d}Y"


def _keep_view(result: Dataset, tags: Tags) -> None:
    """Write as codes what only removed texts told: side and projection."""
    try:
        view = find_view(tags).view
    except ViewUnknown:
        return
    if not (result.get("ImageLaterality") or result.get("Laterality")):
        result.ImageLaterality = view.laterality.value
    told = result.get("ViewCodeSequence") or result.get("ViewPosition")
    if not told and view.position != ViewPosition.UNKNOWN:
        result.ViewPosition = view.position.value


def _state_method(result: Dataset) -> None:
    """Say what was done (PS3.3 C.7.1.1 Patient Identity Removed, PS3.15 E.1.1)."""
    result.PatientIdentityRemoved = "YES"
    result.LongitudinalTemporalInformationModified = "UNMODIFIED"
    result.DeidentificationMethod = [
        f"mammo {mammo.__version__}, dicom-anonymizer {version('dicom-anonymizer')}",
        f"PS3.15 table E.1-1, {TABLE.removeprefix('dicomfields_')}; times removed",
    ]
    result.DeidentificationMethodCodeSequence = [_method_item(*method) for method in METHODS]
    if any(
        not str(element.value).isascii()
        for element in result.iterall()
        if element.VR in ("LO", "SH", "LT", "ST")
    ):
        result.SpecificCharacterSet = "ISO_IR 192"


def _method_item(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
