"""Views written as text: View Position (0018,5101) and what people put into descriptions.

The abbreviations are those of the ACR and of IHE Mammography Image: an optional
side, prefixes S (spot) and M (magnification), the projection, and suffixes such
as ID (implant displaced) or RL (rolled laterally): ``RMLO``, ``LCCID``, ``RSMCC``,
``CCSPOT``. D and E at the end are right and left in Portuguese and Spanish.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mammo.dicom.tags import Tags
from mammo.exam import Laterality, ViewPosition

_BASES = "XCCL|XCCM|XCC|MLO|LMO|CC|ML|LM|SIO|ISO|FB|AT|CV|TAN"
_SUFFIXES = "ID|RL|RM|RI|RS|ROLLED|ROLL|NP|AC|IMF|AX|SPOT|MAG|TAN"
_VIEW = re.compile(
    rf"(?P<side>LEFT|RIGHT|L|R)?(?P<before>(?:SPOT|MAG|S|M)*)(?P<base>{_BASES})"
    rf"(?P<after>(?:{_SUFFIXES})*)(?P<end>D|E)?"
)
_NAMED = re.compile(
    rf"(?<![A-Z0-9])(?:LEFT|RIGHT|L|R)[ _-]*(?:XCCL|XCCM|MLO|LMO|CC|ML|LM)"
    rf"(?:[ _-]*(?:{_SUFFIXES}))*(?![A-Z0-9])"
)
_PREFIXES = {"S": "SPOT_COMPRESSION", "M": "MAGNIFICATION"}
_MODIFIERS = {
    "ID": "IMPLANT_DISPLACED",
    "RL": "ROLLED",
    "RM": "ROLLED",
    "RI": "ROLLED",
    "RS": "ROLLED",
    "ROLLED": "ROLLED",
    "ROLL": "ROLLED",
    "NP": "NIPPLE_IN_PROFILE",
    "AC": "ANTERIOR_COMPRESSION",
    "IMF": "INFRAMAMMARY_FOLD",
    "AX": "AXILLARY_TISSUE",
    "SPOT": "SPOT_COMPRESSION",
    "MAG": "MAGNIFICATION",
    "TAN": "TANGENTIAL",
}
_MODIFIER_BASES = {"AT": "AXILLARY_TAIL", "CV": "CLEAVAGE", "TAN": "TANGENTIAL"}
NOT_VIEWS = frozenset(("LAT",))
"""LAT is a lateral view of some kind, not the left axillary tail."""


@dataclass(frozen=True, slots=True)
class WrittenView:
    """A view as text has it; ``modifiers`` are quality codes."""

    laterality: Laterality | None
    position: ViewPosition
    modifiers: frozenset[str]


@dataclass(frozen=True, slots=True)
class NamedView:
    """A side and a projection named together in the text of an element."""

    view: WrittenView
    keyword: str


def parse_position(text: str) -> WrittenView | None:
    """Return what an abbreviation such as ``LCCID`` says; None where it is none."""
    compact = re.sub(r"[ _./-]+", "", text)
    match = None if compact in NOT_VIEWS else _VIEW.fullmatch(compact)
    if match is None:
        return None
    side = match["side"] or {"D": "R", "E": "L"}.get(match["end"] or "", "")
    base = match["base"]
    modifiers = {_MODIFIERS[one] for one in re.findall(_SUFFIXES, match["after"])}
    modifiers |= {_PREFIXES[one[0]] for one in re.findall("SPOT|MAG|S|M", match["before"])}
    if base in _MODIFIER_BASES:
        modifiers.add(_MODIFIER_BASES[base])
    return WrittenView(
        laterality=Laterality(side[0]) if side else None,
        position=ViewPosition.__members__.get(base, ViewPosition.UNKNOWN),
        modifiers=frozenset(modifiers),
    )


def find_named_view(tags: Tags) -> NamedView | None:
    """Find a text such as ``P_00820_RIGHT_CC`` in Patient ID, Series Description, Protocol Name."""
    for keyword in ("PatientID", "SeriesDescription", "ProtocolName"):
        match = _NAMED.search(tags.text(keyword).upper())
        if match and (view := parse_position(match[0])):
            return NamedView(view, keyword)
    return None
