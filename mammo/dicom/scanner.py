"""The device that made the image, in words that tell nobody's name.

A site can write anything into Manufacturer and its neighbours, so they are
cleaned of the identity that the same file holds (:mod:`mammo.dicom.identity`).
Collecting that identity means converting every sequence of the header, a third
of the time that reading a header takes. Texts made of nothing but the names of
makers and devices and of version numbers cannot tell a patient, and are kept
without that.
"""

from __future__ import annotations

import re

from mammo.dicom.identity import clean_text, identity_words
from mammo.dicom.tags import Tags
from mammo.exam import Scanner

_MAKERS = """
    ge general electric medical systems healthcare company senographe senoclaire senobright
    essential pristina ds ads application package hologic inc lorad selenia dimensions siemens
    healthineers ag mammomat inspiration novation revelation brilliant fujifilm fuji corporation
    co ltd amulet innovality fdr aws fcr profect philips digital mammography sweden ab microdose
    carestream kodak dryview konica minolta regius agfa planmed oy nuance clarity ims giotto tomo
    class srl metaltronica helianthus dbt version mammo
"""
MAKERS = frozenset(_MAKERS.split())
"""Words of the makers of mammographic devices, their devices and versions."""
MOST_DIGITS = 3
"""Digits of a part of a version number; longer numbers could be a patient's."""


def read_scanner(tags: Tags) -> tuple[Scanner, bool]:
    """Return the device, and whether a text was dropped because it could identify somebody."""
    versions = ", ".join(value for value in tags.texts("SoftwareVersions") if value)
    stated = (tags.text("Manufacturer"), tags.text("ManufacturerModelName"), versions)
    public = all(map(_is_public, stated))
    words: frozenset[str] = frozenset() if public else identity_words(tags)
    kept = [clean_text(text, words) for text in stated]
    dropped = any(text and not clean for text, clean in zip(stated, kept, strict=True))
    return Scanner(*kept), dropped


def _is_public(text: str) -> bool:
    """True for a text of makers' words and version numbers only."""
    parts = re.findall(r"[^\W\d_]+|\d+", text.lower())
    numbers_short = all(len(part) <= MOST_DIGITS for part in parts if part.isdecimal())
    return numbers_short and all(part in MAKERS or part.isdecimal() for part in parts)
