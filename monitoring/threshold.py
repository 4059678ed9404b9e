"""The CUSUM's threshold h, by a block bootstrap of the reference under a stated budget."""

from __future__ import annotations

import numpy as np

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats, bootstrap_scores, random_ranks


def cusum_threshold(reference: Floats, tolerance: Floats, config: MonitorConfig) -> float:
    """Return h for which all channels together alert once per ``budget_exams`` exams.

    ``reference`` is (n, C) in the order of acquisition. Whole histories are drawn
    from it, a reference of the same size and a stream of ``stream_exams`` exams, so
    that the error of standardising by n exams is in h. They are drawn from single
    exams and from blocks of neighbours; h is the quantile of the highest CUSUM
    that a constant hazard of ``1 / budget_exams`` gives, the higher of the two, so
    that a small reference which happens to swing back never lowers it. Fewer than
    ``min_reference`` exams tell no dependence: channels are then taken as
    independent, which gives a higher h.
    """
    rng = np.random.default_rng(config.seed)
    ranks = random_ranks(reference, rng)
    if len(ranks) < config.min_reference:
        ranks = rng.permuted(np.tile(np.arange(200)[:, None], (1, reference.shape[1])), axis=0)
    size = max(len(reference), config.min_reference)
    # 40 blocks are the fewest that tell swings from chance
    blocks = sorted({1, min(config.block_exams, max(1, len(ranks) // 40))})
    stay = np.exp(-config.stream_exams / config.budget_exams)
    length = size + config.stream_exams
    levels = []
    for block in blocks:
        scores = bootstrap_scores(ranks, config.streams, length, block, rng)
        highest = highest_cusum(scores, size, config.allowance + tolerance, config)
        levels.append(float(np.quantile(highest, stay)))
    return max(levels)


def highest_cusum(scores: Floats, size: int, allowance: Floats, config: MonitorConfig) -> Floats:
    """Return the highest CUSUM of each stream over time, sides and channels.

    ``scores`` is (size + T, B, C): the first ``size`` exams are the reference. Each
    later exam is standardised by the mean and SD of the exams up to ``lag_exams``
    before it, and its t value turned into a normal score: the normal-theory twin of
    `normal_scores`, which costs one step a stream instead of a ranking.
    """
    total, squares = scores[:size].sum(axis=0), (scores[:size] ** 2).sum(axis=0)
    up, down = np.zeros(scores.shape[1:]), np.zeros(scores.shape[1:])
    highest, count = np.zeros(scores.shape[1]), size
    for now in range(size, len(scores)):
        late = now - 1 - config.lag_exams
        if late >= size and count < config.calibration_cap:
            total += scores[late]
            squares += scores[late] ** 2
            count += 1
        score = _self_started(scores[now], total, squares, count)
        np.maximum(up + score - allowance, 0.0, out=up)
        np.maximum(down - score - allowance, 0.0, out=down)
        np.maximum(highest, np.maximum(up, down).max(axis=1), out=highest)
    return highest


def _self_started(value: Floats, total: Floats, squares: Floats, count: int) -> Floats:
    """Return the normal score of a t statistic against ``count`` exams (Wallace 1959)."""
    mean = total / count
    variance = (squares - count * mean**2) / (count - 1)
    t = (value - mean) / np.sqrt(variance * (1 + 1 / count))
    freedom = count - 1
    size = np.sqrt(freedom * np.log1p(t**2 / freedom))
    return np.asarray(np.sign(t) * size * (8 * freedom + 1) / (8 * freedom + 3))
