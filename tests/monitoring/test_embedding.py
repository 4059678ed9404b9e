"""The encoder's embeddings as channels, and the null of their block statistic."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.embedding import (
    FEATURES,
    EmbeddingMap,
    cross_fitted_distances,
    mmd_centre,
    mmd_null,
)

BLOCK = 50


def draw(exams: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Draw embeddings (exams, 32) of one fixed spread; the shift is along the largest axis."""
    mix = np.random.default_rng(0).standard_normal((32, 32)) * np.linspace(2, 0.2, 32)
    values, basis = np.linalg.eigh(mix.T @ mix)
    vectors = np.random.default_rng(seed).standard_normal((exams, 32)) @ mix
    return vectors + shift * np.sqrt(values[-1]) * basis[:, -1]


def of_blocks(phi: np.ndarray, centre: np.ndarray) -> np.ndarray:
    means = phi.reshape(-1, BLOCK, FEATURES).mean(axis=1)
    return ((means - centre) ** 2).sum(axis=1)


def test_the_map_does_not_depend_on_the_sign_of_eigenvectors():
    vectors = np.random.default_rng(1).standard_normal((50, 32)) * np.linspace(3, 1, 32)
    again = EmbeddingMap.fit(vectors[::-1])
    assert np.allclose(EmbeddingMap.fit(vectors).axes, again.axes)


def test_features_are_those_of_a_gaussian_kernel():
    vectors = draw(400, seed=1)
    fitted = EmbeddingMap.fit(vectors)
    phi = fitted.phi(vectors)
    leading = ((vectors - fitted.center) @ fitted.whitener[:, ::-1])[:, :8]
    squared = ((leading[:, None] - leading[None]) ** 2).sum(axis=2)
    width = np.median(np.sqrt(squared[np.triu_indices(400, 1)]))
    kernel = np.exp(-squared / (2 * width**2))
    assert phi.shape == (400, FEATURES)
    assert np.allclose((phi**2).sum(axis=1), 1.0)
    assert np.abs(phi @ phi.T - kernel).mean() < 0.15
    assert np.array_equal(phi, EmbeddingMap.fit(vectors).phi(vectors))


@pytest.mark.parametrize("exams", [120, 1000])
def test_blocks_of_new_exams_are_as_far_as_the_null_says(exams):
    """Blocks of the reference itself would lie nearer, the more the smaller it is."""
    ranks = []
    for seed in range(30):
        fitted = EmbeddingMap.fit(reference := draw(exams, seed=seed))
        phi = fitted.phi(reference)
        null = mmd_null(phi, np.arange(exams), BLOCK, rng=np.random.default_rng(seed))
        new = of_blocks(fitted.phi(draw(500, seed=1000 + seed)), mmd_centre(phi))
        ranks.append((null[None] >= new[:, None]).mean(axis=1))
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.concatenate(ranks) < 0.05) == pytest.approx(0.05, abs=0.04)


def test_a_moved_embedding_is_far():
    fitted = EmbeddingMap.fit(reference := draw(2000, seed=2))
    phi = fitted.phi(reference)
    null = mmd_null(phi, np.arange(2000), BLOCK)
    moved = of_blocks(fitted.phi(draw(1000, seed=3, shift=1.0)), mmd_centre(phi))
    assert (moved > null[int(0.99 * len(null))]).mean() > 0.9


def test_exams_of_a_patient_stay_together():
    """A patient's exams are alike: blocks of few patients vary more than of many."""
    patients = np.repeat(np.arange(100), 10)
    phi = np.random.default_rng(4).standard_normal((100, FEATURES))[patients]
    together = mmd_null(phi, patients, BLOCK, rng=np.random.default_rng(5))
    apart = mmd_null(phi, np.arange(1000), BLOCK, rng=np.random.default_rng(5))
    assert np.median(together) > 5 * np.median(apart)


def test_the_null_is_ascending_and_the_same_again():
    phi = EmbeddingMap.fit(vectors := draw(300, seed=6)).phi(vectors)
    patients = np.array([f"P-{i // 2}" for i in range(300)], dtype=object)
    null = mmd_null(phi, patients, draws=100)
    assert null.shape == (100,)
    assert (np.diff(null) >= 0).all()
    assert np.array_equal(null, mmd_null(phi, patients, draws=100))


@pytest.mark.parametrize(
    ("exams", "lacking", "empty"), [(0, 0, True), (1, 0, True), (99, 0, True), (100, 0, False),
                                    (150, 51, True), (150, 50, False)],
)  # fmt: skip
def test_a_null_needs_two_blocks_of_exams_with_embeddings(exams, lacking, empty):
    phi = np.random.default_rng(7).standard_normal((exams, FEATURES))
    phi[:lacking] = np.nan
    null = mmd_null(phi, np.arange(exams), BLOCK, draws=40)
    assert (len(null) == 0) is empty
    assert np.isfinite(mmd_centre(phi)).all()
    assert np.isfinite(null).all()


def test_embeddings_that_are_all_alike_are_no_error():
    alike = np.ones((200, 32))
    fitted = EmbeddingMap.fit(alike)
    assert np.isfinite(fitted.phi(alike)).all()
    assert np.allclose(cross_fitted_distances(alike), 0.0)
    assert np.allclose(mmd_null(fitted.phi(alike), np.arange(200)), 0.0)
