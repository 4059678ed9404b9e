"""What may be otherwise with phantoms: the scanner, its files, the women, some exams of them.

    Variation(noise=1.6, blur=1.5, exposure=1.3, ramp=True, scanners=("aurora",))

is a detector that ages: nothing at the first exam of the set, all of it at the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mammo.dicom.phantom_profiles import ScannerProfile
from mammo.errors import SourceInvalid

GOLDEN_RATIO = 0.6180339887498949
VIEWS = 4


@dataclass(frozen=True)
class Variation:
    """Changes of some exams of a set; the defaults change nothing.

    ``contrast`` multiplies the slope of the tone curve, ``brightness`` (in signal, fat
    0.3 and gland 1) is taken from its centre. ``noise``, ``blur``, ``sharpening`` and
    ``exposure`` (the header's mAs) multiply the profile's. ``window`` multiplies the width
    that the header gives for display. ``software_version`` is written instead of the
    profile's. ``older_years`` is added to the mean age of the women. ``lost_views`` is the
    share of exams of which one of the four views does not arrive.

    It holds for a share ``part`` of the exams, evenly spread, of the ``scanners`` named
    (all where none is); with ``ramp`` it grows in a line over the set.
    """

    contrast: float = 1.0
    brightness: float = 0.0
    noise: float = 1.0
    blur: float = 1.0
    sharpening: float = 1.0
    exposure: float = 1.0
    window: float = 1.0
    software_version: str | None = None
    older_years: float = 0.0
    lost_views: float = 0.0
    part: float = 1.0
    ramp: bool = False
    scanners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise SourceInvalid for a number out of range."""
        for name in ("part", "lost_views"):
            if not 0 <= getattr(self, name) <= 1:
                raise SourceInvalid(f"{name} is {getattr(self, name)}; it lies in 0 to 1.")
        for name in ("contrast", "noise", "blur", "sharpening", "exposure", "window"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SourceInvalid(f"{name} is {getattr(self, name)}; it is a factor above 0.")

    def holds(self, scanner: str, index: int, seed: int) -> bool:
        """Whether exam ``index`` of a set, made by ``scanner``, is changed."""
        named = not self.scanners or scanner in self.scanners
        return named and (self.part >= 1 or spread(index, self.part, (seed, 2)))

    def strength(self, index: int, exams: int) -> float:
        """Return how much of the change there is at exam ``index`` of ``exams``, in [0, 1]."""
        return index / max(exams - 1, 1) if self.ramp else 1.0

    def applied(self, profile: ScannerProfile, strength: float = 1.0) -> ScannerProfile:
        """Return the scanner as it is with ``strength`` of the change; factors grow as powers."""
        tone = replace(
            profile.tone,
            steepness=profile.tone.steepness * self.contrast**strength,
            centre=profile.tone.centre - self.brightness * strength,
        )
        return replace(
            profile,
            tone=tone,
            noise=profile.noise * self.noise**strength,
            blur_mm=profile.blur_mm * self.blur**strength,
            sharpening=profile.sharpening * self.sharpening**strength,
            # a noisier detector is not given a lower dose, which `draw_exposure` would
            # take from its noise
            exposure=profile.exposure * (self.exposure * np.sqrt(self.noise)) ** strength,
            window=self._windowed(profile, strength),
            software_version=self.software_version or profile.software_version,
        )

    def lost_view(self, index: int, seed: int) -> int | None:
        """Return which of the four views of exam ``index`` is lost, or None."""
        if not spread(index, self.lost_views, (seed, 3)):
            return None
        return int(np.random.default_rng([seed, 3, index]).integers(VIEWS))

    def _windowed(
        self, profile: ScannerProfile, strength: float
    ) -> tuple[float, float, str] | None:
        if profile.window is None or self.window == 1:
            return profile.window
        centre, width, function = profile.window
        return centre, width * self.window**strength, function


def spread(index: int, share: float, seed: tuple[int, ...]) -> bool:
    """Whether ``index`` is of a share of all: within one or two in any stretch.

    Places follow the golden ratio from a first one that ``seed`` draws.
    """
    first = np.random.default_rng(seed).random()
    return bool((first + index * GOLDEN_RATIO) % 1 < share)
