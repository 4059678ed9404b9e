"""The basic confidentiality profile, applied to the elements of one file (PS3.15 annex E).

Table E.1-1 comes from the library dicom-anonymizer, with its actions; its own
walk is not used, because it converts every value (pydicom's warnings quote
them), stays out of sequences and draws new UIDs at random. Elements are judged
by the VR that the standard gives them, not by the one that the file states.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from dicomanonymizer import simpledicomanonymizer as library
from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from mammo.dicom import kept_elements as kept
from mammo.dicom.identity import MAX_DEPTH, clean_text
from mammo.dicom.tags import Tags

Rule = Callable[[Dataset, tuple[int, int]], None]
"""An action of the library: changes one element of a data set."""

TABLE = "dicomfields_2026c"
"""The library's newest edition of table E.1-1."""

_SIZES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "UV": 8, "SV": 8, "OW": 2}
_NUMBER = {
    "DS": re.compile(r"(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)?"),
    "IS": re.compile(r"(?:[+-]?\d{1,10})?"),
}
_MAX_CHARACTERS = {"DS": 16, "IS": 12}
_CODE_STRING = re.compile(r"[A-Z0-9 _]{0,16}")
_CODE_VALUE = re.compile(r"(?:[A-Z]{1,2}-)?[0-9A-F]{3,16}")
_AGE = re.compile(r"\d{3}[DWM]")
_WORD = re.compile(r"[^\W_]+")


class Cleaner:
    """Makes clean data sets of one file's.

    ``words`` are those of the file's identity, ``patient`` stands for Patient ID
    and Patient's Name, and ``replace_uid`` gives the UID in place of another.
    """

    def __init__(
        self, words: frozenset[str], patient: str, replace_uid: Callable[[str], str]
    ) -> None:
        self._words, self._patient, self._replace_uid = words, patient, replace_uid

    def clean(self, tags: Tags, depth: int = 0) -> Dataset:
        """Return a new data set with what may be kept of one (an item, or the whole)."""
        result = Dataset()
        for tag in sorted(tags.dataset.keys()):
            if tag.is_private or int(tag) not in DicomDictionary or tag.group < 8:
                continue
            keyword = keyword_for_tag(tag)
            if keyword and (element := self._element(tags, tag, keyword, depth)) is not None:
                result[tag] = element
        return result

    def _element(
        self, tags: Tags, tag: BaseTag, keyword: str, depth: int
    ) -> DataElement | RawDataElement | None:
        vr, rule = dictionary_VR(tag), _rules().get(int(tag))
        if vr == "SQ":
            return self._sequence(tags, tag, rule, depth)
        if (value := self._kept_text(tags, keyword)) is not None:
            return _text_element(tag, vr, value)
        if vr == "UI" and rule is not library.delete:
            return _text_element(tag, vr, [self._uid(keyword, uid) for uid in tags.texts(keyword)])
        if rule is None and self._words.isdisjoint(tags.texts(keyword) if vr in _NUMBER else ()):
            return _number_element(tags, tag, keyword, vr)
        return _ruled_element(tag, vr, rule) if rule is not None else None

    def _sequence(
        self, tags: Tags, tag: BaseTag, rule: Rule | None, depth: int
    ) -> DataElement | None:
        if rule is not None:
            # Z: present and empty; what must hold a dummy (D) is no part of a mammogram
            empty = rule in (library.empty, library.delete_or_empty)
            return DataElement(tag, "SQ", Sequence()) if empty else None
        if depth >= MAX_DEPTH:
            return None
        items = (self.clean(item, depth + 1) for item in tags.items_at(tag) if _is_public(item))
        found = [item for item in items if len(item)]
        return DataElement(tag, "SQ", Sequence(found)) if found else None

    def _uid(self, keyword: str, uid: str) -> str:
        if not uid or (keyword in kept.UIDS and uid in UID_dictionary):
            return uid
        return self._replace_uid(uid)

    def _kept_text(self, tags: Tags, keyword: str) -> list[str] | None:
        """Return the values of an element that an option or the allow list keeps; else None."""
        if keyword in ("PatientID", "PatientName"):
            return [self._patient]
        if keyword in kept.DAYS or keyword == "AcquisitionDateTime":
            day = tags.day(keyword)
            return [f"{day:%Y%m%d}"] if day else [""]
        if keyword == "PatientSex":
            return [tags.code(keyword) if tags.code(keyword) in ("M", "F", "O") else ""]
        if keyword == "PatientAge":
            return [tags.code(keyword)] if _AGE.fullmatch(tags.code(keyword)) else None
        if keyword == "CodeMeaning":
            return [
                self._descriptor(tags.text(keyword)) or self._code_value(tags.text("CodeValue"))
            ]
        checks = (
            (kept.DEVICE, self._device),
            (kept.DESCRIPTORS, self._descriptor),
            (kept.CODES, self._code),
            (("CodeValue", "CodingSchemeDesignator"), self._code_value),
        )
        check = next((check for names, check in checks if keyword in names), None)
        return None if check is None else [check(text) for text in tags.texts(keyword)]

    def _device(self, text: str) -> str:
        return clean_text(text, self._words)

    def _code(self, text: str) -> str:
        upper = text.upper()
        return clean_text(upper, self._words) if _CODE_STRING.fullmatch(upper) else ""

    def _code_value(self, text: str) -> str:
        fits = _CODE_VALUE.fullmatch(text) or text in kept.CODING_SCHEMES
        return clean_text(text, self._words) if fits else ""

    def _descriptor(self, text: str) -> str:
        """Return a free text whose words are all imaging's; numbers of 4 digits are too long."""
        words = _WORD.findall(text.lower())
        known = all(word in kept.IMAGING_WORDS or re.fullmatch(r"\d{1,3}", word) for word in words)
        return clean_text(text, self._words) if known else ""


