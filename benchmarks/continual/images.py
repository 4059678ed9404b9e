"""What scanners make of the women: image features and header values.

Every channel is a sum of hidden factors (density, thickness, detector) and a heavy-tailed
rest, in SD within a stratum; then the scanner's own level, gain and unit are put on.
Image features have the middle, spread, correlation and dependence on density that this
project's preprocessing measures on mini-MIAS (112 women, both breasts, one film digitiser;
`benchmarks.mini_mias.ingested`); exposure has none there, its loads are choices with the
sign of physics (thick breasts need more exposure).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.continual.events import (
    CHANNELS,
    EMBEDDING_WIDTH,
    HEADER_CHANNELS,
    IMAGE_CHANNELS,
    Effects,
)
from benchmarks.continual.volumes import Floats, Ints, list_machines
from benchmarks.continual.women import Women, density_thickness

TAIL_FREEDOM = 8.0
"""Degrees of freedom of the rests: multivariate t, as implants and odd exams are odd in all.
mini-MIAS has lighter tails (excess kurtosis 0.5), but no implants and no technical failures."""
LOADS = np.array(
    [  # density (images: of mini-MIAS), thickness, detector
        [0.49, -0.10, 0.15],  # mean_intensity
        [0.74, -0.05, -0.10],  # contrast
        [-0.27, -0.15, 0.35],  # sharpness
        [-0.34, 0.10, 0.35],  # noise
        [-0.24, 0.25, 0.00],  # breast_fraction
        [0.00, 0.95, 0.00],  # thickness_mm
        [0.00, 0.30, 0.00],  # compression_n
        [0.10, 0.90, 0.00],  # kvp
        [0.40, 0.65, 0.10],  # exposure_mas
    ]
)
IMAGE_CORRELATION = np.array(
    [
        [1.00, 0.27, -0.08, -0.26, -0.13],
        [0.27, 1.00, -0.58, -0.32, 0.00],
        [-0.08, -0.58, 1.00, 0.59, -0.28],
        [-0.26, -0.32, 0.59, 1.00, -0.15],
        [-0.13, 0.00, -0.28, -0.15, 1.00],
    ]
)
"""Of the image features among the exams of mini-MIAS."""
DETECTOR_DAY, DETECTOR_SEASON = 0.05, 0.03
"""A scanner's state differs from day to day (calibration) and with the room's temperature."""
SCANNER_SPREAD, VERSION_SPREAD = 0.7, 0.15
"""How far scanners, and versions of one, lie apart in each channel, in SD."""
UNITS: dict[str, tuple[float, float, bool]] = {
    # middle, SD (relative where logarithmic), logarithmic
    "mean_intensity": (0.59, 0.063, False),
    "contrast": (0.24, 0.12, True),
    "sharpness": (0.066, 0.16, True),
    "noise": (0.0043, 0.16, True),
    "breast_fraction": (0.60, 0.077, False),
    "thickness_mm": (58.0, 13.0, False),
    "compression_n": (105.0, 0.25, True),
    "kvp": (28.5, 1.4, False),
    "exposure_mas": (85.0, 0.30, True),
}
LIMITS = {
    "mean_intensity": (0.0, 1.0),
    "contrast": (0.0, 0.5),
    "breast_fraction": (0.05, 1.0),
    "thickness_mm": (15.0, 120.0),
    "compression_n": (20.0, 250.0),
    "kvp": (22.0, 40.0),
    "exposure_mas": (5.0, 400.0),
}
WHOLE = ("thickness_mm", "compression_n", "kvp")
FORCE_NOT_WRITTEN = "machine 210"
"""A choice: one scanner writes no compression force, as some do not."""
HEADER_LOST = 0.005


@dataclass(frozen=True)
class Appearance:
    """How each of S strata looks: level and gain (S, 9) of the channels, level of the score
    (S,), of the embedding (S, 32), rates (S,) of exams with a missing view, a refused file,
    an image quality code."""

    level: Floats
    gain: Floats
    score: Floats
    embedding: Floats
    missing: Floats
    refused: Floats
    quality: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Appearance:
        """Draw the fleet; versions of one machine lie near to each other."""
        names = [(machine.site, machine.name) for machine in list_machines()]
        machine = np.array([sorted(set(names)).index(name) for name in names])
        wide = rng.standard_normal((machine.max() + 1, len(CHANNELS) + 1 + EMBEDDING_WIDTH))
        near = rng.standard_normal((len(machine), wide.shape[1]))
        drawn = SCANNER_SPREAD * wide[machine] + VERSION_SPREAD * near
        rates = np.exp(0.3 * rng.standard_normal((3, len(machine))))
        return cls(
            level=drawn[:, : len(CHANNELS)],
            gain=np.exp(0.1 * rng.standard_normal((len(machine), len(CHANNELS)))),
            score=0.3 * drawn[:, len(CHANNELS)],
            embedding=drawn[:, len(CHANNELS) + 1 :],
            missing=0.012 * rates[0],
            refused=0.003 * rates[1],
            quality=0.02 * rates[2],
        )


def draw_tail(rng: np.random.Generator, n: int) -> Floats:
    """Draw each exam's oddness, (n,): a rest times it is multivariate t with SD 1."""
    return np.asarray(np.sqrt((TAIL_FREEDOM - 2) / rng.chisquare(TAIL_FREEDOM, n)))


