"""Which breast, which projection, and what modifies it.

The side is found by :mod:`mammo.dicom.laterality`. Of the projection the first
that names one wins; the coded ones (1 and 2) are compared, and VIEW_CONFLICT
says that they do not agree:

1. View Code Sequence (0054,0220; PS3.16 CID 4014 and 4015), by code in SNOMED
   CT or RT, else by its meaning;
2. View Position (0018,5101);
3. a view in Patient Orientation (CBIS-DDSM writes MLO there);
4. a side and a projection named together in a text, as for the side;
5. the direction of the columns.

Modifiers are taken from both coded elements, and from the text where that names
the projection; each has its own quality code. An axillary tail (AT) is an MLO
with a modifier in the Standard, a position of its own here, as in the tables of
the RSNA challenge.

A mammogram whose side is unknown is refused (VIEW_UNKNOWN): its score would
belong to no breast. One whose projection is unknown is kept with the quality
code VIEW_UNKNOWN: the model pools the views of a breast, and the files of the
RSNA challenge name the projection in their table only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mammo.dicom.laterality import (
    coded_sides,
    find_chest_side,
    inferred_sides,
    is_bilateral,
    oblique_side,
    only_series_has_side,
)
from mammo.dicom.tags import Tags
from mammo.dicom.view_codes import WHOLE_BREAST, coded_modifiers, coded_position
from mammo.dicom.view_texts import WrittenView, find_named_view, parse_position
from mammo.errors import ViewUnknown
from mammo.exam import STANDARD_VIEWS, Laterality, View, ViewPosition

AXILLARY_TAIL = frozenset((ViewPosition.AT, ViewPosition.MLO))
"""Positions that do not contradict each other where the axillary tail is meant."""


@dataclass(frozen=True, slots=True)
class FoundView:
    """A view and the elements in which it was found; ``quality`` holds codes.

    ``modifiers`` are the codes among them that tell how the view was taken;
    ``chest_side`` is the side of the image at which the chest wall lies by
    Patient Orientation: ``left``, ``right`` or empty.
    """

    view: View
    laterality_from: str
    position_from: str
    quality: tuple[str, ...]
    modifiers: tuple[str, ...] = ()
    chest_side: str = ""


def find_view(tags: Tags, told: View | None = None) -> FoundView:
    """Find laterality, projection and modifiers.

    ``told`` is the view that a table beside the files names: its side stands in
    where the header has none.

    Raises
    ------
    ViewUnknown
        The laterality is in none of the places where files keep it.
    """
    side, side_from, sides_agree = _find_side(tags, told)
    positions = list(_list_positions(tags))
    position, position_from = positions[0] if positions else (ViewPosition.UNKNOWN, "")
    modifiers = _find_modifiers(tags, position_from)
    oriented = oblique_side(tags, position)
    codes = {
        "LATERALITY_CONFLICT": not sides_agree,
        "VIEW_CONFLICT": not _agree({found for found, _ in positions}),
        "ORIENTATION_CONFLICT": oriented is not None and oriented is not side,
        "VIEW_UNKNOWN": not positions,
        "NON_STANDARD_VIEW": bool(positions)
        and (position not in STANDARD_VIEWS or not modifiers <= WHOLE_BREAST),
        "PARTIAL_VIEW": _is_partial(tags),
    }
    quality = {code for code, holds in codes.items() if holds} | modifiers
    return FoundView(
        view=View(side, position),
        laterality_from=side_from,
        position_from=position_from,
        quality=tuple(sorted(quality)),
        modifiers=tuple(sorted(modifiers)),
        chest_side=find_chest_side(tags),
    )


def _find_side(tags: Tags, told: View | None) -> tuple[Laterality, str, bool]:
    """Return the side, the element that names it, and whether all coded ones agree."""
    coded = list(coded_sides(tags))
    of_series = only_series_has_side(tags)
    if coded and not of_series:
        return *coded[0], len({side for side, _ in coded}) == 1
    both = is_bilateral(tags)
    if not both:
        for side, source in inferred_sides(tags):
            return side, source, True
    if told is not None and told.laterality is not Laterality.UNKNOWN:
        return told.laterality, "told", not both
    if of_series:
        raise ViewUnknown(
            "the image is of both breasts (Image Laterality (0020,0062) or Frame Laterality "
            "(0020,9072) says so), only the series is of one (Laterality (0020,0060)); allowed is "
            "one breast in an image"
        )
    if both:
        raise ViewUnknown(
            "the image is of both breasts (Image Laterality (0020,0062) or the anatomy codes say "
            "so); allowed is one breast in an image"
        )
    raise ViewUnknown(
        "the breast's side is in none of Image Laterality (0020,0062), Laterality (0020,0060), "
        "Frame Laterality (0020,9072), anatomy codes (0008,2218 and 0008,2228), View Position "
        "(0018,5101), Patient ID, Series Description, Protocol Name and Patient Orientation "
        "(0020,0020)"
    )


def _list_positions(tags: Tags) -> Iterator[tuple[ViewPosition, str]]:
    """Yield each projection found and where; coded elements first, inferred only without them."""
    coded = list(_list_coded_positions(tags))
    yield from coded
    if coded:
        return
    orientation = tags.texts("PatientOrientation")
    written = parse_position(orientation[0].upper()) if len(orientation) == 1 else None
    if written is not None:
        yield written.position, "PatientOrientation"
    elif named := find_named_view(tags):
        yield named.view.position, named.keyword
    elif (found := _position_of_orientation(tags)) is not None:
        yield found, "PatientOrientation"


def _list_coded_positions(tags: Tags) -> Iterator[tuple[ViewPosition, str]]:
    tail = "AXILLARY_TAIL" in coded_modifiers(tags)
    position = ViewPosition.AT if tail else coded_position(tags)
    if position is not None:
        yield position, "ViewCodeSequence"
    if written := _written_position(tags):
        yield written.position, "ViewPosition"


def _written_position(tags: Tags) -> WrittenView | None:
    place = tags.in_frame("ViewPosition")
    return parse_position(place.code("ViewPosition"))


def _find_modifiers(tags: Tags, position_from: str) -> frozenset[str]:
    """Return the codes of modifiers, in codes, in View Position, or in the text used."""
    modifiers = frozenset(coded_modifiers(tags))
    if written := _written_position(tags):
        modifiers |= written.modifiers
    if (named := find_named_view(tags)) and named.keyword == position_from:
        modifiers |= named.view.modifiers
    return modifiers


def _agree(positions: set[ViewPosition]) -> bool:
    """True if all name the same projection; CV and TAN name none and contradict nothing."""
    named = positions - {ViewPosition.UNKNOWN}
    return len(named) <= 1 or named == AXILLARY_TAIL


def _is_partial(tags: Tags) -> bool:
    """True for one part of a breast too large for the detector (PS3.3 C.8.11.7)."""
    if tags.code("PartialView") == "YES":
        return True
    return any(True for _ in tags.items("PartialViewCodeSequence"))


def _position_of_orientation(tags: Tags) -> ViewPosition | None:
    """Columns run sideways in CC, and to head or feet and sideways in MLO (PS3.3 C.7.6.1.1.1)."""
    values = tags.texts("PatientOrientation")
    direction = "".join(sorted(values[1].upper())) if len(values) == 2 else ""
    if direction in ("FL", "FR", "HL", "HR"):
        return ViewPosition.MLO
    return ViewPosition.CC if direction in ("L", "R") else None
