"""Which breast: found where files keep it.

The first that names a side wins; the coded ones (1 to 5) are compared, and
LATERALITY_CONFLICT says that they do not agree:

1. Image Laterality (0020,0062): made for this;
2. Frame Laterality (0020,9072) of an enhanced object: the same, elsewhere;
3. Laterality (0020,0060): of the series, so copied by hand more often;
4. Anatomic Region and Primary Anatomic Structure (0008,2218 and 2228) with
   their modifiers, also in Frame Anatomy: a breast or a side in SNOMED codes;
5. View Position (0018,5101) with a side in it, such as ``RMLO``;
6. a side and a projection named together in Patient ID (CBIS-DDSM), Series
   Description or Protocol Name;
7. the direction of the columns of an oblique in Patient Orientation (0020,0020).

Free text (6) and directions (7) only stand in: they are no evidence against a
coded side, and series are named after their first image. B, both breasts, names
no side: an object of both breasts is refused, also where its series (3) has a
side, and B beside a side of the image's own (as of a whole series) is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from mammo.dicom.tags import Tags
from mammo.dicom.view_codes import snomed_code
from mammo.dicom.view_texts import find_named_view, parse_position
from mammo.exam import Laterality, ViewPosition

SIDE_CODES: dict[str, Laterality] = {
    "80248007": Laterality.LEFT,  # left breast
    "T-04030": Laterality.LEFT,
    "73056007": Laterality.RIGHT,  # right breast
    "T-04020": Laterality.RIGHT,
    "7771000": Laterality.LEFT,  # left, a modifier (PS3.16 CID 244)
    "G-A101": Laterality.LEFT,
    "24028007": Laterality.RIGHT,
    "G-A100": Laterality.RIGHT,
}
BOTH_CODES = frozenset(("63762007", "T-04080", "51440002", "G-A102"))
"""Both breasts, and bilateral."""
ANATOMY = {
    "AnatomicRegionSequence": "AnatomicRegionModifierSequence",
    "PrimaryAnatomicStructureSequence": "PrimaryAnatomicStructureModifierSequence",
}
_FIRST_LETTERS = {"L": Laterality.LEFT, "R": Laterality.RIGHT}
_OBLIQUE_SIDES = {
    frozenset("FL"): Laterality.RIGHT,
    frozenset("HR"): Laterality.RIGHT,
    frozenset("FR"): Laterality.LEFT,
    frozenset("HL"): Laterality.LEFT,
}
MEDIOLATERAL = frozenset(
    (ViewPosition.MLO, ViewPosition.LMO, ViewPosition.AT, ViewPosition.UNKNOWN)
)
"""Obliques in the plane from the outer upper to the inner lower breast."""
CROSSWISE = frozenset((ViewPosition.SIO, ViewPosition.ISO))
"""Obliques in the other plane, from the inner upper to the outer lower breast."""


def coded_sides(tags: Tags) -> Iterator[tuple[Laterality, str]]:
    """Yield each coded side and the element that holds it, points 1 to 5."""
    for keyword in ("ImageLaterality", "FrameLaterality", "Laterality"):
        if side := _parse_side(tags.in_frame(keyword).code(keyword)):
            yield side, keyword
    for keyword, modifier in ANATOMY.items():
        for code in _anatomy_codes(tags, keyword, modifier):
            if code in SIDE_CODES:
                yield SIDE_CODES[code], keyword
    if (named := parse_position(tags.code("ViewPosition"))) and named.laterality:
        yield named.laterality, "ViewPosition"


def inferred_sides(tags: Tags) -> Iterator[tuple[Laterality, str]]:
    """Yield the sides that stand in where none is coded, points 6 and 7."""
    if found := find_named_view(tags):
        yield found.view.laterality or Laterality.UNKNOWN, found.keyword
    if side := oblique_side(tags, ViewPosition.UNKNOWN):
        yield side, "PatientOrientation"


def is_bilateral(tags: Tags) -> bool:
    """True if an element says that the image is of both breasts."""
    codes = (code for pair in ANATOMY.items() for code in _anatomy_codes(tags, *pair))
    said = _says_both(tags, "ImageLaterality", "FrameLaterality", "Laterality")
    return said or any(code in BOTH_CODES for code in codes)


def only_series_has_side(tags: Tags) -> bool:
    """True if Image or Frame Laterality is B and the side is from Laterality, of the series."""
    sources = {source for _, source in coded_sides(tags)}
    return sources == {"Laterality"} and _says_both(tags, "ImageLaterality", "FrameLaterality")


def _says_both(tags: Tags, *keywords: str) -> bool:
    return any(tags.in_frame(keyword).code(keyword).startswith("B") for keyword in keywords)


def oblique_side(tags: Tags, position: ViewPosition) -> Laterality | None:
    """Return the side by Patient Orientation of an oblique; None where it says nothing.

    The plane of an MLO runs from the outer upper to the inner lower breast, so
    columns towards feet and left are of the right breast. Of a CC either side
    has columns to the left and to the right: it says nothing.
    """
    if position not in MEDIOLATERAL | CROSSWISE:
        return None
    for value in tags.texts("PatientOrientation")[:2]:
        side = _OBLIQUE_SIDES.get(frozenset(value.upper()) - {"A", "P"})
        if side is not None and len(value) <= 3:
            other = Laterality.LEFT if side is Laterality.RIGHT else Laterality.RIGHT
            return other if position in CROSSWISE else side
    return None


def find_chest_side(tags: Tags) -> str:
    """Return on which side of the image the chest wall is: left, right or unknown (empty).

    The first value of Patient Orientation (0020,0020) is where a row runs to:
    A, anterior, is away from the chest wall.
    """
    rows = next(iter(tags.texts("PatientOrientation")), "").upper()
    return {"A": "left", "P": "right"}.get(rows[:1], "") if len(rows) <= 3 else ""


def _parse_side(text: str) -> Laterality | None:
    return _FIRST_LETTERS.get(text[:1])


def _anatomy_codes(tags: Tags, keyword: str, modifier: str) -> Iterator[str]:
    """Yield the codes of an anatomy and of its modifiers; Frame Anatomy has its own region."""
    frame = tags.in_frame("FrameLaterality")
    for place in (tags, frame) if frame is not tags else (tags,):
        for item in place.items(keyword):
            yield snomed_code(item)
            yield from map(snomed_code, item.items(modifier))
