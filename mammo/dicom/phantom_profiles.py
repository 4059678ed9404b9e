"""The phantom's scanners: five invented vendors that differ as vendors do.

Each has its own noise, sharpness, edge enhancement, tone curve, window or
look-up table, pixel spacing, photometric interpretation and codec.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

FIELD_MM = (230.0, 180.0)
FULL_SCALE = 4095


@dataclass(frozen=True)
class ToneCurve:
    """How signal (fat about 0.3, gland about 1) becomes brightness in [0, 1].

    A logistic curve about ``centre`` of slope ``steepness``, raised to ``gamma``;
    ``knee`` in [0, 1] mixes in a straight line, 1 being all logistic.
    """

    centre: float
    steepness: float
    gamma: float = 1.0
    knee: float = 1.0


@dataclass(frozen=True)
class ScannerProfile:
    """One invented vendor.

    ``noise`` is the standard deviation of log exposure behind fat; ``blur_mm``
    the detector's; ``noise_blur_mm`` what correlates the noise; ``sharpening``
    the weight of the unsharp mask of radius ``sharpening_mm``;
    ``equalisation`` in (0, 1] the power of thickness at the edge, small where
    the vendor lifts it. ``window`` is (centre, width, VOI LUT Function);
    None where the file holds a VOI LUT Sequence instead. ``exposure`` multiplies
    the charge that is usual for such noise.
    """

    name: str
    description: str
    manufacturer: str
    model: str
    software_version: str
    machine_id: int
    site_id: int
    spacing_mm: float
    noise: float
    blur_mm: float
    noise_blur_mm: float
    sharpening: float
    sharpening_mm: float
    equalisation: float
    skin_line: float
    tone: ToneCurve
    window: tuple[float, float, str] | None
    inverted: bool = False
    transfer_syntax: UID = ExplicitVRLittleEndian
    peak: int = FULL_SCALE
    exposure: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the detector."""
        return round(FIELD_MM[0] / self.spacing_mm), round(FIELD_MM[1] / self.spacing_mm)


SCANNER_PROFILES: dict[str, ScannerProfile] = {
    profile.name: profile
    for profile in (
        ScannerProfile(
            name="aurora",
            description="sharp, low noise; linear window; uncompressed",
            manufacturer="Phantom Aurora",
            model="Lumen 3D",
            software_version="4.1.0",
            machine_id=901,
            site_id=1,
            spacing_mm=0.2,
            noise=0.018,
            blur_mm=0.13,
            noise_blur_mm=0.08,
            sharpening=0.7,
            sharpening_mm=1.2,
            equalisation=0.45,
            skin_line=0.10,
            tone=ToneCurve(0.66, 3.0),
            window=(2048, 4096, "LINEAR"),
        ),
        ScannerProfile(
            name="borealis",
            description="soft tone curve shown through a sigmoid window; JPEG Lossless",
            manufacturer="Phantom Borealis",
            model="Senta 500",
            software_version="ADS_55.2",
            machine_id=902,
            site_id=1,
            spacing_mm=0.19,
            noise=0.024,
            blur_mm=0.18,
            noise_blur_mm=0.12,
            sharpening=0.4,
            sharpening_mm=0.8,
            equalisation=0.6,
            skin_line=0.06,
            tone=ToneCurve(0.66, 2.4, knee=0.6),
            window=(1850, 2200, "SIGMOID"),
            transfer_syntax=JPEGLosslessSV1,
            peak=3900,
        ),
        ScannerProfile(
            name="cygnus",
            description="MONOCHROME1, coarse pixels, a little noisy; RLE",
            manufacturer="Phantom Cygnus",
            model="Amulet II",
            software_version="V7.0(011)",
            machine_id=903,
            site_id=2,
            spacing_mm=0.24,
            noise=0.030,
            blur_mm=0.20,
            noise_blur_mm=0.10,
            sharpening=0.9,
            sharpening_mm=1.6,
            equalisation=0.5,
            skin_line=0.08,
            tone=ToneCurve(0.72, 2.8, gamma=0.9),
            window=(2048, 4095, "LINEAR_EXACT"),
            inverted=True,
            transfer_syntax=RLELossless,
        ),
        ScannerProfile(
            name="draco",
            description="the new scanner: harsh tone curve, soft and noisy; JPEG-LS",
            manufacturer="Phantom Draco",
            model="Wyvern X",
            software_version="1.0.3",
            machine_id=904,
            site_id=2,
            spacing_mm=0.22,
            noise=0.045,
            blur_mm=0.50,
            noise_blur_mm=0.28,
            sharpening=0.0,
            sharpening_mm=1.0,
            equalisation=0.3,
            skin_line=0.16,
            tone=ToneCurve(0.52, 5.0, gamma=0.85),
            window=(2048, 4096, "LINEAR"),
            transfer_syntax=JPEGLSLossless,
        ),
        ScannerProfile(
            name="eridanus",
            description="VOI LUT Sequence in place of a window; JPEG 2000 lossless",
            manufacturer="Phantom Eridanus",
            model="Mira",
            software_version="VB30A",
            machine_id=905,
            site_id=1,
            spacing_mm=0.25,
            noise=0.022,
            blur_mm=0.16,
            noise_blur_mm=0.10,
            sharpening=0.5,
            sharpening_mm=1.0,
            equalisation=0.5,
            skin_line=0.09,
            tone=ToneCurve(0.70, 2.2, knee=0.5),
            window=None,
            transfer_syntax=JPEG2000Lossless,
            peak=3600,
        ),
    )
}


def list_profiles() -> dict[str, str]:
    """Return each profile's name with a line for the command's help."""
    return {
        name: f"{p.manufacturer} {p.model}, {p.spacing_mm} mm: {p.description}"
        for name, p in SCANNER_PROFILES.items()
    }
