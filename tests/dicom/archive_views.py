"""Edge cases of the view: side, projection, modifiers, and what contradicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from mammo.exam import ViewPosition

from .archive_cases import Case
from .builders import code_item, make_file

SIDE, PROJECTION, MODIFIER, CONFLICT = "side", "projection", "view modifier", "contradiction"
BARE: dict[str, Any] = {"ImageLaterality": None, "ViewPosition": None}
LEFT: dict[str, Any] = {"ImageLaterality": "L", "ViewPosition": None}
PLAIN = (ViewPosition.CC, ViewPosition.MLO)
PROJECTIONS: dict[str, tuple[str, str]] = {
    "CC": ("399162004", "R-10242"), "MLO": ("399368009", "R-10226"),
    "ML": ("399260004", "R-10224"), "LM": ("399352003", "R-10228"),
    "LMO": ("399099002", "R-10230"), "FB": ("399196006", "R-10244"),
    "SIO": ("399188001", "R-102D0"), "ISO": ("441555000", "R-40AAA"),
    "XCCL": ("399192008", "R-1024A"), "XCCM": ("399101009", "R-1024B"),
}  # fmt: skip
"""PS3.16 CID 4014: projection -> SNOMED CT, SNOMED RT."""
MODIFIERS: dict[str, tuple[str, str, str]] = {
    "spot compression": ("399055006", "R-102D7", "SPOT_COMPRESSION"),
    "magnification": ("399163009", "R-102D6", "MAGNIFICATION"),
    "implant displaced": ("399209000", "R-102D5", "IMPLANT_DISPLACED"),
    "rolled lateral": ("399197002", "R-102D3", "ROLLED"),
    "rolled medial": ("399226006", "R-102D4", "ROLLED"),
    "rolled inferior": ("414493004", "R-102CA", "ROLLED"),
    "rolled superior": ("415670009", "R-102C9", "ROLLED"),
    "tangential": ("399110001", "R-102C2", "TANGENTIAL"),
    "cleavage": ("399161006", "R-102D2", "CLEAVAGE"),
    "axillary tail": ("399011000", "R-102D1", "AXILLARY_TAIL"),
    "axillary tissue": ("442580003", "R-40AB2", "AXILLARY_TISSUE"),
    "anterior compression": ("441752004", "P2-00161", "ANTERIOR_COMPRESSION"),
    "inframammary fold": ("442593008", "R-40ABE", "INFRAMAMMARY_FOLD"),
    "nipple in profile": ("442581004", "R-40AB3", "NIPPLE_IN_PROFILE"),
}
"""PS3.16 CID 4015: modifier -> SNOMED CT, SNOMED RT, quality code."""


def anatomy(value: str, scheme: str, modifier: str = "") -> list[Dataset]:
    """Return an Anatomic Region Sequence."""
    item = code_item(value, scheme)
    if modifier:
        item.AnatomicRegionModifierSequence = [code_item(modifier, scheme)]
    return [item]


def view_code(value: str, scheme: str, *modifiers: str) -> list[Dataset]:
    """Return a View Code Sequence."""
    item = code_item(value, scheme)
    item.ViewModifierCodeSequence = [code_item(one, scheme) for one in modifiers]
    return [item]


def case(topic: str, name: str, expected: str, **changes: Any) -> Case:
    """Return a case of a mammogram without side and projection but these elements."""
    return Case(topic, name, expected, lambda: make_file(**(BARE | changes)))


def _projections() -> Iterator[Case]:
    for name, (concept, identifier) in PROJECTIONS.items():
        codes = "" if ViewPosition(name) in PLAIN else " NON_STANDARD_VIEW"
        for scheme in ("SCT", "SRT", "SNM3"):
            value = concept if scheme == "SCT" else identifier
            coded = view_code(value, scheme)
            yield case(PROJECTION, f"{name} in {scheme}", f"L {name}{codes}",
                       **LEFT | {"ViewCodeSequence": coded})  # fmt: skip
        yield case(PROJECTION, f"{name} as View Position", f"L {name}{codes}",
                   ImageLaterality="L", ViewPosition=name)  # fmt: skip


def _modifiers() -> Iterator[Case]:
    for name, (concept, identifier, code) in MODIFIERS.items():
        codes = {code}
        if code not in ("IMPLANT_DISPLACED", "NIPPLE_IN_PROFILE"):
            codes.add("NON_STANDARD_VIEW")
        if code == "IMPLANT_DISPLACED":
            codes.add("IMPLANT")
        position = "AT" if code == "AXILLARY_TAIL" else "MLO"
        expected = " ".join((f"L {position}", *sorted(codes)))
        for scheme in ("SCT", "SRT", "SNM3"):
            value = concept if scheme == "SCT" else identifier
            mlo = PROJECTIONS["MLO"][0 if scheme == "SCT" else 1]
            coded = view_code(mlo, scheme, value)
            yield case(MODIFIER, f"{name} in {scheme}", expected,
                       **LEFT | {"ViewCodeSequence": coded})  # fmt: skip


CBIS = "Calc-Training_P_00123_RIGHT_CC"
CASES: tuple[Case, ...] = (
    case(SIDE, "Image Laterality", "R CC", ImageLaterality="R", ViewPosition="CC"),
    case(SIDE, "Image Laterality in a word", "R CC", ImageLaterality="RIGHT", ViewPosition="CC"),
    case(SIDE, "Laterality of the series", "R CC", Laterality="R", ViewPosition="CC"),
    case(SIDE, "Laterality where Image Laterality is empty", "R CC", ImageLaterality="",
         Laterality="R", ViewPosition="CC"),
    case(SIDE, "anatomy: left breast, SCT", "L CC", ViewPosition="CC",
         AnatomicRegionSequence=anatomy("80248007", "SCT")),
    case(SIDE, "anatomy: right breast, SRT", "R CC", ViewPosition="CC",
         AnatomicRegionSequence=anatomy("T-04020", "SRT")),
    case(SIDE, "anatomy: breast with the modifier right, SNM3", "R CC", ViewPosition="CC",
         AnatomicRegionSequence=anatomy("T-04000", "SNM3", "G-A100")),
    case(SIDE, "anatomy: breast with the modifier left, SCT", "L CC", ViewPosition="CC",
         AnatomicRegionSequence=anatomy("76752008", "SCT", "7771000")),
    case(SIDE, "in View Position", "R MLO", ViewPosition="RMLO"),
    case(SIDE, "in Patient ID (CBIS-DDSM)", "R CC", PatientID=CBIS),
    case(SIDE, "in Series Description", "R MLO", SeriesDescription="Screening R MLO"),
    case(SIDE, "in Protocol Name", "L CC", ProtocolName="Screening L-CC"),
    case(SIDE, "Patient Orientation of an oblique", "R MLO", PatientOrientation=["P", "FL"]),
    case(SIDE, "Patient Orientation of a CC tells no side", "VIEW_UNKNOWN",
         PatientOrientation=["A", "R"]),
    case(SIDE, "both breasts", "VIEW_UNKNOWN", ImageLaterality="B", ViewPosition="CC"),
    case(SIDE, "both breasts, of a series of the left one", "VIEW_UNKNOWN", ImageLaterality="B",
         Laterality="L", ViewPosition="CC"),
    case(SIDE, "nowhere", "VIEW_UNKNOWN", ViewPosition="CC"),
    case(SIDE, "inside a word", "VIEW_UNKNOWN", PatientID="ALRIGHT_CCX"),
    *_projections(),
    case(PROJECTION, "View Position with side and suffix", "L CC IMPLANT IMPLANT_DISPLACED",
         ViewPosition="LCCID"),
    case(PROJECTION, "View Position with the prefix of a spot view",
         "R CC MAGNIFICATION NON_STANDARD_VIEW SPOT_COMPRESSION", ViewPosition="RSMCC"),
    case(PROJECTION, "a site's own code, by its meaning", "L MLO", **LEFT | {"ViewCodeSequence": [
        code_item("X1", "99SITE", CodeMeaning="Medio-lateral Oblique")]}),
    case(PROJECTION, "a code that is none, then View Position", "L MLO", ImageLaterality="L",
         ViewPosition="MLO", ViewCodeSequence=view_code("R-99999", "SRT")),
    case(PROJECTION, "in Patient Orientation (CBIS-DDSM)", "L MLO", **LEFT | {
        "PatientOrientation": "MLO"}),
    case(PROJECTION, "by the direction of the columns", "L CC", **LEFT | {
        "PatientOrientation": ["A", "R"]}),
    case(PROJECTION, "nowhere: kept", "L U VIEW_UNKNOWN", **LEFT),
    case(PROJECTION, "a specimen", "NOT_MAMMOGRAPHY", ImageLaterality="L",
         ViewPosition="SPECIMEN"),
    case(PROJECTION, "a specimen, coded", "NOT_MAMMOGRAPHY", **LEFT | {
        "ViewCodeSequence": view_code("G-8310", "SRT")}),
    *_modifiers(),
    case(MODIFIER, "two at once", "L CC MAGNIFICATION NON_STANDARD_VIEW SPOT_COMPRESSION",
         **LEFT | {"ViewCodeSequence": view_code("R-10242", "SRT", "R-102D7", "R-102D6")}),
    case(CONFLICT, "Image Laterality L, Laterality R", "L CC LATERALITY_CONFLICT",
         ImageLaterality="L", Laterality="R", ViewPosition="CC"),
    case(CONFLICT, "Image Laterality L, anatomy right", "L CC LATERALITY_CONFLICT",
         ImageLaterality="L", ViewPosition="CC",
         AnatomicRegionSequence=anatomy("T-04020", "SRT")),
    case(CONFLICT, "Image Laterality L, free text right: no evidence", "L CC",
         ImageLaterality="L", ViewPosition="CC", SeriesDescription="R CC"),
    case(CONFLICT, "code MLO, View Position CC", "L MLO VIEW_CONFLICT", ImageLaterality="L",
         ViewPosition="CC", ViewCodeSequence=view_code("R-10226", "SRT")),
    case(CONFLICT, "code MLO and axillary tail, View Position AT",
         "L AT AXILLARY_TAIL NON_STANDARD_VIEW", ImageLaterality="L", ViewPosition="AT",
         ViewCodeSequence=view_code("R-10226", "SRT", "R-102D1")),
    case(CONFLICT, "L MLO whose columns run to the left side's far end",
         "L MLO ORIENTATION_CONFLICT", ImageLaterality="L", ViewPosition="MLO",
         PatientOrientation=["A", "FL"]),
)  # fmt: skip
