"""Words that name a patient, and the texts that are cleaned of them.

Some free texts are kept because they tell how an image was made (manufacturer,
model, software). A site can write anything into them, so a text that holds a
word of the same file's identity is dropped as a whole, and the caller says so
under the code IDENTITY_IN_TEXT. Privacy wins: the scanner of a patient called
Medical loses its manufacturer ``GE MEDICAL SYSTEMS``, not the patient her name.

What counts as found, `words` being folded (case, accents, transliteration):

- other scripts than Latin, and words of 5 characters or more: anywhere, also
  inside a longer word and across blanks and punctuation;
- words of 3 and 4 characters: as a word, or with up to two more letters at one
  end (``JLEE`` holds Lee, ``SAMSUNG`` does not hold Sung);
- shorter ones (Li, initials) count only together with the rest of the name:
  two letters alone tell nobody apart, and every vendor's text has some.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue

from mammo.dicom.charsets import Charset
from mammo.dicom.tags import Tags

MAX_DEPTH = 8
"""Levels of sequences that are searched for identities."""

WORDED = ("PatientID", "OtherPatientIDs", "PatientAddress", "PatientMotherBirthName")
"""Identifiers that often hold a name; person names are found by their VR, PN."""
NUMBERED = (
    *("AccessionNumber", "StudyID", "AdmissionID", "ServiceEpisodeID", "MedicalRecordLocator"),
    *("RequestedProcedureID", "ScheduledProcedureStepID", "PatientTelephoneNumbers"),
    *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
    *("PatientTelecomInformation", "InsurancePlanIdentification", "IssuerOfPatientID"),
)
"""Identifiers that are numbers; of their words only those with digits count."""
DATES = ("PatientBirthDate",)

PLACEHOLDERS = frozenset(("anonymized", "anonymous", "patient", "phantom", "test", "unknown"))
"""Words that stand where a name would be."""
NOT_NAMES = PLACEHOLDERS | {
    *("breast", "calc", "case", "left", "mammo", "mammogram", "mammography", "mass", "right"),
    *("screening", "study", "subject", "training"),
}
"""Words of trial numbers such as MAMMO-0012, which say what it is and not who."""

_ESCAPE = re.compile(r"\x1b[$()*+,./-]*[0-~]?")  # ISO 2022 designations (PS3.5 6.1.2.5)
_WORD = re.compile(r"[^\W\d_]+|\d+")
_TRANSLITERATED = str.maketrans(
    dict(zip("äöüåøæœđł", ["ae", "oe", "ue", "aa", "oe", "ae", "oe", "d", "l"], strict=True))
)


def identity_words(tags: Tags) -> frozenset[str]:
    """Return the folded words by which the file's patient and staff are known.

    Of every person name (VR PN, PS3.5 6.2.1, all component groups), also in
    sequences, its words of 3 letters or more and its neighbouring words joined;
    of `WORDED` and `NUMBERED` the whole and its parts; of the birth date its
    usual spellings.
    """
    return frozenset(_list_words(tags))


def clean_text(value: str, words: frozenset[str], limit: int = 64) -> str:
    """Return the text cut to ``limit`` characters; empty where it must not be kept.

    That is where it holds one of ``words`` (anywhere, also behind the limit) or
    a control, format or private-use character, which no display text needs.
    """
    text = value.strip(" \0")
    if any(unicodedata.category(one)[0] == "C" for one in text) or holds_identity(text, words):
        return ""
    return text[:limit].rstrip()


def holds_identity(text: str, words: frozenset[str]) -> bool:
    """True if the text holds one of the words, as the module says."""
    for form in _fold(text):
        joined = "".join(one for one in form if one.isalnum())
        parts = {*_WORD.findall(form), *re.findall(r"[^\W_]+", form)}
        for word in words:
            if len(word) >= 5 or not word.isascii():
                if word in joined:
                    return True
            elif any(_is_short_word(word, part) for part in parts):
                return True
    return False


def _is_short_word(word: str, part: str) -> bool:
    near = len(part) <= len(word) + 2
    return near and (part.startswith(word) or part.endswith(word))


def _fold(text: str) -> set[str]:
    """Return the spellings in which a text is compared: as it is, bare and transliterated."""
    lower = unicodedata.normalize("NFC", text.casefold())
    expanded = lower.translate(_TRANSLITERATED)
    return {lower, _bare(lower), _bare(expanded)}


def _bare(text: str) -> str:
    """Return the text without accents."""
    split = unicodedata.normalize("NFKD", text)
    return "".join(one for one in split if not unicodedata.combining(one)).casefold()


def _list_words(tags: Tags) -> Iterator[str]:
    for kind, text in _identifying_texts(tags, 0):
        for form in _fold(text):
            if kind == "name":
                yield from _name_words(form)
            elif kind == "date":
                yield from _date_words(form)
            else:
                yield from _identifier_words(form, worded=kind == "worded")


def _name_words(form: str) -> Iterator[str]:
    """Yield the words of a person name, and neighbours joined (``liwu`` of Li^Wu)."""
    for group in form.split("="):
        found = [word for word in _WORD.findall(group) if word.isalpha()]
        yield from (word for word in found if _counts(word) and word not in PLACEHOLDERS)
        yield from (joined for pair in pairwise(found) for joined in _joined(*pair))


def _identifier_words(form: str, *, worded: bool) -> Iterator[str]:
    """Yield an identifier without its punctuation, and its parts that tell something."""
    whole = "".join(one for one in form if one.isalnum())
    if len(set(whole)) == 1:  # 0000000000 is nobody
        return
    if len(whole) >= 4 and (worded or re.search(r"\d", whole)) and whole not in NOT_NAMES:
        yield whole
    for part in re.findall(r"[^\W_]+", form):
        if len(part) >= 5 and re.search(r"\d", part):
            yield part
    if worded:
        found = [word for word in _WORD.findall(form) if word.isalpha()]
        yield from (word for word in found if _counts(word) and word not in NOT_NAMES)


def _date_words(form: str) -> Iterator[str]:
    """Yield a date as digits in the orders of year, month and day that people write."""
    digits = re.sub(r"\D", "", form)[:8]
    if len(digits) == 8:
        year, month, day = digits[:4], digits[4:6], digits[6:]
        yield from (digits, day + month + year, month + day + year)


def _counts(word: str) -> bool:
    """True for a word that tells a person: of 3 letters, or 2 beyond ASCII, or one ideograph."""
    least = 3 if word.isascii() else 1 if ord(max(word)) >= 0x2E80 else 2
    return len(word) >= least


def _joined(one: str, two: str) -> Iterator[str]:
    """Yield two words as one, in both orders, where that is long enough to tell a person."""
    if one != two and len(one + two) >= 4:
        yield from (one + two, two + one)


def _identifying_texts(tags: Tags, depth: int) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of the identifying elements of a data set and its sequences."""
    dataset, kinds = tags.dataset, _kinds()
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag, keep_deferred=True)
        kind = kinds.get(int(tag)) or ("name" if element.VR == "PN" else "")
        if kind == "items" or element.VR == "SQ":
            if depth < MAX_DEPTH:
                for item in tags.items_at(tag):
                    yield from _identifying_texts(item, depth + 1)
        elif kind:
            yield from ((kind, text) for text in _spellings(element, tags.charset))


@cache
def _kinds() -> dict[int, str]:
    """Return the kind of each identifying tag, and of sequences (implicit VR names neither)."""
    kinds = {tag: "items" for tag, entry in DicomDictionary.items() if entry[0] == "SQ"}
    kinds.update({tag: "name" for tag, entry in DicomDictionary.items() if entry[0] == "PN"})
    for kind, keywords in (("worded", WORDED), ("numbered", NUMBERED), ("date", DATES)):
        kinds.update({tag_for_keyword(keyword) or 0: kind for keyword in keywords})
    return kinds


def _spellings(element: RawDataElement | DataElement, charset: Charset) -> set[str]:
    """Return an element's text, as raw bytes in each character set that may be meant.

    The character set may be declared wrongly or not at all, so that several
    readings are collected; one that is nonsense matches no text.
    """
    value = element.value
    if not isinstance(value, bytes):
        values = value if isinstance(value, list | MultiValue) else [value]
        return {"=".join(str(one) for one in values if one is not None)}
    readings = {value.decode("latin-1"), value.decode("utf-8", "ignore"), charset.decode(value)[0]}
    return {_ESCAPE.sub("", text) for text in readings}
