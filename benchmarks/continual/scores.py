"""What the release makes of the images: the exam's logit, its operating points, embeddings.

Scores are binormal: among women without cancer the logit is normal within a stratum,
among those with cancer it is as wide and higher, so that the AUC per exam is `AUC`.
With equal widths the logit is then also the calibrated log-odds of cancer at the
programme's prevalence (Bayes), as a release that has just passed the gate should be.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from benchmarks.continual.events import EMBEDDING_WIDTH, Effects
from benchmarks.continual.images import Appearance, draw_tail
from benchmarks.continual.volumes import REFERENCE_EXAMS, Floats, Ints, measure_shares
from benchmarks.continual.women import (
    AGE_DENSITY,
    AGE_THICKNESS,
    PREVALENCE,
    Women,
    density_thickness,
)

AUC = 0.90
RECALL_RATE = 0.10
"""US practice; European programmes recall half as many."""
SEPARATION = float(np.sqrt(2) * ndtri(AUC))
"""Distance of cancers from others in SD of either."""
LOGIT_PER_SD = SEPARATION
LOGIT_MIDDLE = float(np.log(PREVALENCE / (1 - PREVALENCE)) - SEPARATION**2 / 2)
"""Both make the logit the log-odds of cancer, see above."""
SCORE_LOADS = np.array([0.10, 0.20, 0.05, -0.05])
"""How far age, density, thickness and detector move the score, in SD: choices."""
MASKING = 0.20
"""A choice: cancers in breasts one SD denser are so many SD less conspicuous."""
REPEAT_SHARED = 0.8
"""Correlation of the score's rest between two exams of one woman within days."""
OWN_OPERATING_POINT = 100
"""Reference exams from which on a stratum has an operating point of its own."""
SPECTRUM = 1 / (1 + np.arange(EMBEDDING_WIDTH) / 16)
"""SD of each axis: embeddings' spectra decay."""


def load_spread() -> float:
    """Return the SD that the factors alone give the score."""
    correlation = np.eye(4)
    correlation[0, 1] = correlation[1, 0] = AGE_DENSITY
    correlation[0, 2] = correlation[2, 0] = AGE_THICKNESS
    correlation[1, 2] = correlation[2, 1] = density_thickness()
    return float(np.sqrt(SCORE_LOADS @ correlation @ SCORE_LOADS))


def draw_scores(
    rng: np.random.Generator, women: Women, detector: Floats, effects: Effects
) -> Floats:
    """Draw scores in SD, (n,), before the scanner's level: N(0, 1) without cancer."""
    rest = rng.standard_normal((2, len(detector)))
    again = women.first != np.arange(len(detector))
    shared = np.where(
        again,
        REPEAT_SHARED * rest[0][women.first] + np.sqrt(1 - REPEAT_SHARED**2) * rest[1],
        rest[0],
    )
    factors = np.stack([women.age, women.density, women.thickness, detector])
    score = SCORE_LOADS @ factors + np.sqrt(1 - load_spread() ** 2) * shared
    distance = SEPARATION + effects.separation - MASKING * women.density
    return np.asarray(score + women.cancer * distance + effects.score)


def to_logit(score: Floats, level: Floats) -> Floats:
    """Return the logit, (n,), of scores in SD and the scanner's level (n,) in SD."""
    return LOGIT_MIDDLE + LOGIT_PER_SD * (score + level)


def tune_operating_points(appearance: Appearance) -> tuple[Floats, float]:
    """Return the logit from which on exams are recalled: per stratum (S,), and the programme's.

    Each stratum with enough reference exams recalls `RECALL_RATE` of its own; the others
    work by the programme's operating point, as a new scanner does.
    """
    shares = measure_shares()
    programme = _solve(appearance.score, shares)
    own = np.array([_solve(np.array([level]), np.ones(1)) for level in appearance.score])
    return np.where(shares * REFERENCE_EXAMS >= OWN_OPERATING_POINT, own, programme), programme


def _solve(levels: Floats, weights: Floats) -> float:
    def excess(score: float) -> float:
        healthy = ndtr(levels - score)
        cancer = ndtr(levels + SEPARATION - score)
        rate = (1 - PREVALENCE) * healthy + PREVALENCE * cancer
        return float(weights @ rate) - RECALL_RATE

    return LOGIT_MIDDLE + LOGIT_PER_SD * float(brentq(excess, -10, 10))


def mix_embedding(rng: np.random.Generator) -> Floats:
    """Draw how the factors show in the embedding: (6, 32), rows of unit length.

    Rows: age, density, thickness, detector, score, cancer.
    """
    rows = rng.standard_normal((6, EMBEDDING_WIDTH))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


EMBEDDING_SIZES = np.array([0.6, 1.6, 1.2, 0.8, 1.5, 1.0])
"""Choices: SD that each factor adds along its direction; a cancer moves by the last."""


def stack_factors(women: Women, detector: Floats, score: Floats) -> Floats:
    """Return what shows in the embedding, (6, n), in the order of `mix_embedding`."""
    body = [women.age, women.density, women.thickness]
    return np.stack([*body, detector, score, women.cancer])


def draw_embedding(
    rng: np.random.Generator,
    factors: Floats,
    stratum: Ints,
    levels: Floats,
    mixing: Floats,
    effects: Effects,
) -> np.ndarray:
    """Draw embeddings, (n, 32) float32, of factors (6, n) in the order of `mix_embedding`."""
    n = factors.shape[1]
    rest = rng.standard_normal((n, EMBEDDING_WIDTH), dtype=np.float32)
    rest *= draw_tail(rng, n).astype(np.float32)[:, None]
    weights = (EMBEDDING_SIZES[:, None] * mixing).astype(np.float32)
    rest += factors.T.astype(np.float32) @ weights
    rest += levels.astype(np.float32)[stratum]
    for weight, displacement in effects.embedding:
        rows = np.flatnonzero(weight)
        rest[rows] += np.outer(weight[rows], displacement).astype(np.float32)
    rest *= SPECTRUM.astype(np.float32)
    return rest
