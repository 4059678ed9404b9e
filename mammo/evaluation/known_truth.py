"""Images whose best possible reading is known: how far a model is from the ideal observer.

A background is a stationary Gaussian field whose covariance is known exactly:
it is periodic, so that the Fourier transform makes the covariance diagonal. Its
power falls with the cube of the frequency, as that of mammograms does (Burgess,
Jacobson and Judy 2001, Medical Physics 28, 419), above a floor of white noise.
Half of the images hold a lesion of known shape at a place that is uniform over
many. The likelihood ratio, which no reader can beat (Barrett and Myers,
Foundations of Image Science, 2004, ch. 13), then has a closed form, the mean
over the places j of

    exp(s_j' K^-1 g - s_j' K^-1 s_j / 2)

for an image g less its mean, a lesion s_j and the covariance K. All places come
out of one Fourier transform. These are no mammograms: the numbers judge the
training, not a model for patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES, Interval, Statistic, patient_bootstrap
from mammo.evaluation.metrics import as_labels, as_scores, auc_statistic, require_classes

Floats = NDArray[np.float64]
FULL_SCALE = 65535
"""Prepared pixels are uint16; `mammo.preprocess.to_tensor` divides by this."""
CHUNK = 1024  # images transformed at once: 64 MB at 64 pixels


@dataclass(frozen=True, eq=False)
class DrawnFields:
    """``images`` (N, side, side) float32 about 0 to 1, before rounding; ``labels`` (N,) int8.

    ``places`` (N, 2) int16 are row and column of the lesion's centre, -1 without one.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int8]
    places: NDArray[np.int16]

    def first(self, count: int) -> DrawnFields:
        """Return the first ``count`` images, or all where there are not as many."""
        return DrawnFields(self.images[:count], self.labels[:count], self.places[:count])


