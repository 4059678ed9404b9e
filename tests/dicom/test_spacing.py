"""Spacing elements as devices write them -> mm at the body or at the detector."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from mammo.dicom.file import parse_file
from mammo.dicom.spacing import Spacing, read_spacing
from mammo.dicom.tags import Tags

from .builders import make_file

BODY, DETECTOR = False, True


def read(**changes: Any) -> Spacing:
    file = parse_file(make_file(**changes), 2**20)
    return read_spacing(Tags(file.dataset, file.little_endian))


def measures(mm: str) -> list[Dataset]:
    """Return a functional group with Pixel Measures."""
    macro, group = Dataset(), Dataset()
    macro.PixelSpacing = [mm, mm]
    group.PixelMeasuresSequence = [macro]
    return [group]


def spaced(pixel: str | None = None, imager: str | None = None, **more: Any) -> dict[str, Any]:
    found = {"PixelSpacing": pixel, "ImagerPixelSpacing": imager}
    return {name: [mm, mm] for name, mm in found.items() if mm} | more


@pytest.mark.parametrize(
    ("changes", "mm", "source", "plane"),
    [
        ({}, None, "", BODY),
        (spaced(imager="0.07"), 0.07, "ImagerPixelSpacing", DETECTOR),
        (spaced(pixel="0.065"), 0.065, "PixelSpacing", BODY),
        (spaced(pixel="0.065", imager="0.07"), 0.065, "PixelSpacing", BODY),
        (spaced(pixel="0.07", imager="0.07"), 0.07, "ImagerPixelSpacing", DETECTOR),
        (
            spaced(pixel="0.07", imager="0.07", PixelSpacingCalibrationType="GEOMETRY"),
            0.07,
            "PixelSpacing",
            BODY,
        ),
        (
            spaced(pixel="0.07", imager="0.07", PixelSpacingCalibrationType="FIDUCIAL"),
            0.07,
            "PixelSpacing",
            BODY,
        ),
        (
            spaced(imager="0.07", EstimatedRadiographicMagnificationFactor="1.0769"),
            0.07 / 1.0769,
            "ImagerPixelSpacing",
            BODY,
        ),
        (
            spaced("0.07", "0.07", EstimatedRadiographicMagnificationFactor="1.0769"),
            0.07 / 1.0769,
            "ImagerPixelSpacing",
            BODY,
        ),
        (
            spaced("0.065", "0.07", EstimatedRadiographicMagnificationFactor="1.2"),
            0.065,
            "PixelSpacing",
            BODY,
        ),
        (
            spaced(imager="0.094", EstimatedRadiographicMagnificationFactor="1"),
            0.094,
            "ImagerPixelSpacing",
            BODY,
        ),
        (
            spaced(imager="0.07", DistanceSourceToDetector="700", DistanceSourceToPatient="650"),
            0.07 * 650 / 700,
            "ImagerPixelSpacing",
            BODY,
        ),
        (
            spaced(imager="0.07", DistanceSourceToDetector="700", DistanceSourceToPatient="0"),
            0.07,
            "ImagerPixelSpacing",
            DETECTOR,
        ),
        (
            spaced(imager="0.07", EstimatedRadiographicMagnificationFactor="0"),
            0.07,
            "ImagerPixelSpacing",
            DETECTOR,
        ),
        (
            spaced(imager="0.07", EstimatedRadiographicMagnificationFactor="107"),
            0.07,
            "ImagerPixelSpacing",
            DETECTOR,
        ),
        (
            {"NominalScannedPixelSpacing": ["0.05", "0.05"]},
            0.05,
            "NominalScannedPixelSpacing",
            DETECTOR,
        ),
        (spaced(pixel="0", imager="0.07"), 0.07, "ImagerPixelSpacing", DETECTOR),
        (spaced(pixel="1"), None, "", BODY),
        (spaced(pixel="0"), None, "", BODY),
        ({"SharedFunctionalGroupsSequence": measures("0.1")}, 0.1, "PixelSpacing", BODY),
    ],
)
def test_spacing(changes: dict[str, Any], mm: float | None, source: str, plane: bool) -> None:
    spacing = read(**changes)
    assert spacing.mm == (pytest.approx(mm) if mm else None)
    assert (spacing.source, "SPACING_DETECTOR" in spacing.quality) == (source, plane)


@pytest.mark.parametrize(
    ("changes", "magnified"),
    [
        ({"EstimatedRadiographicMagnificationFactor": "1.07"}, False),
        ({"EstimatedRadiographicMagnificationFactor": "1.2"}, False),
        ({"EstimatedRadiographicMagnificationFactor": "1.5"}, True),
        ({"EstimatedRadiographicMagnificationFactor": "1.8"}, True),
        ({"DistanceSourceToDetector": "650", "DistanceSourceToPatient": "361"}, True),
        ({"EstimatedRadiographicMagnificationFactor": "180"}, False),
    ],
)
def test_magnification(changes: dict[str, Any], magnified: bool) -> None:
    codes = ("MAGNIFICATION", "NON_STANDARD_VIEW") if magnified else ()
    assert read(**changes).quality == codes
