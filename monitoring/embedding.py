"""The frozen encoder's embeddings as channels: axes, distance, and kernel features for MMD.

    place(vectors)  two principal axes of the reference, and Mahalanobis' distance with a
                    shrunk covariance, in SD
    phi(vectors)    random Fourier features of a Gaussian kernel, for `embedding_mmd`

The maximum mean discrepancy of a block of exams to the reference (Gretton et al.
2012, JMLR 13:723) is the squared distance of two means of ``phi`` (Rahimi & Recht
2007, *Random features for large-scale kernel machines*): one pass, constant
memory. Its null is drawn by permutation of the reference's exams, those of one
patient together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from monitoring.conformal import Floats

FOLDS = 10
FEATURES = 64
"""Random Fourier features: cosine and sine of 32 frequencies."""
KERNEL_AXES = 8
"""Leading axes that the kernel sees: all 32 would drown a shift along one of them."""
PAIRED = 500
"""Exams whose pairs give the median distance."""


@dataclass(frozen=True)
class EmbeddingMap:
    """Axes and metric of the reference's embeddings, (d,) with d = 32.

    ``whitener`` is (d, d); ``frequencies`` (d, FEATURES / 2) are those of the
    kernel's random features, in radians per unit of the embedding.
    """

    center: Floats
    axes: Floats
    whitener: Floats
    frequencies: Floats

    @classmethod
    def fit(cls, vectors: Floats, seed: int = 7) -> Self:
        """Fit on finite (n, d): mean, two principal axes, covariance shrunk by d / (n + d).

        The kernel is Gaussian on the leading axes, each at unit spread; its width is
        the median distance of two exams (the median heuristic). The same vectors and
        seed give the same map.
        """
        n, width = vectors.shape
        center = vectors.mean(axis=0)
        covariance = np.cov(vectors, rowvar=False, ddof=1) if n > 1 else np.eye(width)
        shrink = width / (n + width)
        level = max(float(np.trace(covariance)) / width, 1e-12)
        values, basis = np.linalg.eigh((1 - shrink) * covariance + shrink * level * np.eye(width))
        # eigenvectors have no sign of their own; fix one, so that reruns agree
        basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(width)])
        whitener = basis / np.sqrt(values)
        leading = whitener[:, ::-1][:, :KERNEL_AXES]
        frequencies = leading @ _frequencies((vectors - center) @ leading, seed)
        return cls(center, basis[:, ::-1][:, :2].T, whitener, frequencies)

    def place(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Return projections on the axes, (n, 2), and distances from the center in SD, (n,)."""
        centred = vectors - self.center
        whitened = centred @ self.whitener
        return centred @ self.axes.T, np.sqrt(np.einsum("nd,nd->n", whitened, whitened))

    def distance(self, vectors: Floats) -> Floats:
        """Return distances from the center in SD, (n,)."""
        return self.place(vectors)[1]

    def phi(self, vectors: Floats) -> Floats:
        """Return random Fourier features, (n, FEATURES) in [-1, 1] / sqrt(FEATURES / 2).

        The dot product of two rows is about the Gaussian kernel of the two exams; an
        exam that lacks its embedding has a row of NaN.
        """
        # single precision is enough for a wave, and a fifth of the time
        angles = ((vectors - self.center) @ self.frequencies).astype(np.float32)
        half = angles.shape[1]
        waves = np.empty((len(vectors), 2 * half))
        waves[:, :half], waves[:, half:] = np.cos(angles), np.sin(angles)
        waves /= np.sqrt(half)
        return waves


def mmd_centre(phi: Floats) -> Floats:
    """Return the mean of the features (n, D) of exams that have them, (D,); zeros for none."""
    known = _finite(phi)
    return np.asarray(known.mean(axis=0)) if len(known) else np.zeros(phi.shape[1])


def mmd_null(
    phi: Floats,
    patients: ArrayLike,
    block: int = 50,
    draws: int = 500,
    rng: np.random.Generator | None = None,
) -> Floats:
    """Return what the squared MMD of a block of new exams is in control, (draws,) ascending.

    ``phi`` (n, D) and ``patients`` (n,) are the reference's. Patients are put in random
    order and blocks of ``block`` exams cut from it. A block of the reference lies
    nearer to the centre than a new one, having made it: (n + block) / (n - block)
    makes up for that, exactly in the mean. Empty (0,) where fewer than two blocks
    have embeddings: nothing can be said of a block then.
    """
    rng = rng if rng is not None else np.random.default_rng(0)
    known = np.isfinite(phi).all(axis=1)
    n = int(known.sum())
    if n < 2 * block:
        return np.empty(0)
    features, groups = phi[known], np.unique(_texts(patients)[known], return_inverse=True)[1]
    centre, cuts = features.mean(axis=0), n // block
    found = [
        ((_blocks(features, groups, block, rng) - centre) ** 2).sum(axis=1)
        for _ in range(-(-draws // cuts))
    ]
    return np.sort(np.concatenate(found)[:draws] * (n + block) / (n - block))


def cross_fitted_distances(vectors: Floats) -> Floats:
    """Return each exam's distance by a map fitted on the other folds, (n,)."""
    n = len(vectors)
    fold = np.arange(n) % min(FOLDS, n)
    distances = np.empty(n)
    for one in np.unique(fold):
        held = fold == one
        distances[held] = EmbeddingMap.fit(vectors[~held]).distance(vectors[held])
    return distances


def _frequencies(whitened: Floats, seed: int) -> Floats:
    """Draw the kernel's frequencies (axes, FEATURES / 2), of width the median distance."""
    rng = np.random.default_rng(seed)
    picked = rng.permutation(len(whitened))[:PAIRED]
    apart = float(np.median(pdist(whitened[picked]))) if len(picked) > 1 else 1.0
    # embeddings that are all alike have no distance; any width does for them
    return rng.standard_normal((whitened.shape[1], FEATURES // 2)) / (apart or 1.0)


def _blocks(
    features: Floats, groups: NDArray[np.intp], block: int, rng: np.random.Generator
) -> Floats:
    """Return the means (n // block, D) of blocks of exams, patients in random order."""
    place = rng.permutation(int(groups.max()) + 1)[groups]
    order = np.argsort(place, kind="stable")[: len(features) // block * block]
    return np.asarray(features[order].reshape(-1, block, features.shape[1]).mean(axis=1))


def _finite(phi: Floats) -> Floats:
    return phi[np.isfinite(phi).all(axis=1)]


def _texts(patients: ArrayLike) -> NDArray[Any]:
    given = np.asarray(patients)
    return given.astype(str) if given.dtype == object else given
