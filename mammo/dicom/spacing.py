"""How large a pixel is, and in which plane (PS3.3 10.7).

A mammogram is magnified on its way to the detector: by some 5 % in a contact
view, by half to twice in a magnification view. The plane that counts is the
body's. In this order:

1. Pixel Spacing (0028,0030) with a Pixel Spacing Calibration Type (0028,0A02),
   or one that differs from Imager Pixel Spacing: it was corrected to the body;
2. Imager Pixel Spacing (0018,1164), which is of the detector, divided by
   Estimated Radiographic Magnification Factor (0018,1114), or by the distances
   from source to detector and to patient (0018,1110 and 1111);
3. Pixel Spacing alone: nothing says of what, the body is assumed;
4. Imager Pixel Spacing, a Pixel Spacing that only repeats it, or Nominal Scanned
   Pixel Spacing (0018,2010) of a film: of the detector, SPACING_DETECTOR.
"""

from __future__ import annotations

from dataclasses import dataclass

from mammo.dicom.tags import Tags

MAGNIFIED = 1.4
"""Factors above are of magnification views (1.5 to 2.0); contact views have 1.0 to 1.2."""
FACTORS = (1.0, 4.0)
"""The factors that a tube and a breast above a detector can have."""
SPACINGS_MM = (0.005, 0.9)
"""Sizes of a pixel that are believed; converters write 0 and 1 for unknown."""
CALIBRATIONS = frozenset(("GEOMETRY", "FIDUCIAL"))


@dataclass(frozen=True, slots=True)
class Spacing:
    """The distance of two rows in mm, its element, and the magnification factor."""

    mm: float | None
    source: str
    magnification: float | None
    quality: tuple[str, ...]


def read_spacing(tags: Tags) -> Spacing:
    """Read the spacing at the body, else at the detector; None where none is stated."""
    factor = _read_factor(tags)
    mm, source, at_detector = _find_spacing(tags, factor)
    codes = {
        "SPACING_DETECTOR": at_detector,
        "MAGNIFICATION": factor is not None and factor > MAGNIFIED,
        "NON_STANDARD_VIEW": factor is not None and factor > MAGNIFIED,
    }
    return Spacing(mm, source, factor, tuple(code for code, holds in codes.items() if holds))


def _find_spacing(tags: Tags, factor: float | None) -> tuple[float | None, str, bool]:
    """Return the spacing, its element, and whether it is known to be of the detector."""
    pixel = _read_mm(tags.in_frame("PixelSpacing"), "PixelSpacing")
    imager = _read_mm(tags, "ImagerPixelSpacing")
    corrected = tags.code("PixelSpacingCalibrationType") in CALIBRATIONS or pixel != imager
    if pixel and imager and corrected:
        return pixel, "PixelSpacing", False
    if imager and factor:
        return imager / factor, "ImagerPixelSpacing", False
    if imager:
        return imager, "ImagerPixelSpacing", True
    if pixel:
        return pixel, "PixelSpacing", False
    scanned = _read_mm(tags, "NominalScannedPixelSpacing")
    return scanned, "NominalScannedPixelSpacing" if scanned else "", scanned is not None


def _read_mm(tags: Tags, keyword: str) -> float | None:
    value = tags.number(keyword)
    low, high = SPACINGS_MM
    return value if value is not None and low <= value <= high else None


def _read_factor(tags: Tags) -> float | None:
    """Return the magnification factor, stated or from the distances; None if not credible."""
    factor = tags.number("EstimatedRadiographicMagnificationFactor")
    if factor is None:
        detector = tags.number("DistanceSourceToDetector")
        patient = tags.number("DistanceSourceToPatient")
        factor = detector / patient if detector and patient else None
    low, high = FACTORS
    return factor if factor is not None and low <= factor <= high else None
