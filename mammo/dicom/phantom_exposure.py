"""How a phantom breast is pressed and exposed: what its header says besides the image.

Numbers as screening has them (compressed thickness 20 to 110 mm about 57, force
50 to 200 N about 110, 25 to 34 kV, some 30 to 250 mAs): a choice, of the size that
dose surveys report. Automatic exposure raises voltage and charge with thickness,
and charge with dense tissue; a scanner of less noise exposes more.
"""

from __future__ import annotations

import numpy as np

from mammo.dicom.phantom_patient import Patient
from mammo.dicom.phantom_profiles import ScannerProfile
from mammo.exam import Exposure, View, ViewPosition

USUAL_NOISE = 0.025
"""Noise of a profile that exposes with 70 mAs behind a usual breast."""


def draw_exposure(
    patient: Patient, view: View, profile: ScannerProfile, rng: np.random.Generator
) -> Exposure:
    """Return the header's numbers for one view, rounded as devices write them."""
    oblique = 3.0 if view.position is ViewPosition.MLO else 0.0
    thickness = 57 + 0.6 * (patient.depth_mm - 84) + oblique + rng.normal(0, 7)
    thickness = float(np.clip(thickness, 20, 110))
    force = 110 + 0.5 * (thickness - 57) + rng.normal(0, 20)
    kvp = 25 + thickness / 15 + rng.normal(0, 0.3)
    charge = 70 * np.exp((thickness - 57) / 40) * (0.8 + 0.5 * patient.glandular)
    charge *= np.sqrt(USUAL_NOISE / profile.noise) * np.exp(rng.normal(0, 0.08))
    charge *= profile.exposure
    return Exposure(
        round(thickness), round(float(np.clip(force, 50, 200))), round(kvp), round(charge)
    )
