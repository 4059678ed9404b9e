"""Champion against challenger: may this release be put into service?

Pure functions on exam-level arrays. Every clause has a stable name, what was
found, what is allowed, and a sentence for people; a refusal is the list of the
required clauses that failed. "Not worse" is shown, never presumed: the lower
confidence bound must lie above minus the margin, so that few exams make a
release harder to pass, not easier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mammo.evaluation.bootstrap import Statistic, bootstrap_draws, expanded_tail
from mammo.evaluation.calibration import chance_calibration_error, expected_calibration_error
from mammo.evaluation.metrics import (
    auc_difference_statistic,
    auc_interval,
    recall_rate_interval,
    require_classes,
    roc_auc,
    sensitivity_at_recall_statistic,
)
from mammo.evaluation.verdict import Clause, GateConfig, GateDecision, Scored

__all__ = ["Clause", "GateConfig", "GateDecision", "Scored", "decide"]

GOLDEN_NON_INFERIOR = "golden_auc_non_inferior"
GOLDEN_ABOVE_CHANCE = "golden_auc_above_chance"
NEWEST_AUC = "newest_auc_superior_or_on_target"
NEWEST_RECALL = "newest_recall_on_target"
SENSITIVITY = "sensitivity_at_recall"
CALIBRATION = "calibration"
SUBGROUPS = "subgroups"
LATENCY = "latency"

POWER_WANTED = 0.8
ROUNDING = 1e-9  # a bound that is the margin itself has reached it


def decide(
    golden: Scored,
    newest: Scored | None,
    *,
    config: GateConfig,
    challenger_id: str,
    champion_id: str | None,
    target_recall_rate: float,
    latency_ms: tuple[float | None, float] | None = None,
) -> GateDecision:
    """Judge a challenger against the champion, clause by clause.

    Parameters
    ----------
    golden : Scored
        The sealed set: patients that neither release was trained on.
    newest : Scored or None
        The newest mature window of the scanner that drifted, if any.
    champion_id : str or None
        None for the first release; then ``champion_scores`` is None too.
    target_recall_rate : float
        Share of exams recalled, in (0, 1).
    latency_ms : (champion, challenger), optional
        Milliseconds per exam.

    Raises
    ------
    TooFewLabels
        The golden set has fewer than ``config.min_per_class`` exams of a class.
    ValueError
        A champion without scores, or scores without a champion.
    """
    if (champion_id is None) != (golden.champion_scores is None):
        raise ValueError("champion_id and the champion's golden scores come together or not at all")
    require_classes(golden.labels, config.min_per_class, "exams in the golden set")
    power: dict[str, float] = {}
    if golden.champion_scores is None:
        first = _golden_above_chance(golden, config)
    else:
        first, power = _golden_non_inferior(golden, config)
    clauses = (
        first,
        _newest_auc(golden, newest, config),
        _newest_recall(newest, config, target_recall_rate),
        _sensitivity(golden, config, target_recall_rate),
        _calibration(golden, config),
        _subgroups(golden, config),
        _latency(latency_ms, config),
    )
    passed = all(clause.passed for clause in clauses if clause.required)
    return GateDecision(passed, challenger_id, champion_id, clauses, power, config.alpha)


@dataclass(frozen=True)
class _Loss:
    """A paired difference (challenger minus champion) and its resamples."""

    value: float
    draws: np.ndarray
    units: int  # patients of the scarcer class

    def low(self, alpha: float) -> float:
        return float(np.nanquantile(self.draws, expanded_tail(alpha, self.units)))

    def high(self, alpha: float) -> float:
        return float(np.nanquantile(self.draws, 1 - expanded_tail(alpha, self.units)))

    def p_value(self, margin: float) -> float:
        """The smallest one-sided alpha at which ``low`` lies above minus the margin."""
        share = (np.sum(self.draws < -margin) + 1) / (len(self.draws) + 1)
        n = max(self.units, 2)
        return float(stats.t.cdf(stats.norm.ppf(share) / np.sqrt(n / (n - 1)), n - 1))


def _paired(scored: Scored, statistic: Statistic, config: GateConfig) -> _Loss:
    draws = bootstrap_draws(
        scored.patients,
        statistic,
        labels=scored.labels,
        resamples=config.resamples,
        seed=config.seed,
    )
    value = float(statistic(np.ones((1, len(scored.labels))))[0])
    positive = len(np.unique(scored.patients[scored.labels]))
    negative = len(np.unique(scored.patients[~scored.labels]))
    return _Loss(value, draws, min(positive, negative))


def _auc_loss(scored: Scored, config: GateConfig) -> _Loss:
    assert scored.champion_scores is not None
    statistic = auc_difference_statistic(
        scored.labels, scored.champion_scores, scored.challenger_scores
    )
    return _paired(scored, statistic, config)


def _golden_non_inferior(golden: Scored, config: GateConfig) -> tuple[Clause, dict[str, float]]:
    assert golden.champion_scores is not None
    loss = _auc_loss(golden, config)
    low, high, margin = loss.low(config.alpha), loss.high(config.alpha), config.margin_auc
    before = roc_auc(golden.labels, golden.champion_scores)
    text = (
        f"Golden AUC {before:.3f} to {before + loss.value:.3f}, difference {loss.value:+.3f} "
        f"({low:+.3f} to {high:+.3f}; {golden.described}); the lower bound must reach "
        f"{-margin:+.3f}."
    )
    clause = Clause(
        GOLDEN_NON_INFERIOR, low >= -margin - ROUNDING, True, loss.value, low, high, -margin, text
    )
    return clause, _power(loss, len(golden.labels), config)


def _power(loss: _Loss, exams: int, config: GateConfig) -> dict[str, float]:
    """Return the chance that an equal challenger passes, and the exams that make it 0.8."""
    error = float(np.nanstd(loss.draws))
    quantile = -float(stats.norm.ppf(expanded_tail(config.alpha, loss.units)))
    reach = config.margin_auc / max(error, 1e-9)
    wanted = (quantile + float(stats.norm.ppf(POWER_WANTED))) / reach
    return {
        "probability": float(stats.norm.cdf(reach - quantile)),
        "standard_error": error,
        "margin": config.margin_auc,
        "exams": float(exams),
        "exams_for_80_percent": float(np.ceil(exams * wanted**2)),
    }


def _golden_above_chance(golden: Scored, config: GateConfig) -> Clause:
    auc = auc_interval(
        golden.labels,
        golden.challenger_scores,
        golden.patients,
        resamples=config.resamples,
        seed=config.seed,
        level=1 - 2 * config.alpha,
    )
    text = (
        f"First release: golden AUC {auc} ({golden.described}); "
        f"the lower bound must be above 0.500."
    )
    return Clause(GOLDEN_ABOVE_CHANCE, auc.low > 0.5, True, auc.value, auc.low, auc.high, 0.5, text)


def _newest_auc(golden: Scored, newest: Scored | None, config: GateConfig) -> Clause:
    if newest is None:
        return _not_judged(NEWEST_AUC, "No newest window was given.")
    scarce = min(int(newest.labels.sum()), int((~newest.labels).sum()))
    if scarce < config.min_per_class:
        text = (
            f"Newest window too small: {newest.described}; {config.min_per_class} of each needed."
        )
        return _not_judged(NEWEST_AUC, text)
    scores = golden.challenger_scores if golden.champion_scores is None else golden.champion_scores
    limit = roc_auc(golden.labels, scores) - config.margin_newest
    value = roc_auc(newest.labels, newest.challenger_scores)
    if newest.champion_scores is None:
        text = f"Newest AUC {value:.3f} ({newest.described}); at least {limit:.3f} is on target."
        return Clause(NEWEST_AUC, value >= limit, True, value, None, None, limit, text)
    loss = _auc_loss(newest, config)
    low, high = loss.low(config.alpha), loss.high(config.alpha)
    on_target = value >= limit and loss.value >= -config.margin_newest
    text = (
        f"Newest AUC {value - loss.value:.3f} to {value:.3f}, difference {loss.value:+.3f} "
        f"({low:+.3f} to {high:+.3f}; {newest.described}); either the lower bound must be "
        f"above 0, or the AUC at least {limit:.3f} and not {config.margin_newest:.3f} below the "
        f"champion's."
    )
    return Clause(NEWEST_AUC, low > 0 or on_target, True, value, low, high, limit, text)


def _newest_recall(newest: Scored | None, config: GateConfig, target: float) -> Clause:
    if newest is None or newest.challenger_recalled is None:
        return _not_judged(NEWEST_RECALL, "No decisions on a newest window were given.")
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


def _sensitivity(golden: Scored, config: GateConfig, target: float) -> Clause:
    after = sensitivity_at_recall_statistic(golden.labels, golden.challenger_scores, target)
    found = float(after(np.ones((1, len(golden.labels))))[0])
    if golden.champion_scores is None:
        text = f"Finds {found:.1%} of cancers when {target:.1%} of golden exams are recalled; "
        return _not_judged(SENSITIVITY, text + "no champion to compare with.", found)
    before = sensitivity_at_recall_statistic(golden.labels, golden.champion_scores, target)
    loss = _paired(golden, lambda weights: after(weights) - before(weights), config)
    low, high, margin = loss.low(config.alpha), loss.high(config.alpha), config.margin_sensitivity
    text = (
        f"When {target:.1%} of golden exams are recalled, sensitivity goes from "
        f"{found - loss.value:.1%} to {found:.1%}, difference {loss.value:+.3f} ({low:+.3f} to "
        f"{high:+.3f}; {golden.described}); the lower bound must reach {-margin:+.3f}."
    )
    passed = low >= -margin - ROUNDING
    return Clause(SENSITIVITY, passed, True, loss.value, low, high, -margin, text)


def _calibration(golden: Scored, config: GateConfig) -> Clause:
    probabilities = golden.challenger_probabilities
    if probabilities is None:
        return _not_judged(CALIBRATION, "No probabilities were given.")
    bins = int(np.clip(len(golden.labels) // 10, 2, 10))
    error = expected_calibration_error(golden.labels, probabilities, bins)
    chance = chance_calibration_error(probabilities, bins, seed=config.seed)
    limit = chance + config.max_ece
    text = (
        f"Calibration error {error:.3f} in {bins} bins ({golden.described}), of which "
        f"{chance:.3f} is expected by chance; at most {limit:.3f} is allowed"
    )
    passed = error <= limit
    if golden.champion_probabilities is not None:
        before = expected_calibration_error(golden.labels, golden.champion_probabilities, bins)
        passed = passed and error <= max(before + config.ece_slack, chance)
        text += f", and {config.ece_slack:.3f} above the champion's {before:.3f}"
    return Clause(CALIBRATION, passed, True, error, None, None, limit, text + ".")


def _subgroups(golden: Scored, config: GateConfig) -> Clause:
    """Non-inferiority per scanner; Holm: the i-th smallest p-value at alpha / (m - i)."""
    if golden.champion_scores is None or golden.scanner is None:
        return _not_judged(SUBGROUPS, "No champion or no scanners to compare.")
    judged: dict[str, _Loss] = {}
    skipped: list[str] = []
    for name in np.unique(golden.scanner):
        part = golden.at(golden.scanner == name)
        positive, negative = int(part.labels.sum()), int((~part.labels).sum())
        if min(positive, negative) < config.min_per_class:
            skipped.append(f"{name} ({positive} with cancer, {negative} without)")
        else:
            judged[str(name)] = _auc_loss(part, config)
    note = (
        f" Not judged, {config.min_per_class} of each needed: {', '.join(skipped)}."
        if skipped
        else ""
    )
    if not judged:
        return _not_judged(SUBGROUPS, "No scanner has exams enough." + note)
    return _holm(judged, config, note)


def _holm(judged: dict[str, _Loss], config: GateConfig, note: str) -> Clause:
    margin = config.margin_subgroup
    order = sorted(judged, key=lambda name: judged[name].p_value(margin))
    parts: list[str] = []
    failed: list[str] = []
    lows: dict[str, float] = {}
    for step, name in enumerate(order):
        loss = judged[name]
        lows[name] = loss.low(config.alpha / (len(order) - step))
        if failed or lows[name] < -margin - ROUNDING:  # Holm stops at the first that is not shown
            failed.append(name)
        parts.append(f"{name} {loss.value:+.3f} (from {lows[name]:+.3f})")
    worst = min(order, key=lambda name: lows[name])
    verdict = f"not shown for {', '.join(failed)}" if failed else "shown for all"
    text = (
        f"AUC differences by scanner: {', '.join(parts)}; every Holm lower bound must reach "
        f"{-margin:+.3f}: {verdict}.{note}"
    )
    value = judged[worst].value
    return Clause(SUBGROUPS, not failed, True, value, lows[worst], None, -margin, text)


def _latency(latency_ms: tuple[float | None, float] | None, config: GateConfig) -> Clause:
    if latency_ms is None:
        return _not_judged(LATENCY, "No latency was measured.")
    before, after = latency_ms
    limit = config.max_latency_ms
    if before is not None:
        limit = min(limit, config.latency_factor * before)
    text = f"{after:.0f} ms per exam; at most {limit:.0f} ms is allowed"
    text += f" (champion {before:.0f} ms)." if before is not None else "."
    return Clause(LATENCY, after <= limit, True, after, None, None, limit, text)


def _not_judged(name: str, text: str, value: float | None = None) -> Clause:
    return Clause(name, True, False, value, None, None, None, text)
