"""Where the side is written -> which side, from which element, and what contradicts it."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from mammo.errors import ViewUnknown
from mammo.exam import Laterality, View, ViewPosition

from .builders import code_item
from .test_views import coded, find, frame


def anatomy(value: str, scheme: str = "SRT", *modifiers: str, of: str = "AnatomicRegion") -> Any:
    item: Dataset = code_item(value, scheme)
    setattr(item, f"{of}ModifierSequence", [code_item(one, scheme) for one in modifiers])
    return [item]


@pytest.mark.parametrize(
    ("changes", "side", "source"),
    [
        ({"ImageLaterality": "L"}, "L", "ImageLaterality"),
        ({"ImageLaterality": "R "}, "R", "ImageLaterality"),
        ({"ImageLaterality": "LEFT"}, "L", "ImageLaterality"),
        ({"Laterality": "RIGHT"}, "R", "Laterality"),
        ({"ImageLaterality": "", "Laterality": "R"}, "R", "Laterality"),
        ({"ImageLaterality": "U", "Laterality": "R"}, "R", "Laterality"),
        ({"ImageLaterality": "L", "Laterality": "B"}, "L", "ImageLaterality"),
        (
            {"SharedFunctionalGroupsSequence": [frame(FrameLaterality="R")]},
            "R",
            "FrameLaterality",
        ),
        (
            {"PerFrameFunctionalGroupsSequence": [frame(FrameLaterality="L")]},
            "L",
            "FrameLaterality",
        ),
        (
            {
                "SharedFunctionalGroupsSequence": [
                    frame(FrameLaterality="", AnatomicRegionSequence=anatomy("80248007", "SCT"))
                ]
            },
            "L",
            "AnatomicRegionSequence",
        ),
        ({"AnatomicRegionSequence": anatomy("T-04030")}, "L", "AnatomicRegionSequence"),
        ({"AnatomicRegionSequence": anatomy("T-04020")}, "R", "AnatomicRegionSequence"),
        ({"AnatomicRegionSequence": anatomy("80248007", "SCT")}, "L", "AnatomicRegionSequence"),
        ({"AnatomicRegionSequence": anatomy("73056007", "SCT")}, "R", "AnatomicRegionSequence"),
        (
            {"AnatomicRegionSequence": anatomy("T-04000", "SNM3", "G-A100")},
            "R",
            "AnatomicRegionSequence",
        ),
        (
            {"AnatomicRegionSequence": anatomy("76752008", "SCT", "7771000")},
            "L",
            "AnatomicRegionSequence",
        ),
        (
            {
                "PrimaryAnatomicStructureSequence": anatomy(
                    "T-04000", "SRT", "G-A101", of="PrimaryAnatomicStructure"
                )
            },
            "L",
            "PrimaryAnatomicStructureSequence",
        ),
        (
            {"PrimaryAnatomicStructureSequence": anatomy("T-04020", "SRT")},
            "R",
            "PrimaryAnatomicStructureSequence",
        ),
        ({"ViewPosition": "RMLO"}, "R", "ViewPosition"),
        ({"ViewPosition": "LCC ID"}, "L", "ViewPosition"),
        ({"ViewPosition": "MLOD"}, "R", "ViewPosition"),
        ({"PatientID": "Calc-Test_P_00038_LEFT_CC"}, "L", "PatientID"),
        ({"SeriesDescription": "R MLO Combo"}, "R", "SeriesDescription"),
        ({"PatientOrientation": ["P", "FL"]}, "R", "PatientOrientation"),
        ({"PatientOrientation": ["P", "LF"]}, "R", "PatientOrientation"),
        ({"PatientOrientation": ["A", "FR"]}, "L", "PatientOrientation"),
        ({"PatientOrientation": ["A", "HL"]}, "L", "PatientOrientation"),
        ({"PatientOrientation": ["FR", "A"]}, "L", "PatientOrientation"),  # turned by 90 degrees
    ],
)
def test_side(changes: dict[str, Any], side: str, source: str) -> None:
    found = find(**changes)
    assert (found.view.laterality.value, found.laterality_from) == (side, source)
    assert "LATERALITY_CONFLICT" not in found.quality


@pytest.mark.parametrize(
    ("changes", "side", "conflict"),
    [
        ({"ImageLaterality": "L", "Laterality": "R"}, "L", True),
        ({"ImageLaterality": "L", "Laterality": "L"}, "L", False),
        ({"ImageLaterality": "R", "AnatomicRegionSequence": anatomy("T-04030")}, "R", True),
        (
            {"Laterality": "R", "SharedFunctionalGroupsSequence": [frame(FrameLaterality="L")]},
            "L",
            True,
        ),
        ({"AnatomicRegionSequence": anatomy("T-04030", "SRT", "G-A100")}, "L", True),
        ({"ImageLaterality": "R", "ViewPosition": "LMLO"}, "R", True),
        ({"ImageLaterality": "R", "AnatomicRegionSequence": anatomy("T-04000")}, "R", False),
        # free text is no evidence against an element made for the side
        ({"ImageLaterality": "R", "SeriesDescription": "L MLO"}, "R", False),
        # an anatomy is of the image, other than Laterality
        ({"ImageLaterality": "B", "AnatomicRegionSequence": anatomy("T-04030")}, "L", False),
        # a series of both breasts
        ({"ImageLaterality": "R", "Laterality": "BILATERAL"}, "R", False),
        ({"ImageLaterality": "L", "AnatomicRegionSequence": anatomy("T-04080")}, "L", False),
    ],
)
def test_contradictions(changes: dict[str, Any], side: str, conflict: bool) -> None:
    found = find(**changes)
    assert found.view.laterality.value == side
    assert ("LATERALITY_CONFLICT" in found.quality) is conflict


@pytest.mark.parametrize(
    ("side", "position", "orientation", "conflict", "chest_side"),
    [
        ("R", "MLO", ["P", "FL"], False, "right"),
        ("L", "MLO", ["A", "FR"], False, "left"),
        ("L", "MLO", ["P", "FL"], True, "right"),
        ("R", "MLO", ["A", "FR"], True, "left"),
        ("R", "MLO", ["PF", "FL"], False, "right"),
        ("L", "MLO", ["P", "HL"], False, "right"),  # upside down
        ("R", "LMO", ["A", "FR"], True, "left"),
        ("R", "SIO", ["A", "FR"], False, "left"),  # the other diagonal
        ("L", "ISO", ["A", "FR"], True, "left"),
        ("L", "CC", ["A", "R"], False, "left"),
        ("L", "CC", ["A", "L"], False, "left"),  # says nothing of the side
        ("L", "ML", ["A", "F"], False, "left"),
        ("L", "CC", ["R", "A"], False, ""),
        ("L", "CC", ["L", "F"], False, ""),
        ("L", "CC", None, False, ""),
        ("L", "CC", ["A"], False, "left"),
        ("L", "MLO", ["ANOTHER", "FL TEXT"], False, ""),
    ],
)
def test_orientation(
    side: str, position: str, orientation: list[str] | None, conflict: bool, chest_side: str
) -> None:
    more = {"PatientOrientation": orientation} if orientation else {}
    found = find(ImageLaterality=side, ViewPosition=position, **more)
    assert ("ORIENTATION_CONFLICT" in found.quality) is conflict
    assert (found.chest_side, found.view.laterality.value) == (chest_side, side)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, r"none of Image Laterality \(0020,0062\)"),
        ({"ViewPosition": "CC"}, "none of"),
        ({"ImageLaterality": "U", "ViewPosition": "CC"}, "none of"),
        ({"PatientOrientation": ["A", "R"]}, "none of"),
        ({"PatientID": "ALRIGHT_CCX"}, "none of"),
        ({"AnatomicRegionSequence": anatomy("T-04030", "ACME")}, "none of"),
        ({"AnatomicRegionSequence": anatomy("T-04000", "SRT")}, "none of"),
        ({"ImageLaterality": "B", "ViewPosition": "CC"}, "of both breasts"),
        ({"ImageLaterality": "B", "SeriesDescription": "R CC"}, "of both breasts"),
        ({"Laterality": "BILATERAL"}, "of both breasts"),
        # the series is of one side, this image of it is not
        ({"ImageLaterality": "B", "Laterality": "L", "ViewPosition": "CC"}, "only the series"),
        (
            {"Laterality": "R", "SharedFunctionalGroupsSequence": [frame(FrameLaterality="B")]},
            "only the series",
        ),
        ({"AnatomicRegionSequence": anatomy("T-04080", "SRT")}, "of both breasts"),
        ({"AnatomicRegionSequence": anatomy("76752008", "SCT", "51440002")}, "of both breasts"),
    ],
    ids=str,
)
def test_an_unknown_side_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ViewUnknown, match=text):
        find(**changes)


@pytest.mark.parametrize(
    ("changes", "side", "source"),
    [
        ({}, "R", "told"),
        ({"ImageLaterality": "L"}, "L", "ImageLaterality"),
        ({"ViewCodeSequence": coded("R-10242", "SRT")}, "R", "told"),
        ({"ImageLaterality": "B", "Laterality": "L"}, "R", "told"),
    ],
)
def test_a_table_may_tell_the_side(changes: dict[str, Any], side: str, source: str) -> None:
    told = View(Laterality.RIGHT, ViewPosition.MLO)
    found = find(told=told, **changes)
    assert (found.view.laterality.value, found.laterality_from) == (side, source)


def test_a_table_without_the_side_does_not_help() -> None:
    with pytest.raises(ViewUnknown):
        find(told=View(Laterality.UNKNOWN, ViewPosition.MLO))
