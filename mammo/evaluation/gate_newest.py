"""The gate's clauses on the newest mature window: better or on target, at the target recall."""

from __future__ import annotations

from mammo.evaluation.gate_bounds import measure
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.gate_material import Scored
from mammo.evaluation.metrics import recall_rate_interval, roc_auc
from mammo.evaluation.verdict import Clause, not_judged

NEWEST_AUC = "newest_auc_superior_or_on_target"
NEWEST_RECALL = "newest_recall_on_target"


def newest_auc_clause(golden: Scored, newest: Scored | None, config: GateConfig) -> Clause:
    """Judge the AUC on the newest window: better than the champion, or near its golden AUC."""
    if newest is None:
        return not_judged(NEWEST_AUC, "No newest window was given.")
    scarce = min(int(newest.labels.sum()), int((~newest.labels).sum()))
    if scarce < config.min_per_class:
        text = (
            f"Newest window too small: {newest.described}; {config.min_per_class} of each needed."
        )
        return not_judged(NEWEST_AUC, text)
    scores = golden.challenger_scores if golden.champion_scores is None else golden.champion_scores
    limit = roc_auc(golden.labels, scores) - config.margin_newest
    value = roc_auc(newest.labels, newest.challenger_scores)
    if newest.champion_scores is None:
        text = f"Newest AUC {value:.3f} ({newest.described}); at least {limit:.3f} is on target."
        return Clause(NEWEST_AUC, value >= limit, True, value, None, None, limit, text)
    both = {"before": newest.champion_scores, "after": newest.challenger_scores}
    loss = measure(newest, both, config).auc_loss("after", "before")
    low, high = loss.low(config.alpha), loss.high(config.alpha)
    on_target = value >= limit and loss.value >= -config.margin_newest
    text = (
        f"Newest AUC {value - loss.value:.3f} to {value:.3f}, difference {loss.value:+.3f} "
        f"({low:+.3f} to {high:+.3f}; {newest.described}); either the lower bound must be "
        f"above 0, or the AUC at least {limit:.3f} and not {config.margin_newest:.3f} below the "
        f"champion's."
    )
    return Clause(NEWEST_AUC, low > 0 or on_target, True, value, low, high, limit, text)


def newest_recall_clause(newest: Scored | None, config: GateConfig, target: float) -> Clause:
    """Judge the recall rate on the newest window against the target, in (0, 1)."""
    if newest is None or newest.challenger_recalled is None:
        return not_judged(NEWEST_RECALL, "No decisions on a newest window were given.")
    rate, tolerance = float(newest.challenger_recalled.mean()), config.recall_tolerance
    distance = round(abs(rate - target), 9)
    passed = distance <= tolerance
    text = (
        f"Recalls {rate:.1%} of the newest window ({newest.described}); the target is "
        f"{target:.1%} within {tolerance:.1%}"
    )
    if newest.champion_recalled is not None:
        before = float(newest.champion_recalled.mean())
        passed = passed and distance <= round(abs(before - target) + tolerance / 2, 9)
        text += f", and not {tolerance / 2:.1%} farther from it than the champion's {before:.1%}"
    interval = recall_rate_interval(
        newest.challenger_recalled, newest.patients, resamples=config.resamples, seed=config.seed
    )
    return Clause(
        NEWEST_RECALL, passed, True, rate, interval.low, interval.high, tolerance, text + "."
    )
