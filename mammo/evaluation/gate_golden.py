"""The gate's clauses on the whole golden set: not worse than the champion, nor the original."""

from __future__ import annotations

import numpy as np
from scipy import stats

from mammo.evaluation.bootstrap import expanded_tail
from mammo.evaluation.calibration import (
    calibration_slope_intercept,
    chance_calibration_error,
    expected_calibration_error,
    overconfidence,
)
from mammo.evaluation.gate_bounds import Loss, Measured, measure
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.gate_material import Scored
from mammo.evaluation.metrics import auc_interval, sensitivity_at_recall_statistic
from mammo.evaluation.verdict import Clause, not_judged

GOLDEN_NON_INFERIOR = "golden_auc_non_inferior"
GOLDEN_ABOVE_CHANCE = "golden_auc_above_chance"
ORIGINAL_NON_INFERIOR = "original_auc_non_inferior"
SENSITIVITY = "sensitivity_at_recall"
CALIBRATION = "calibration"

POWER_WANTED = 0.8
SLOPE_ALPHA = 0.05
"""A slope refuses where it is shown to be too small: of releases at the limit, one in twenty."""


def measure_golden(
    golden: Scored, champion: str, challenger: str, config: GateConfig, recall_rate: float
) -> Measured:
    """Measure challenger, champion and original champion on the golden set."""
    assert golden.champion_scores is not None
    scores = {champion: golden.champion_scores, challenger: golden.challenger_scores}
    if golden.original is not None and golden.original not in scores:
        scores[golden.original] = golden.earlier_scores[golden.original]
    return measure(golden, scores, config, recall_rate)


def golden_clause(golden: Scored, loss: Loss, before: float, config: GateConfig) -> Clause:
    """Judge the golden AUC against the champion's, which is ``before``."""
    low, high, margin = loss.low(config.alpha), loss.high(config.alpha), config.margin_auc
    text = (
        f"Golden AUC {before:.3f} to {before + loss.value:.3f}, difference {loss.value:+.3f} "
        f"({low:+.3f} to {high:+.3f}; {golden.described}); the lower bound must reach "
        f"{-margin:+.3f}.{_too_small(golden, loss, config)}"
    )
    passed = loss.reaches(margin, config.alpha)
    return Clause(GOLDEN_NON_INFERIOR, passed, True, loss.value, low, high, -margin, text)


def golden_power(golden: Scored, loss: Loss, config: GateConfig) -> dict[str, float]:
    """Return the chance that an equal challenger passes, and the exams that make it 0.8."""
    error, exams = loss.error(), len(golden.labels)
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


def _too_small(golden: Scored, loss: Loss, config: GateConfig) -> str:
    power = golden_power(golden, loss, config)
    if power["probability"] >= POWER_WANTED:
        return ""
    return (
        f" The golden set is small for this margin: an equal challenger passes with "
        f"{power['probability']:.0%}; with {power['exams_for_80_percent']:.0f} exams of this mix "
        f"it would with {POWER_WANTED:.0%}."
    )


def approval_text(power: dict[str, float], config: GateConfig) -> str | None:
    """Say why a person must approve a challenger that passed; None where the power is enough."""
    if not power or power["probability"] >= config.min_power:
        return None
    return (
        f"The golden set shows little: a challenger as good as the champion passes with "
        f"{power['probability']:.0%}, and below {config.min_power:.0%} a person must approve. "
        f"{power['exams_for_80_percent']:.0f} golden exams of this mix, instead of "
        f"{power['exams']:.0f}, would make it {POWER_WANTED:.0%}."
    )


def above_chance_clause(golden: Scored, config: GateConfig) -> Clause:
    """Judge a first release: its golden AUC is above one half."""
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


