"""Header values as files in the wild have them -> view, source and quality codes."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from mammo.dicom.file import parse_file
from mammo.dicom.tags import Tags
from mammo.dicom.views import VIEW_CODES, FoundView, find_view
from mammo.errors import ViewUnknown

from .builders import code_item, make_file

BARE: dict[str, Any] = {"ImageLaterality": None, "ViewPosition": None}


def find(**changes: Any) -> FoundView:
    file = parse_file(make_file(**(BARE | changes)), 2**20)
    return find_view(Tags(file.dataset, file.little_endian))


def coded(value: str, scheme: str, *modifiers: str) -> list[Dataset]:
    item = code_item(value, scheme)
    item.ViewModifierCodeSequence = [code_item(modifier, scheme) for modifier in modifiers]
    return [item]


@pytest.mark.parametrize(
    ("changes", "view", "sources"),
    [
        ({"ImageLaterality": "L", "ViewPosition": "MLO"}, "L MLO", "ImageLaterality ViewPosition"),
        ({"Laterality": "R", "ViewPosition": "CC"}, "R CC", "Laterality ViewPosition"),
        ({"Laterality": "RIGHT", "ViewPosition": "RMLO"}, "R MLO", "Laterality ViewPosition"),
        (
            {"ImageLaterality": "LEFT", "ViewPosition": "LCCID"},
            "L CC",
            "ImageLaterality ViewPosition",
        ),
        (
            {"Laterality": "L", "PatientOrientation": "MLO", "PatientID": "Mass-Test_P_1_LEFT_MLO"},
            "L MLO",
            "Laterality PatientOrientation",
        ),
        ({"PatientID": "Mass-Test_P_00820_RIGHT_CC"}, "R CC", "PatientID PatientID"),
        ({"SeriesDescription": "R MLO Tomosynthesis"}, "R MLO", "SeriesDescription " * 2),
        ({"ProtocolName": "Screening L-CC"}, "L CC", "ProtocolName ProtocolName"),
        ({"PatientOrientation": ["P", "FL"]}, "R MLO", "PatientOrientation " * 2),
        ({"PatientOrientation": ["A", "FR"]}, "L MLO", "PatientOrientation " * 2),
        ({"PatientOrientation": ["A", "HL"]}, "L MLO", "PatientOrientation " * 2),
        (
            {"ImageLaterality": "L", "PatientOrientation": ["A", "R"]},
            "L CC",
            "ImageLaterality PatientOrientation",
        ),
        ({"ImageLaterality": "R"}, "R U", "ImageLaterality"),
        (
            {"ImageLaterality": "R", "ViewCodeSequence": coded("R-10226", "SNM3")},
            "R MLO",
            "ImageLaterality ViewCodeSequence",
        ),
        (
            {"ImageLaterality": "R", "ViewCodeSequence": coded("399011000", "SCT", "399011000")},
            "R AT",
            "ImageLaterality ViewCodeSequence",
        ),
        (
            {
                "ImageLaterality": "R",
                "ViewPosition": "CC",
                "ViewCodeSequence": coded("R-10226", "ACME"),
            },
            "R CC",
            "ImageLaterality ViewPosition",
        ),
    ],
)
def test_finds(changes: dict[str, Any], view: str, sources: str) -> None:
    found = find(**changes)
    assert str(found.view) == view
    assert f"{found.laterality_from} {found.position_from}".strip() == sources.strip()


@pytest.mark.parametrize("code", VIEW_CODES)
def test_every_code_is_known_in_its_scheme(code: str) -> None:
    scheme = "SRT" if code.startswith("R-") else "SCT"
    found = find(ImageLaterality="L", ViewCodeSequence=coded(code, scheme))
    assert found.view.position is VIEW_CODES[code]


def test_the_codes_are_those_of_the_standard() -> None:
    from pydicom.sr._snomed_dict import mapping
    from pydicom.sr.codedict import codes

    standard = {getattr(codes.CID4014, name).value for name in codes.CID4014.dir()}
    for code, position in VIEW_CODES.items():
        concept = code if code in standard else mapping["SRT"][code]
        assert concept in standard
        assert VIEW_CODES[concept] is position


@pytest.mark.parametrize(
    ("changes", "quality"),
    [
        ({"ImageLaterality": "L", "ViewPosition": "CC"}, ()),
        ({"ImageLaterality": "L"}, ("VIEW_UNKNOWN",)),
        ({"ImageLaterality": "L", "ViewPosition": "OTHER"}, ("VIEW_UNKNOWN",)),
        ({"ImageLaterality": "L", "ViewPosition": "XCCL"}, ("NON_STANDARD_VIEW",)),
        ({"ImageLaterality": "L", "ViewPosition": "SPECIMEN"}, ("NON_STANDARD_VIEW",)),
        (
            {"ImageLaterality": "L", "ViewCodeSequence": coded("399162004", "SCT", "399055006")},
            ("NON_STANDARD_VIEW",),
        ),
        (
            {"ImageLaterality": "L", "ViewCodeSequence": coded("R-10242", "SRT", "R-102D5")},
            ("IMPLANT_DISPLACED",),
        ),
        (
            {"ImageLaterality": "L", "Laterality": "R", "ViewPosition": "CC"},
            ("LATERALITY_CONFLICT",),
        ),
        (
            {
                "ImageLaterality": "L",
                "ViewPosition": "CC",
                "ViewCodeSequence": coded("R-10226", "SRT"),
            },
            ("VIEW_CONFLICT",),
        ),
    ],
)
def test_quality(changes: dict[str, Any], quality: tuple[str, ...]) -> None:
    assert find(**changes).quality == quality


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ViewPosition": "CC"},
        {"ImageLaterality": "B", "ViewPosition": "CC"},
        {"PatientOrientation": ["A", "R"]},
        {"PatientID": "ALRIGHT_CCX"},
    ],
    ids=str,
)
def test_an_unknown_side_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ViewUnknown, match=r"none of Image Laterality \(0020,0062\)"):
        find(**changes)
