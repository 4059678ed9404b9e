"""Which old images are drawn again, and how often each image is drawn.

Positives are drawn against their rarity, old scanners against forgetting. A bounded
replay is an equal share of every stratum of scanner, outcome and period, so that
neither a rare cancer nor a small scanner nor a long past year falls out of it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

UNDATED = "undated"


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


def replay_strata(rows: pd.DataFrame, labels: np.ndarray) -> pd.Series:
    """Return the stratum of each row, text of scanner, outcome and calendar quarter.

    ``labels`` is (N,), 1 being positive. Rows without a date share one period.
    """
    days = pd.to_datetime(rows["acquired_on"])
    periods = days.dt.to_period("Q").astype(str).where(days.notna(), UNDATED)
    outcomes = np.where(np.asarray(labels) == 1, "positive", "negative")
    return rows["scanner"].fillna("") + "|" + outcomes + "|" + periods


def replay_rows(rows: pd.DataFrame, labels: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """Return (N,) bool, True for ``count`` of the rows, alike of every `replay_strata`.

    0 stands for all. A stratum that is smaller than its share is taken whole, and
    the others divide what it leaves. Within a stratum the lot decides, with one
    image of every patient before the second of any: patients are what differs.
    The same rows, count and seed choose the same.
    """
    if count == 0 or count >= len(rows):
        return np.ones(len(rows), dtype=bool)
    lot = np.random.default_rng(seed).permutation(len(rows))
    shuffled = rows.iloc[lot][["patient_id"]].assign(
        row=lot, stratum=replay_strata(rows, labels).to_numpy()[lot]
    )
    shuffled["turn"] = shuffled.groupby(["stratum", "patient_id"]).cumcount()
    ordered = shuffled.sort_values("turn", kind="stable")
    allowed = _shares(ordered["stratum"].value_counts().sort_index(), count)
    place = ordered.groupby("stratum").cumcount()
    chosen = np.zeros(len(rows), dtype=bool)
    chosen[ordered["row"][place < ordered["stratum"].map(allowed)]] = True
    return chosen


def _shares(sizes: pd.Series, count: int) -> dict[str, int]:
    """Divide ``count`` among strata, the smallest first: what one cannot use goes to the next."""
    shares: dict[str, int] = {}
    for left, (name, size) in enumerate(sizes.sort_values(kind="stable").items()):
        shares[str(name)] = min(int(size), count // (len(sizes) - left))
        count -= shares[str(name)]
    return shares
