"""Codes of mammographic views and of what modifies them (PS3.16 CID 4014 and 4015).

Every concept has a SNOMED CT number (scheme SCT) and the older SNOMED RT
identifier (schemes SRT, SNM3 and 99SDM), which most archives still hold. The
exaggerated cranio-caudal views had identifiers that SNOMED never assigned
(Y-X1770, Y-X1771), in files from before 2004.
"""

from __future__ import annotations

from collections.abc import Iterator

from mammo.dicom.tags import Tags
from mammo.exam import ViewPosition

SCHEMES = frozenset(("SCT", "SRT", "SNM3", "99SDM", "2.16.840.1.113883.6.96", ""))
"""Coding Scheme Designator (0008,0102); some writers leave it out, or put SNOMED's OID there."""

VIEW_CODES: dict[str, ViewPosition] = {
    "399260004": ViewPosition.ML,
    "R-10224": ViewPosition.ML,
    "399368009": ViewPosition.MLO,
    "R-10226": ViewPosition.MLO,
    "399352003": ViewPosition.LM,
    "R-10228": ViewPosition.LM,
    "399099002": ViewPosition.LMO,
    "R-10230": ViewPosition.LMO,
    "399162004": ViewPosition.CC,
    "R-10242": ViewPosition.CC,
    "399196006": ViewPosition.FB,
    "R-10244": ViewPosition.FB,
    "399188001": ViewPosition.SIO,
    "R-102D0": ViewPosition.SIO,
    "441555000": ViewPosition.ISO,
    "R-40AAA": ViewPosition.ISO,
    "399265009": ViewPosition.XCC,
    "R-102CF": ViewPosition.XCC,
    "399192008": ViewPosition.XCCL,
    "R-1024A": ViewPosition.XCCL,
    "Y-X1770": ViewPosition.XCCL,
    "399101009": ViewPosition.XCCM,
    "R-1024B": ViewPosition.XCCM,
    "Y-X1771": ViewPosition.XCCM,
}
SPECIMEN_CODES = frozenset(("127457009", "G-8310"))

MODIFIER_CODES: dict[str, str] = {
    "399055006": "SPOT_COMPRESSION",
    "R-102D7": "SPOT_COMPRESSION",
    "399163009": "MAGNIFICATION",
    "R-102D6": "MAGNIFICATION",
    "399209000": "IMPLANT_DISPLACED",
    "R-102D5": "IMPLANT_DISPLACED",
    "399197002": "ROLLED",  # lateral
    "R-102D3": "ROLLED",
    "399226006": "ROLLED",  # medial
    "R-102D4": "ROLLED",
    "414493004": "ROLLED",  # inferior
    "R-102CA": "ROLLED",
    "415670009": "ROLLED",  # superior
    "R-102C9": "ROLLED",
    "399110001": "TANGENTIAL",
    "R-102C2": "TANGENTIAL",
    "399161006": "CLEAVAGE",
    "R-102D2": "CLEAVAGE",
    "399011000": "AXILLARY_TAIL",
    "R-102D1": "AXILLARY_TAIL",
    "442580003": "AXILLARY_TISSUE",
    "R-40AB2": "AXILLARY_TISSUE",
    "441752004": "ANTERIOR_COMPRESSION",
    "P2-00161": "ANTERIOR_COMPRESSION",
    "442593008": "INFRAMAMMARY_FOLD",
    "R-40ABE": "INFRAMAMMARY_FOLD",
    "442581004": "NIPPLE_IN_PROFILE",
    "R-40AB3": "NIPPLE_IN_PROFILE",
}
"""Code of a view modifier -> quality code."""
WHOLE_BREAST = frozenset(("IMPLANT_DISPLACED", "NIPPLE_IN_PROFILE"))
"""Modifiers that leave a CC or MLO a screening view; any other makes it NON_STANDARD_VIEW."""

VIEW_MEANINGS: dict[str, ViewPosition] = {
    "medio lateral": ViewPosition.ML,
    "medial lateral": ViewPosition.ML,
    "medio lateral oblique": ViewPosition.MLO,
    "medial lateral oblique": ViewPosition.MLO,
    "latero medial": ViewPosition.LM,
    "lateral medial": ViewPosition.LM,
    "latero medial oblique": ViewPosition.LMO,
    "cranio caudal": ViewPosition.CC,
    "craniocaudal": ViewPosition.CC,
    "caudo cranial": ViewPosition.FB,
    "from below": ViewPosition.FB,
    "superolateral to inferomedial oblique": ViewPosition.SIO,
    "inferomedial to superolateral oblique": ViewPosition.ISO,
    "cranio caudal exaggerated": ViewPosition.XCC,
    "cranio caudal exaggerated laterally": ViewPosition.XCCL,
    "cranio caudal exaggerated medially": ViewPosition.XCCM,
}
"""Code Meaning (0008,0104), for items whose code is a site's own."""


def coded_position(tags: Tags) -> ViewPosition | None:
    """Return the projection of View Code Sequence (0054,0220); None where it names none."""
    for item in tags.in_frame("ViewCodeSequence").items("ViewCodeSequence"):
        code = snomed_code(item)
        if code in VIEW_CODES:
            return VIEW_CODES[code]
        meaning = " ".join(item.text("CodeMeaning").lower().replace("-", " ").split())
        if meaning in VIEW_MEANINGS:
            return VIEW_MEANINGS[meaning]
    return None


def coded_modifiers(tags: Tags) -> set[str]:
    """Return the quality codes of View Modifier Code Sequence (0054,0222).

    Its place is inside View Code Sequence; some writers put it beside, or a
    modifier in the place of the view.
    """
    views = list(tags.in_frame("ViewCodeSequence").items("ViewCodeSequence"))
    modifiers = (item for place in (tags, *views) for item in _modifiers(place))
    codes = {snomed_code(item) for item in (*modifiers, *views)}
    return {MODIFIER_CODES[code] for code in codes if code in MODIFIER_CODES}


def is_specimen(tags: Tags) -> bool:
    """True for the radiograph of a biopsy: by view code, View Position or its own sequence."""
    return (
        tags.code("ViewPosition") == "SPECIMEN"
        or any(snomed_code(item) in SPECIMEN_CODES for item in tags.items("ViewCodeSequence"))
        or any(True for _ in tags.items("SpecimenDescriptionSequence"))
    )


def _modifiers(tags: Tags) -> Iterator[Tags]:
    return tags.items("ViewModifierCodeSequence")


def snomed_code(item: Tags) -> str:
    """Return the SNOMED code of an item of a code sequence (PS3.3 8.1); empty for another's."""
    known = item.code("CodingSchemeDesignator") in SCHEMES
    return item.code("CodeValue") if known else ""
