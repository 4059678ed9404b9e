"""Header values as files in the wild have them -> view, source and quality codes."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from mammo.dicom.file import parse_file
from mammo.dicom.tags import Tags
from mammo.dicom.view_codes import MODIFIER_CODES, SPECIMEN_CODES, VIEW_CODES, VIEW_MEANINGS
from mammo.dicom.view_texts import parse_position
from mammo.dicom.views import FoundView, find_view
from mammo.exam import View, ViewPosition

from .builders import code_item, make_file

BARE: dict[str, Any] = {"ImageLaterality": None, "ViewPosition": None}
LEFT: dict[str, Any] = {"ImageLaterality": "L"}
INVENTED = {"Y-X1770", "Y-X1771"}
"""Codes of CID 4014 before 2004, which SNOMED never had."""
RETIRED = {"399265009", "R-102CF"}
"""cranio-caudal exaggerated, once in CID 4014."""


def find(told: View | None = None, **changes: Any) -> FoundView:
    file = parse_file(make_file(**(BARE | changes)), 2**20)
    return find_view(Tags(file.dataset, file.little_endian), told)


def frame(**elements: Any) -> Dataset:
    """Return a functional group with one macro."""
    macro, group = Dataset(), Dataset()
    for keyword, value in elements.items():
        setattr(macro, keyword, value)
    group.FrameAnatomySequence = [macro]
    return group


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
        ({"SeriesDescription": "L MLO SPOT"}, "L MLO", "SeriesDescription " * 2),
        (
            {
                **LEFT,
                "ViewCodeSequence": [
                    code_item("MLO", "99ACME", CodeMeaning="Medio-lateral Oblique")
                ],
            },
            "L MLO",
            "ImageLaterality ViewCodeSequence",
        ),
        (
            {**LEFT, "ViewCodeSequence": coded("R-10242", "")},
            "L CC",
            "ImageLaterality ViewCodeSequence",
        ),
        (
            {**LEFT, "ViewCodeSequence": [*coded("R-00000", "SRT"), *coded("R-10242", "SRT")]},
            "L CC",
            "ImageLaterality ViewCodeSequence",
        ),
        (
            {
                "SharedFunctionalGroupsSequence": [frame(ViewCodeSequence=coded("R-10226", "SRT"))],
                **LEFT,
            },
            "L MLO",
            "ImageLaterality ViewCodeSequence",
        ),
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


@pytest.mark.parametrize(
    ("code", "scheme"),
    [
        (code, scheme)
        for code in VIEW_CODES
        for scheme in (("SCT",) if code.isdigit() else ("SRT", "SNM3", "99SDM"))
    ],
)
def test_every_code_is_known_in_its_schemes(code: str, scheme: str) -> None:
    found = find(ImageLaterality="L", ViewCodeSequence=coded(code, scheme))
    assert found.view.position is VIEW_CODES[code]


def test_the_codes_are_those_of_the_standard() -> None:
    standard = {getattr(codes.CID4014, name).value for name in codes.CID4014.dir()}
    assert standard - VIEW_CODES.keys() == SPECIMEN_CODES - {"G-8310"}
    for code, position in VIEW_CODES.items():
        if code in INVENTED | RETIRED:
            continue
        concept = code if code in standard else mapping["SRT"][code]
        assert concept in standard
        assert VIEW_CODES[concept] is position


def test_the_modifiers_are_those_of_the_standard() -> None:
    standard = {getattr(codes.CID4015, name).value for name in codes.CID4015.dir()}
    assert {code for code in MODIFIER_CODES if code.isdigit()} == standard
    for code, quality in MODIFIER_CODES.items():
        assert code in standard or MODIFIER_CODES[mapping["SRT"][code]] == quality


def test_the_meanings_are_those_of_the_standard() -> None:
    for name in codes.CID4014.dir():
        concept = getattr(codes.CID4014, name)
        if concept.value not in SPECIMEN_CODES:
            meaning = concept.meaning.lower().replace("-", " ")
            assert VIEW_MEANINGS[meaning] is VIEW_CODES[concept.value]


@pytest.mark.parametrize(
    ("text", "position", "side", "modifiers"),
    [
        ("CC", "CC", None, ""),
        ("MLO", "MLO", None, ""),
        ("RMLO", "MLO", "R", ""),
        ("LMLO", "MLO", "L", ""),
        ("LML", "ML", "L", ""),
        ("LM", "LM", None, ""),
        ("LMO", "LMO", None, ""),
        ("LLM", "LM", "L", ""),
        ("RML", "ML", "R", ""),
        ("LLMO", "LMO", "L", ""),
        ("L-MLO", "MLO", "L", ""),
        ("R CC", "CC", "R", ""),
        ("RIGHT_CC", "CC", "R", ""),
        ("LXCCL", "XCCL", "L", ""),
        ("XCCM", "XCCM", None, ""),
        ("FB", "FB", None, ""),
        ("SIO", "SIO", None, ""),
        ("ID", None, None, ""),
        ("CCID", "CC", None, "IMPLANT_DISPLACED"),
        ("MLOID", "MLO", None, "IMPLANT_DISPLACED"),
        ("LCCID", "CC", "L", "IMPLANT_DISPLACED"),
        ("MLO ID", "MLO", None, "IMPLANT_DISPLACED"),
        ("CCSPOT", "CC", None, "SPOT_COMPRESSION"),
        ("SCC", "CC", None, "SPOT_COMPRESSION"),
        ("RSMLO", "MLO", "R", "SPOT_COMPRESSION"),
        ("MCC", "CC", None, "MAGNIFICATION"),
        ("RMMLO", "MLO", "R", "MAGNIFICATION"),
        ("LMLM", "LM", "L", "MAGNIFICATION"),
        ("RMSMLO", "MLO", "R", "MAGNIFICATION SPOT_COMPRESSION"),
        ("CC MAG", "CC", None, "MAGNIFICATION"),
        ("CCRL", "CC", None, "ROLLED"),
        ("CCRM", "CC", None, "ROLLED"),
        ("RCCRS", "CC", "R", "ROLLED"),
        ("CCNP", "CC", None, "NIPPLE_IN_PROFILE"),
        ("AT", "AT", None, "AXILLARY_TAIL"),
        ("RAT", "AT", "R", "AXILLARY_TAIL"),
        ("CV", "U", None, "CLEAVAGE"),
        ("TAN", "U", None, "TANGENTIAL"),
        ("CCTAN", "CC", None, "TANGENTIAL"),
        ("CCD", "CC", "R", ""),
        ("CCE", "CC", "L", ""),
        ("MLOD", "MLO", "R", ""),
        ("LAT", None, None, ""),
        ("LATERAL", None, None, ""),
        ("AP", None, None, ""),
        ("PA", None, None, ""),
        ("LO", None, None, ""),
        ("MLOX", None, None, ""),
        ("", None, None, ""),
    ],
)
def test_view_position(text: str, position: str | None, side: str | None, modifiers: str) -> None:
    parsed = parse_position(text)
    if position is None:
        assert parsed is None
        return
    assert parsed is not None
    assert (parsed.position.value, parsed.laterality) == (position, side)
    assert parsed.modifiers == set(modifiers.split())


@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "SCT"])
@pytest.mark.parametrize(
    ("snomed_rt", "codes_found"),
    [
        ("R-102D7", {"SPOT_COMPRESSION", "NON_STANDARD_VIEW"}),
        ("R-102D6", {"MAGNIFICATION", "NON_STANDARD_VIEW"}),
        ("R-102D5", {"IMPLANT_DISPLACED"}),
        ("R-102D3", {"ROLLED", "NON_STANDARD_VIEW"}),
        ("R-102D4", {"ROLLED", "NON_STANDARD_VIEW"}),
        ("R-102CA", {"ROLLED", "NON_STANDARD_VIEW"}),
        ("R-102C9", {"ROLLED", "NON_STANDARD_VIEW"}),
        ("R-102C2", {"TANGENTIAL", "NON_STANDARD_VIEW"}),
        ("R-102D2", {"CLEAVAGE", "NON_STANDARD_VIEW"}),
        ("R-102D1", {"AXILLARY_TAIL", "NON_STANDARD_VIEW"}),
        ("R-40AB2", {"AXILLARY_TISSUE", "NON_STANDARD_VIEW"}),
        ("P2-00161", {"ANTERIOR_COMPRESSION", "NON_STANDARD_VIEW"}),
        ("R-40ABE", {"INFRAMAMMARY_FOLD", "NON_STANDARD_VIEW"}),
        ("R-40AB3", {"NIPPLE_IN_PROFILE"}),
    ],
)
def test_every_modifier_has_its_code(snomed_rt: str, scheme: str, codes_found: set[str]) -> None:
    base, modifier = ("R-10226", snomed_rt)
    if scheme == "SCT":
        base, modifier = mapping["SRT"][base], mapping["SRT"][modifier]
    found = find(**LEFT, ViewCodeSequence=coded(base, scheme, modifier))
    assert set(found.quality) == codes_found
    assert found.view.position is (
        ViewPosition.AT if "AXILLARY_TAIL" in codes_found else ViewPosition.MLO
    )
    assert set(found.modifiers) == codes_found - {"NON_STANDARD_VIEW"}


@pytest.mark.parametrize(
    ("changes", "quality"),
    [
        ({**LEFT, "ViewPosition": "CC"}, ()),
        (LEFT, ("VIEW_UNKNOWN",)),
        ({**LEFT, "ViewPosition": "OTHER"}, ("VIEW_UNKNOWN",)),
        ({**LEFT, "ViewPosition": "XCCL"}, ("NON_STANDARD_VIEW",)),
        ({**LEFT, "ViewPosition": "FB"}, ("NON_STANDARD_VIEW",)),
        ({**LEFT, "ViewPosition": "TAN"}, ("NON_STANDARD_VIEW", "TANGENTIAL")),
        ({**LEFT, "ViewPosition": "CCID"}, ("IMPLANT_DISPLACED",)),
        ({**LEFT, "ViewPosition": "CCSPOT"}, ("NON_STANDARD_VIEW", "SPOT_COMPRESSION")),
        (
            {"SeriesDescription": "L CC MAG"},
            ("MAGNIFICATION", "NON_STANDARD_VIEW"),
        ),
        (
            {
                **LEFT,
                "ViewPosition": "CC",
                "ViewCodeSequence": coded("R-10242", "SRT", "R-102D7", "R-102D6"),
            },
            ("MAGNIFICATION", "NON_STANDARD_VIEW", "SPOT_COMPRESSION"),
        ),
        (  # beside View Code Sequence instead of inside
            {
                **LEFT,
                "ViewPosition": "CC",
                "ViewModifierCodeSequence": [code_item("R-102D7", "SRT")],
            },
            ("NON_STANDARD_VIEW", "SPOT_COMPRESSION"),
        ),
        (
            {**LEFT, "ViewCodeSequence": coded("R-10242", "SRT", "R-102D5", "R-102D7")},
            ("IMPLANT_DISPLACED", "NON_STANDARD_VIEW", "SPOT_COMPRESSION"),
        ),
        (  # an axillary tail is an MLO in the Standard
            {
                **LEFT,
                "ViewPosition": "MLO",
                "ViewCodeSequence": coded("R-10226", "SRT", "R-102D1"),
            },
            ("AXILLARY_TAIL", "NON_STANDARD_VIEW"),
        ),
        (
            {**LEFT, "ViewPosition": "CC", "ViewCodeSequence": coded("R-10226", "SRT")},
            ("VIEW_CONFLICT",),
        ),
        (
            {**LEFT, "ViewPosition": "CV", "ViewCodeSequence": coded("R-10242", "SRT")},
            ("CLEAVAGE", "NON_STANDARD_VIEW"),
        ),
        ({**LEFT, "ViewPosition": "CC", "PartialView": "YES"}, ("PARTIAL_VIEW",)),
        ({**LEFT, "ViewPosition": "CC", "PartialView": "NO"}, ()),
        (
            {
                **LEFT,
                "ViewPosition": "CC",
                "PartialViewCodeSequence": [code_item("R-404CC", "SRT")],
            },
            ("PARTIAL_VIEW",),
        ),
    ],
)
def test_quality(changes: dict[str, Any], quality: tuple[str, ...]) -> None:
    assert find(**changes).quality == quality
