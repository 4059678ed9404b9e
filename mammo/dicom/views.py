"""Which breast, which projection: found where files keep them.

Preference, first found wins; a later coded element that disagrees gives a
quality code, never a silent choice:

- laterality: Image Laterality (0020,0062), Laterality (0020,0060), text such as
  ``RIGHT_CC`` in Patient ID (CBIS-DDSM), Series Description or Protocol Name,
  the direction of the columns in Patient Orientation (0020,0020) of an oblique;
- projection: View Code Sequence (0054,0220; PS3.16 CID 4014 and 4015), View
  Position (0018,5101), a view in Patient Orientation (CBIS-DDSM), the same
  texts, the direction of the columns.

A mammogram whose side is unknown is refused (VIEW_UNKNOWN): its score would
belong to no breast. One whose projection is unknown is kept with the quality
code VIEW_UNKNOWN: the model pools the views of a breast, and the files of the
RSNA challenge name the projection in their table only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mammo.dicom.tags import Tags
from mammo.errors import ViewUnknown
from mammo.exam import STANDARD_VIEWS, Laterality, View, ViewPosition

SNOMED_SCHEMES = ("SCT", "SRT", "SNM3", "99SDM")
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
    "399192008": ViewPosition.XCCL,
    "R-1024A": ViewPosition.XCCL,
    "399101009": ViewPosition.XCCM,
    "R-1024B": ViewPosition.XCCM,
}
OTHER_VIEW_CODES = frozenset(
    ("399196006", "R-10244", "399188001", "R-102D0", "441555000", "R-40AAA", "127457009", "G-8310")
)
"""From below, the other obliques and specimens: known, and none of our positions."""
AXILLARY_TAIL = ("399011000", "R-102D1")
IMPLANT_DISPLACED = ("399209000", "R-102D5")
NOT_SCREENING = frozenset(
    (
        *("399055006", "R-102D7"),  # spot compression
        *("399163009", "R-102D6"),  # magnification
        *("399110001", "R-102C2"),  # tangential
        *("399161006", "R-102D2"),  # cleavage
        *("414493004", "R-102CA", "399197002", "R-102D3"),  # rolled inferior, lateral
        *("399226006", "R-102D4", "415670009", "R-102C9"),  # rolled medial, superior
    )
)
OTHER_POSITIONS = frozenset(("FB", "SIO", "ISO", "CV", "TAN", "SPECIMEN"))

_SIDES = {"L": Laterality.LEFT, "R": Laterality.RIGHT}
_SIDED_VIEW = re.compile(
    r"(?<![A-Z0-9])(LEFT|RIGHT|L|R)[ _-]*(XCCL|XCCM|MLO|LMO|CC|ML|LM)(?![A-Z0-9])"
)


@dataclass(frozen=True, slots=True)
class FoundView:
    """A view and the elements in which it was found; ``quality`` holds codes."""

    view: View
    laterality_from: str
    position_from: str
    quality: tuple[str, ...]


def find_view(tags: Tags) -> FoundView:
    """Find laterality and projection.

    Raises
    ------
    ViewUnknown
        The laterality is in none of the places where files keep it.
    """
    sides = list(_list_sides(tags))
    if not sides:
        raise ViewUnknown(
            "the breast's side is in none of Image Laterality (0020,0062), Laterality (0020,0060), "
            "Patient ID, Series Description, Protocol Name and Patient Orientation (0020,0020)"
        )
    positions = list(_list_positions(tags))
    position, position_from = positions[0] if positions else (ViewPosition.UNKNOWN, "")
    modifiers = _list_modifiers(tags)
    codes = {
        "LATERALITY_CONFLICT": len({side for side, _ in sides}) > 1,
        "VIEW_CONFLICT": len({found for found, _ in positions}) > 1,
        "VIEW_UNKNOWN": not positions,
        "NON_STANDARD_VIEW": bool(positions)
        and (position not in STANDARD_VIEWS or not modifiers.isdisjoint(NOT_SCREENING)),
        "IMPLANT_DISPLACED": not modifiers.isdisjoint(IMPLANT_DISPLACED),
    }
    quality = tuple(sorted(code for code, holds in codes.items() if holds))
    return FoundView(View(sides[0][0], position), sides[0][1], position_from, quality)


def _list_sides(tags: Tags) -> Iterator[tuple[Laterality, str]]:
    """Yield each side found and where; coded elements first, inferred only without them."""
    coded = False
    for keyword in ("ImageLaterality", "Laterality"):
        if side := _SIDES.get(tags.code(keyword)[:1]):
            coded = True
            yield side, keyword
    if coded:
        return
    for side, _, keyword in _list_texts(tags):
        yield side, keyword
        return
    if (side := _side_of_orientation(tags)) is not None:
        yield side, "PatientOrientation"


def _list_positions(tags: Tags) -> Iterator[tuple[ViewPosition, str]]:
    """Yield each projection found and where; coded elements first, inferred only without them."""
    coded = False
    for found, keyword in (
        (_coded_position(tags), "ViewCodeSequence"),
        (_parse_position(tags.code("ViewPosition")), "ViewPosition"),
    ):
        if found is not None:
            coded = True
            yield found, keyword
    if coded:
        return
    if (found := _parse_position(tags.code("PatientOrientation"))) is not None:
        yield found, "PatientOrientation"
        return
    for _, position, keyword in _list_texts(tags):
        yield position, keyword
        return
    if (found := _position_of_orientation(tags)) is not None:
        yield found, "PatientOrientation"


def _coded_position(tags: Tags) -> ViewPosition | None:
    for item in tags.items("ViewCodeSequence"):
        value = item.text("CodeValue")
        if item.code("CodingSchemeDesignator") not in SNOMED_SCHEMES:
            continue
        if any(code in AXILLARY_TAIL for code in _codes(item, "ViewModifierCodeSequence")):
            return ViewPosition.AT
        if value in VIEW_CODES:
            return VIEW_CODES[value]
        if value in OTHER_VIEW_CODES:
            return ViewPosition.UNKNOWN
    return None


def _list_modifiers(tags: Tags) -> set[str]:
    items = tags.items("ViewCodeSequence")
    return {code for item in items for code in _codes(item, "ViewModifierCodeSequence")}


def _codes(item: Tags, keyword: str) -> list[str]:
    return [code.text("CodeValue") for code in item.items(keyword)]


def _parse_position(text: str) -> ViewPosition | None:
    """Return the projection of a short form such as ``MLO``, ``RMLO`` or ``LCCID``."""
    for form in (text, text[1:] if text[:1] in ("L", "R") else text):
        bare = form.removesuffix("ID").strip()
        if bare and bare in ViewPosition.__members__ and bare != "UNKNOWN":
            return ViewPosition[bare]
    return ViewPosition.UNKNOWN if text in OTHER_POSITIONS else None


def _list_texts(tags: Tags) -> Iterator[tuple[Laterality, ViewPosition, str]]:
    """Yield side and projection named together in a text, such as ``P_00820_RIGHT_CC``."""
    for keyword in ("PatientID", "SeriesDescription", "ProtocolName"):
        if match := _SIDED_VIEW.search(tags.text(keyword).upper()):
            yield _SIDES[match[1][0]], ViewPosition[match[2]], keyword


def _columns_point_to(tags: Tags) -> str:
    """Return the second value of Patient Orientation: where a column runs to, such as ``FL``."""
    values = tags.texts("PatientOrientation")
    return values[1].upper() if len(values) == 2 else ""


def _side_of_orientation(tags: Tags) -> Laterality | None:
    """The plane of an oblique runs from the outer upper to the inner lower breast.

    A column towards feet and left is therefore of the right breast. Of a CC
    view both columns occur for either breast: it says nothing.
    """
    ends = {"FL": "R", "HR": "R", "FR": "L", "HL": "L"}
    direction = "".join(sorted(_columns_point_to(tags)))
    return _SIDES.get(ends.get(direction, ""))


def _position_of_orientation(tags: Tags) -> ViewPosition | None:
    """Columns run sideways in CC, and to head or feet and sideways in MLO (PS3.3 C.7.6.1.1.1)."""
    direction = "".join(sorted(_columns_point_to(tags)))
    if direction in ("FL", "FR", "HL", "HR"):
        return ViewPosition.MLO
    return ViewPosition.CC if direction in ("L", "R") else None
