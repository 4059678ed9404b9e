"""How often each image is drawn: positives against their rarity, replay against forgetting."""

from __future__ import annotations

import numpy as np


def sampling_weights(
    labels: np.ndarray,
    scanners: np.ndarray,
    *,
    positive_share: float,
    focus: str | None = None,
    replay_share: float = 0.5,
) -> np.ndarray:
    """Return a probability for each row, (N,) float64 with sum 1.

    Positives make up ``positive_share`` of the draws. With a ``focus`` scanner
    its rows make up ``1 - replay_share`` and all others, the replay, the rest;
    within the replay every scanner weighs the same, so that no scanner of the
    past is forgotten because it was small.
    """
    strata = np.asarray(scanners, dtype=object)
    names = sorted(set(strata))
    weights = np.zeros(len(labels))
    for name in names:
        rows = strata == name
        share = _share(name, names, focus, replay_share)
        for positive, part in ((True, positive_share), (False, 1 - positive_share)):
            cell = rows & ((labels == 1) == positive)
            if cell.any():
                weights[cell] = share * part / cell.sum()
    return np.asarray(weights / weights.sum())


def _share(name: str, names: list[str], focus: str | None, replay_share: float) -> float:
    if focus not in names or len(names) == 1:
        return 1.0 / len(names)
    return 1 - replay_share if name == focus else replay_share / (len(names) - 1)
