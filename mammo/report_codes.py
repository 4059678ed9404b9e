"""The codes of the DICOM report: what the Standard has none for, under ``99MAMMO``."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from mammo.abstention import ABSTENTION_CODES

MANUFACTURER = "mammo"
PROBABILITY_OF_CANCER = Code("111047", "DCM", "Probability of cancer")
SCHEME = "99MAMMO"
MEANINGS = {
    "STATUS": "Status of analysis",
    "SCORED": "Scored",
    "RESERVED": "Scored, not to be relied on",
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


def reserve_code(code: str) -> Code:
    """Return the code of a reason not to rely on a score (`ABSTENTION_CODES`)."""
    told = ABSTENTION_CODES.get(code, code.replace("_", " ").capitalize())
    return Code(code, SCHEME, told.rstrip(".")[:64])  # a meaning has 64 characters (PS3.5 6.2, LO)


def percent(part: float) -> float:
    """Return percent with 4 decimals: a decimal string has 16 characters (PS3.5 6.2)."""
    return round(100.0 * part, 4)