@dataclass(frozen=True)
class LesionTask:
    """Is there a lesion of known shape, at an unknown place, in a field of known covariance?

    ``side_px`` and ``margin_px`` (where no lesion's centre lies) are in pixels of
    ``spacing_mm``; ``lesion_fwhm_mm`` is the width of the Gaussian lesion at half of its
    height. ``mean``, ``tissue_sd`` and ``noise_sd`` are in units of the full scale;
    ``knee_per_mm`` is the frequency above which the tissue's power falls with ``slope``.
    ``detectability`` is d' of the ideal observer at a place that is told to it: it sets the
    lesion's height.
    """

    side_px: int = 64
    margin_px: int = 8
    spacing_mm: float = 0.5
    mean: float = 0.4
    tissue_sd: float = 0.07
    noise_sd: float = 0.014
    knee_per_mm: float = 0.0625
    slope: float = 3.0
    lesion_fwhm_mm: float = 3.0
    detectability: float = 3.75

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.margin_px < self.side_px:
            raise ValueError(f"margin_px leaves no place: {self.margin_px} of {self.side_px} px")
        positive = ("spacing_mm", "tissue_sd", "noise_sd", "knee_per_mm", "lesion_fwhm_mm")
        if low := [name for name in positive if getattr(self, name) <= 0]:
            raise ValueError(f"above 0 must be: {', '.join(low)}")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)

    @property
    def places(self) -> int:
        """How many places the lesion may have: every pixel inside the margin."""
        return (self.side_px - 2 * self.margin_px) ** 2

    @cached_property
    def spectrum(self) -> Floats:
        """Eigenvalues of the covariance, (side, side): variance of each frequency."""
        per_mm = np.fft.fftfreq(self.side_px, self.spacing_mm)
        radius = np.hypot(per_mm[:, None], per_mm[None, :])
        tissue = 1.0 / (1.0 + (radius / self.knee_per_mm) ** self.slope)
        tissue *= self.tissue_sd**2 / tissue.mean()
        return np.asarray(tissue + self.noise_sd**2)

    @cached_property
    def height(self) -> float:
        """Height of the lesion in units of the full scale."""
        power = np.abs(np.fft.fft2(self._profile())) ** 2
        of_height_one = np.sqrt((power / self.spectrum).sum() / self.side_px**2)
        return float(self.detectability / of_height_one)

    @cached_property
    def lesion(self) -> Floats:
        """The lesion about pixel (0, 0), periodic, (side, side)."""
        return self.height * self._profile()

    def one_place(self) -> Self:
        """Return the task with the place told, whose AUC is Phi(d' / sqrt 2) exactly."""
        if self.side_px % 2 == 0:
            raise ValueError(f"one place is the centre of an odd side, not of {self.side_px} px")
        return replace(self, margin_px=self.side_px // 2)

    def draw(self, count: int, seed: int | Sequence[int]) -> DrawnFields:
        """Draw ``count`` images, half of them with a lesion, mixed; a seed repeats them."""
        rng = np.random.default_rng(seed)
        labels = rng.permutation(np.arange(count) % 2).astype(np.int8)
        inside = (self.margin_px, self.side_px - self.margin_px)
        places = rng.integers(*inside, size=(count, 2)).astype(np.int16)
        images = np.empty((count, self.side_px, self.side_px), np.float32)
        for start in range(0, count, CHUNK):
            part = slice(start, min(start + CHUNK, count))
            images[part] = self.mean + self._field(part.stop - part.start, rng)
        for number in np.flatnonzero(labels):
            images[number] += np.roll(self.lesion, places[number], axis=(0, 1))
        places[labels == 0] = -1
        return DrawnFields(images, labels, places)

    def log_likelihood_ratio(self, images: NDArray[Any]) -> Floats:
        """Return the ideal observer's score, (N,), of images (N, side, side) in [0, 1]."""
        parts = [self._ratio(images[at : at + CHUNK]) for at in range(0, len(images), CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _profile(self) -> Floats:
        pixel = np.arange(self.side_px)
        distance_mm = self.spacing_mm * np.minimum(pixel, self.side_px - pixel)
        sd_mm = self.lesion_fwhm_mm / np.sqrt(8 * np.log(2))
        line = np.exp(-0.5 * (distance_mm / sd_mm) ** 2)
        return np.asarray(line[:, None] * line[None, :])

    def _field(self, count: int, rng: np.random.Generator) -> Floats:
        white = rng.standard_normal((count, self.side_px, self.side_px), np.float32)
        half = self.spectrum[:, : self.side_px // 2 + 1]
        return np.asarray(np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(half), s=white.shape[1:]))

    def _ratio(self, images: NDArray[Any]) -> Floats:
        size = images.shape[1:]
        template = np.conj(np.fft.rfft2(self.lesion)) / self.spectrum[:, : size[1] // 2 + 1]
        matched = np.fft.irfft2(np.fft.rfft2(images - self.mean) * template, s=size)
        inside = slice(self.margin_px, self.side_px - self.margin_px)
        at_places = matched[:, inside, inside].reshape(len(images), -1)
        ratio = special.logsumexp(at_places - self.detectability**2 / 2, axis=1)
        return np.asarray(ratio - np.log(self.places))


def quantise(images: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float]:
    """Return images as prepared pixels (N, side, side) uint16, and the share that was clipped."""
    clipped = float(np.mean((images < 0) | (images > 1)))
    scaled = np.clip(images, 0, 1) * np.float32(FULL_SCALE)
    return np.rint(scaled).astype(np.uint16), clipped


def detectability(auc: ArrayLike) -> Floats:
    """Return d_A = sqrt(2) Phi^-1(AUC); below 0 for an AUC below one half."""
    return np.asarray(np.sqrt(2) * special.ndtri(np.asarray(auc, dtype=float)))


def efficiency(auc: ArrayLike, ideal_auc: ArrayLike) -> Floats:
    """Return (d_A / d_A of the ideal observer)^2: the share of the information that is used.

    Below 0 where the AUC is below one half: a model that says the opposite of
    what is there is no good one (Tanner and Birdsall 1958, JASA 30, 922).
    """
    ratio = detectability(auc) / detectability(ideal_auc)
    return np.asarray(np.sign(ratio) * ratio**2)


def efficiency_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    ideal_scores: ArrayLike,
    patients: ArrayLike,
    *,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the efficiency with its bootstrap interval; both readers on the same resamples.

    ``scores`` and ``ideal_scores`` (N,) are of the same images. Raises
    TooFewLabels when a class is missing.
    """
    y = as_labels(labels)
    require_classes(y)
    model = auc_statistic(y, as_scores(scores, len(y)))
    ideal = auc_statistic(y, as_scores(ideal_scores, len(y)))
    share: Statistic = lambda weights: efficiency(model(weights), ideal(weights))  # noqa: E731
    return patient_bootstrap(patients, share, labels=y, resamples=resamples, seed=seed)