def original_clause(
    golden: Scored, measured: Measured | None, challenger: str, config: GateConfig
) -> Clause:
    """Judge the golden AUC against the original champion's: small losses do not add up."""
    original = golden.original
    if measured is None or original is None:
        return not_judged(ORIGINAL_NON_INFERIOR, "No original champion was given.")
    if len(measured.auc) < 3:  # the original is one of the two that are compared anyway
        role = "challenger" if original == challenger else "champion"
        return not_judged(ORIGINAL_NON_INFERIOR, f"The {role} {original} is the original.")
    loss = measured.auc_loss(challenger, original)
    low, high, margin = loss.low(config.alpha), loss.high(config.alpha), config.margin_original
    before = float(measured.auc[original][0])
    text = (
        f"Golden AUC of the original champion {original} {before:.3f}, now "
        f"{before + loss.value:.3f}, difference {loss.value:+.3f} ({low:+.3f} to {high:+.3f}); "
        f"the lower bound must reach {-margin:+.3f}."
    )
    passed = loss.reaches(margin, config.alpha)
    return Clause(ORIGINAL_NON_INFERIOR, passed, True, loss.value, low, high, -margin, text)


def sensitivity_clause(
    golden: Scored, loss: Loss | None, config: GateConfig, rate: float
) -> Clause:
    """Judge the sensitivity when the share ``rate`` of golden exams is recalled."""
    statistic = sensitivity_at_recall_statistic(golden.labels, golden.challenger_scores, rate)
    found = float(statistic(np.ones((1, len(golden.labels))))[0])
    if loss is None:
        text = f"Finds {found:.1%} of cancers when {rate:.1%} of golden exams are recalled; "
        return not_judged(SENSITIVITY, text + "no champion to compare with.", found)
    low, high, margin = loss.low(config.alpha), loss.high(config.alpha), config.margin_sensitivity
    text = (
        f"When {rate:.1%} of golden exams are recalled, sensitivity goes from "
        f"{found - loss.value:.1%} to {found:.1%}, difference {loss.value:+.3f} ({low:+.3f} to "
        f"{high:+.3f}; {golden.described}); the lower bound must reach {-margin:+.3f}."
    )
    passed = loss.reaches(margin, config.alpha)
    return Clause(SENSITIVITY, passed, True, loss.value, low, high, -margin, text)


def calibration_clause(golden: Scored, config: GateConfig) -> Clause:
    """Judge the calibration error against what chance gives, and against the champion's.

    And the slope: on few exams probabilities four times too far from one half hide within the
    tolerance of the error, but not in the slope.
    """
    probabilities = golden.challenger_probabilities
    if probabilities is None:
        return not_judged(CALIBRATION, "No probabilities were given.")
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
        # a champion that is nearer than chance was lucky: that is not asked of the next
        passed = passed and error <= max(before, chance) + config.ece_slack
        text += (
            f", and {config.ece_slack:.3f} above the champion's {before:.3f} or chance, "
            "whichever is more"
        )
    steep, told = _slope(golden, config)
    passed = passed and not steep
    return Clause(CALIBRATION, passed, True, error, None, None, limit, f"{text}. {told}")


def _slope(golden: Scored, config: GateConfig) -> tuple[bool, str]:
    """Say whether the probabilities are shown to be too extreme, and the sentence about it."""
    assert golden.challenger_probabilities is not None
    slope = calibration_slope_intercept(golden.labels, golden.challenger_probabilities)[0]
    limit = config.min_slope
    if golden.champion_probabilities is not None:
        # a champion that is too sure itself is no reason to refuse one that is no worse
        before = calibration_slope_intercept(golden.labels, golden.champion_probabilities)[0]
        limit *= float(np.clip(before, 0.0, 1.0))
    evidence = overconfidence(golden.labels, golden.challenger_probabilities, limit)
    wanted = float(stats.norm.isf(SLOPE_ALPHA))
    text = (
        f"Calibration slope {slope:.2f}, {evidence:+.1f} standard deviations under the "
        f"{limit:.2f} that is allowed; refused from {wanted:+.1f}."
    )
    return evidence > wanted, text
