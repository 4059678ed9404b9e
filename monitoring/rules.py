"""What of the settings the machine code needs: rules, weights, sizes of the charts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitoring.charts import DISTANCES, Rules, Sizes
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.embedding import FEATURES
from monitoring.start import Thresholds


def rules_of(
    channels: Sequence[str], thresholds: Thresholds, config: MonitorConfig, *, follow: bool = False
) -> Rules:
    """Return the rules; with ``follow`` the highest levels ever reached are noted."""
    score = list(channels).index("score") if "score" in channels else -1
    return Rules(
        allowances=np.array(config.allowances),
        heights=np.array(thresholds.heights),
        shifts=np.array(config.bets),
        log_budget=thresholds.log_budget,
        log_start=float(-np.log(config.new_stratum_error)),
        least_log=float(np.log(100.0)),
        clip=config.clip,
        cap=config.calibration_cap,
        score=score,
        confirms=int(config.confirm),
        follow=int(follow),
        block_exams=config.ring_exams,
        mmd_exams=config.mmd_exams,
    )


def weights_of(channels: Sequence[str], config: MonitorConfig) -> Floats:
    """Return what one sum of evidence of each lane weighs, (W,); all together weigh 1.

    The score has ``score_weight`` of the whole: it is what decides about women.
    """
    parts = np.full(len(channels) + DISTANCES, (1 - config.score_weight) / (len(channels) + 1))
    if "score" in channels:
        parts[list(channels).index("score")] = config.score_weight
    up = parts / parts.sum() / np.array([2] * len(channels) + [1] * DISTANCES)
    down = np.append(up[: len(channels)], np.zeros(DISTANCES))
    return np.concatenate([up, down]) / len(config.bets)


def sizes_of(channels: Sequence[str], config: MonitorConfig, *, trace: bool) -> Sizes:
    """Return the lengths of the charts' axes."""
    return Sizes(
        channels=len(channels),
        allowances=len(config.allowances),
        bets=len(config.bets),
        recent=config.recent_exams,
        blocks=config.ring_blocks,
        ks_exams=config.ks_exams,
        features=FEATURES,
        draws=config.mmd_draws,
        trace=config.trace_exams if trace else 0,
    )
