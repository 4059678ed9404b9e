"""The nouns: what a screening exam is made of.

Patient (the unit of splits and of every interval) > Exam (one screening visit;
a DICOM Study) > Breast (exam + laterality; the unit of prediction) > Mammogram
(one image of one View). All ids here are pseudonyms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Self

from mammo.logit_curve import Curve, calibrated_logit, curve_from_dict, curve_to_dict, sigmoid


class Laterality(StrEnum):
    """Side of the breast: Image Laterality (0020,0062), values L and R."""

    LEFT = "L"
    RIGHT = "R"
    UNKNOWN = "U"


class ViewPosition(StrEnum):
    """Projection: View Position (0018,5101); PS3.16 CID 4014 in short form."""

    CC = "CC"
    MLO = "MLO"
    ML = "ML"
    LM = "LM"
    LMO = "LMO"
    AT = "AT"
    XCC = "XCC"
    XCCL = "XCCL"
    XCCM = "XCCM"
    FB = "FB"
    SIO = "SIO"
    ISO = "ISO"
    UNKNOWN = "U"


STANDARD_VIEWS = (ViewPosition.CC, ViewPosition.MLO)


@dataclass(frozen=True, slots=True)
class View:
    """A laterality and a projection, for example L MLO."""

    laterality: Laterality
    position: ViewPosition

    def __str__(self) -> str:
        return f"{self.laterality.value} {self.position.value}"

    @property
    def is_standard(self) -> bool:
        """True for the four screening views: CC and MLO of either breast."""
        return self.laterality != Laterality.UNKNOWN and self.position in STANDARD_VIEWS


@dataclass(frozen=True, slots=True)
class Scanner:
    """The device that made the image; the main axis of drift.

    Manufacturer (0008,0070), Manufacturer's Model Name (0008,1090) and
    Software Versions (0018,1020), stripped; empty where the file has none.
    """

    manufacturer: str = ""
    model: str = ""
    software_version: str = ""

    @property
    def key(self) -> str:
        """``manufacturer/model``, the name of the stratum; ``unknown`` if both are empty."""
        parts = [part for part in (self.manufacturer, self.model) if part]
        return "/".join(parts) or "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """A marked region in the pixels of the original image (x right, y down).

    The box is half-open, in pixels: x_min <= x < x_max. ``score`` is in [0, 1],
    1.0 for a reader's annotation. ``malignant`` is what pathology said of this
    region and ``birads`` its assessment, 0 to 6; None where nobody told.
    """

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    kind: str
    score: float = 1.0
    malignant: bool | None = None
    birads: int | None = None


def parse_findings(text: str | None) -> tuple[Finding, ...]:
    """Return the findings of a row of the index: JSON, a list of their fields."""
    return tuple(Finding(**one) for one in json.loads(text or "[]"))


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the breast was pressed and exposed; None where the header does not tell.

    Body Part Thickness (0018,11A0) in mm, Compression Force (0018,11A2) in newton,
    KVP (0018,0060) in kilovolt peak and Exposure (0018,1152) in mAs.
    """

    thickness_mm: float | None = None
    compression_n: float | None = None
    kvp: float | None = None
    exposure_mas: float | None = None


@dataclass(frozen=True, slots=True)
class Mammogram:
    """What is known of one image besides its pixels; ids are pseudonyms.

    ``acquired_on`` is Acquisition or Content or Study Date; ``age_years`` is
    0-120 or None; ``quality`` holds codes such as ``NON_STANDARD_VIEW``.
    """

    image_id: str
    exam_id: str
    patient_id: str
    view: View
    scanner: Scanner
    site: str
    acquired_on: date | None
    age_years: int | None
    rows: int
    columns: int
    sha256: str
    implant: bool | None = None
    spacing_mm: float | None = None
    quality: tuple[str, ...] = ()
    exposure: Exposure = Exposure()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an exam: cancer or not, and since when that is known.

    An exam without an outcome is unlabelled, never negative.
    ``laterality`` is None when the outcome is of the exam as a whole.
    """

    exam_id: str
    cancer: bool
    known_at: datetime
    source: str
    laterality: Laterality | None = None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where a scanner's scores become a decision.

    The calibrated probability of a breast is
    ``sigmoid(curve(scale * logit + offset))``, without ``curve`` the plain
    sigmoid of the line (:mod:`mammo.logit_curve`); the breast is recalled when
    it is at least ``threshold``. ``target_recall_rate`` is per exam, in [0, 1]:
    the target itself or, where a specificity or a sensitivity was the target,
    the recall rate that came with it, which a new scanner is held to.
    """

    scanner: str
    scale: float
    offset: float
    threshold: float
    target_recall_rate: float
    curve: Curve | None = None
    target_specificity: float | None = None
    target_sensitivity: float | None = None

    def probability(self, logit: float) -> float:
        """Return the calibrated probability of a breast, in [0, 1], from its raw logit."""
        return float(sigmoid(calibrated_logit(logit, self.scale, self.offset, self.curve)))

    def recalls(self, logit: float) -> bool:
        """True when a breast of this raw logit is recalled."""
        return self.probability(logit) >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data; what is not set is left out, as before it existed."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.curve is not None:
            data["curve"] = curve_to_dict(self.curve)
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build from `to_dict`'s data; ValueError for a curve that could not be monotone."""
        return cls(**(dict(data) | {"curve": curve_from_dict(data.get("curve"))}))