@cache
def _rules() -> dict[int, Rule]:
    """Return the table's action of each tag; its repeating groups are removed as a whole."""
    actions = library.initialize_actions(TABLE)
    return {tag[0] << 16 | tag[1]: action for tag, action in actions.items() if len(tag) == 2}


def _is_public(item: Tags) -> bool:
    """True unless the item is an entry of a code that is not known everywhere."""
    if "CodeValue" not in item and "CodingSchemeDesignator" not in item:
        return True
    known = item.text("CodingSchemeDesignator") in kept.CODING_SCHEMES
    return known and bool(_CODE_VALUE.fullmatch(item.text("CodeValue")))


def _text_element(tag: BaseTag, vr: str, values: list[str]) -> DataElement:
    return DataElement(tag, vr, "\\".join(values), validation_mode=IGNORE)


def _ruled_element(tag: BaseTag, vr: str, rule: Rule) -> DataElement | None:
    """Return the library's stand-in for an element; None where it may be left out.

    The library acts on an empty one, so that no value of the file reaches it.
    """
    if rule not in (library.empty, library.replace, library.empty_or_replace):
        return None  # X, and X/Z, X/D, X/Z/D: what the IOD requires of these is among the kept
    if rule is not library.replace or vr in ("DA", "DT", "TM"):
        return DataElement(tag, vr, "" if vr not in _SIZES else None)
    blank = Dataset()
    blank[tag] = DataElement(tag, vr, None)
    try:
        rule(blank, (tag.group, tag.element))
    except NotImplementedError:  # a VR for which the library has no dummy
        return None
    return blank[tag]


def _number_element(
    tags: Tags, tag: BaseTag, keyword: str, vr: str
) -> DataElement | RawDataElement | None:
    """Return an element of numbers that the table lets stay; None where it is malformed."""
    if vr in _NUMBER:
        texts = tags.texts(keyword)
        limit, sound = _MAX_CHARACTERS[vr], _NUMBER[vr].fullmatch
        finite = all(
            number is not None
            for number, text in zip(tags.numbers(keyword), texts, strict=True)
            if text
        )
        fits = finite and all(len(text) <= limit and sound(text) for text in texts)
        return _text_element(tag, vr, list(texts)) if fits else None
    vr = _unambiguous(vr, tags, keyword)
    raw = tags.raw(keyword)
    # texts written where numbers belong: under another VR, or longer than the numbers would be
    if vr not in _SIZES or tags.vr(keyword) not in ("", vr) or len(raw) % _SIZES[vr]:
        return None
    if keyword == "LUTData":
        raw = raw[: _table_bytes(tags, len(raw))]
    elif len(raw) > _SIZES[vr] * _most_values(tag):
        return None
    return RawDataElement(tag, vr, len(raw), raw, 0, False, tags.little_endian, True)


def _table_bytes(tags: Tags, given: int) -> int:
    """Return how many bytes LUT Descriptor (0028,3002) gives LUT Data; 0 without one.

    Its first value counts the entries, 0 of 65,536 (PS3.3 C.11.2.1.1); entries of 8
    bits may lie two in a word, which only their length tells.
    """
    descriptor = tags.words("LUTDescriptor")
    if descriptor.size != 3:
        return 0
    entries = int(descriptor[0]) or 65_536
    packed = int(descriptor[2]) <= 8 and given // 2 < entries
    return entries + entries % 2 if packed else 2 * entries


def _most_values(tag: BaseTag) -> int:
    """Return the most values that the standard allows; 0 where it sets no limit."""
    most = dictionary_VM(tag).rpartition("-")[2]
    return int(most) if most.isdigit() else 0


def _unambiguous(vr: str, tags: Tags, keyword: str) -> str:
    """Choose between the VRs that the standard allows, such as US or SS (PS3.5 annex A)."""
    choices = vr.split(" or ")
    stated = tags.vr(keyword)
    if stated in choices or len(choices) == 1:
        return stated if stated in choices else vr
    if choices[:2] == ["US", "SS"] and tags.word("PixelRepresentation") == 1:
        return "SS"
    return choices[0]
