"""The codes of the documents: the Standard's, and those that it lacks, under ``99MAMMO``."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammo.abstention import ABSTENTION_CODES

MANUFACTURER = "mammo"
PROBABILITY_OF_CANCER = Code("111047", "DCM", "Probability of cancer")
SCHEME = "99MAMMO"
MEANINGS = {
    "STATUS": "Status of analysis",
    "SCORED": "Scored",
    "RESERVED": "Scored, not to be relied on",
    "PARTLY": "Scored, not from all images",
    "FAILED": "Not scored",
    "FAILURE": "Reason why it was not scored",
    "SCALE": "Tenth of the reference exams",
    "THRESHOLD": "Probability from which a breast is recalled",
    "DECISION": "Decision at the operating point",
    "RECALL": "Recall",
    "NO_RECALL": "No recall",
    "ABSTENTION": "Reason not to rely on the score",
    "EVIDENCE": "Part of the evidence of the view",
    "EXAM": "Screening exam",
    "BREAST": "Breast of a screening exam",
    "REGION": "Region that speaks for the target",
}
BREASTS: dict[str | None, Code] = {
    "L": codes.SCT.LeftBreast,
    "R": codes.SCT.RightBreast,
    None: codes.SCT.BothBreasts,
}
VIEWS = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
    "ML": ("399260004", "medio-lateral"),
    "LM": ("399352003", "latero-medial"),
    "LMO": ("399099002", "latero-medial oblique"),
    "FB": ("399196006", "caudo-cranial (from below)"),
    "SIO": ("399188001", "superolateral to inferomedial oblique"),
    "ISO": ("441555000", "inferomedial to superolateral oblique"),
    "XCC": ("399265009", "cranio-caudal exaggerated"),
    "XCCL": ("399192008", "cranio-caudal exaggerated laterally"),
    "XCCM": ("399101009", "cranio-caudal exaggerated medially"),
}
"""View Position -> SNOMED CT code and meaning; an axillary tail is a modifier, no projection."""


def own_scheme() -> Dataset:
    """Return what says whose codes `SCHEME` are (PS3.3 C.12.1)."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Codes of mammo, decision support in screening"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def own_code(value: str) -> Code:
    """Return the code of a value of `MEANINGS`."""
    return Code(value, SCHEME, MEANINGS[value])


def decision_code(recall: bool) -> Code:
    """Return the code of a decision."""
    return own_code("RECALL" if recall else "NO_RECALL")


def failure_code(code: str) -> Code:
    """Return the code of a failure, a stable code of `mammo.errors`."""
    return Code(code, SCHEME, code.replace("_", " ").capitalize()[:64])


def reserve_code(code: str) -> Code:
    """Return the code of a reason not to rely on a score (`ABSTENTION_CODES`)."""
    told = ABSTENTION_CODES.get(code, code.replace("_", " ").capitalize())
    return Code(code, SCHEME, told.rstrip(".")[:64])  # a meaning has 64 characters (PS3.5 6.2, LO)


def percent(part: float) -> float:
    """Return percent with 4 decimals: a decimal string has 16 characters (PS3.5 6.2)."""
    return round(100.0 * part, 4)


def breast_code(side: str | None) -> Code | None:
    """Return the breast of a side L or R, both for None (PS3.16 CID 6022); None for another."""
    return BREASTS.get(side)


def view_code(view: str) -> Code | None:
    """Return the projection (PS3.16 CID 4014) of a `ViewPosition` value; None where it has none."""
    found = VIEWS.get(view)
    return None if found is None else Code(found[0], "SCT", found[1])