def draw_detector(rng: np.random.Generator, day: Ints, stratum: Ints, strata: int) -> Floats:
    """Draw the detector's factor, (n,): the exam's own, the scanner's of the day, the season's."""
    since = day - day[0] if len(day) else day
    daily = rng.standard_normal((strata, int(since[-1]) + 1 if len(day) else 1))
    season = DETECTOR_SEASON * np.sin(2 * np.pi * day / 365)
    own = rng.standard_normal(len(day))
    return np.asarray(own + DETECTOR_DAY * daily[stratum, since] + season)


def spread_rest() -> Floats:
    """Return (9, 9) that makes the rests of white noise: with the factors' part, each channel
    has SD 1 and image features correlate as measured."""
    factors = np.eye(3)
    factors[0, 1] = factors[1, 0] = density_thickness()
    rest = np.diag(1 - np.diag(LOADS @ factors @ LOADS.T))
    images = len(IMAGE_CHANNELS)
    explained = LOADS[:images] @ factors @ LOADS[:images].T
    rest[:images, :images] = IMAGE_CORRELATION - explained
    return np.linalg.cholesky(rest)


def draw_channels(
    rng: np.random.Generator,
    women: Women,
    detector: Floats,
    stratum: Ints,
    appearance: Appearance,
    effects: Effects,
) -> dict[str, Floats]:
    """Draw image features and header values in their units, each (n,)."""
    factors = np.stack([women.density, women.thickness, detector])
    n = len(stratum)
    tail = draw_tail(rng, n)
    rest = tail * (spread_rest() @ rng.standard_normal((len(CHANNELS), n)))
    lost = rng.random(n) < HEADER_LOST
    columns = {}
    for place, name in enumerate(CHANNELS):
        z = LOADS[place] @ factors + rest[place]
        z = appearance.level[stratum, place] + appearance.gain[stratum, place] * z
        columns[name] = to_unit(name, z + effects.channels.get(name, 0.0))
    for name in HEADER_CHANNELS:
        columns[name][lost] = np.nan
    silent = [machine.name == FORCE_NOT_WRITTEN for machine in list_machines()]
    columns["compression_n"][np.array(silent)[stratum]] = np.nan
    return columns


def draw_flags(
    rng: np.random.Generator, stratum: Ints, appearance: Appearance, effects: Effects
) -> dict[str, Floats]:
    """Draw what is missing, refused or of bad quality, each (n,) of 0.0 and 1.0."""
    luck = rng.random((3, len(stratum)))
    rates = {
        "missing": appearance.missing[stratum] + effects.missing,
        "refused": appearance.refused[stratum],
        "quality": appearance.quality[stratum] + effects.quality,
    }
    return {
        name: (part < rate).astype(float)
        for part, (name, rate) in zip(luck, rates.items(), strict=True)
    }


def to_unit(name: str, z: Floats) -> Floats:
    """Return a channel in its unit, (n,), from SD; within limits, whole where headers are."""
    middle, spread, logarithmic = UNITS[name]
    values = middle * np.exp(spread * z) if logarithmic else middle + spread * z
    if name in LIMITS:
        values = np.clip(values, *LIMITS[name])
    return np.rint(values) if name in WHOLE else values
