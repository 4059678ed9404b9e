"""Champion against challenger: may this release be put into service?

Pure functions on exam-level arrays. Every clause has a stable name, what was
found, what is allowed, and a sentence for people; a refusal is the list of the
required clauses that failed. "Not worse" is shown, never presumed: the lower
confidence bound must lie above minus the margin, so that few exams make a
release harder to pass, not easier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mammo.evaluation import gate_golden, gate_groups, gate_newest
from mammo.evaluation.gate_bounds import Measured
from mammo.evaluation.metrics import require_classes
from mammo.evaluation.verdict import Check, Clause, GateConfig, GateDecision, Scored, not_judged

__all__ = ["Check", "Clause", "GateConfig", "GateDecision", "Scored", "decide"]

LATENCY = "latency"
INFRASTRUCTURE = "infrastructure"


def decide(
    golden: Scored,
    newest: Scored | None,
    *,
    config: GateConfig,
    challenger_id: str,
    champion_id: str | None,
    target_recall_rate: float,
    latency_ms: tuple[float | None, float] | None = None,
    alpha: float | None = None,
    ledger: Mapping[str, Any] | None = None,
    infrastructure: Sequence[Check] = (),
) -> GateDecision:
    """Judge a challenger against the champion, clause by clause.

    Parameters
    ----------
    golden : Scored
        The sealed set: patients that no release compared was trained on. Its
        ``earlier_scores`` give the original champion (the first) and every release
        for the matrix of what was forgotten.
    newest : Scored or None
        The newest mature window of the scanner that drifted, if any.
    champion_id : str or None
        None for the first release; then ``champion_scores`` is None too.
    target_recall_rate : float
        Share of exams recalled, in (0, 1).
    latency_ms : (champion, challenger), optional
        Milliseconds per exam.
    alpha : float, optional
        Level of every bound, in (0, 0.5): what the ledger allows. The configuration's
        where it is None.
    ledger : mapping, optional
        Kept on the decision as it is.
    infrastructure : sequence of Check
        What the installation found of the release; each must have passed.

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
    if alpha is not None:
        config = replace(config, alpha=alpha)
    whole, power = _whole(golden, champion_id, challenger_id, config, target_recall_rate)
    forgetting, matrix = gate_groups.forgetting_clause(golden, champion_id, challenger_id, config)
    clauses = (
        *whole[:2],
        gate_newest.newest_auc_clause(golden, newest, config),
        gate_newest.newest_recall_clause(newest, config, target_recall_rate),
        *whole[2:],
        gate_golden.calibration_clause(golden, config),
        gate_groups.subgroups_clause(golden, config),
        forgetting,
        _latency(latency_ms, config),
        _infrastructure(infrastructure),
    )
    passed = all(clause.passed for clause in clauses if clause.required)
    return GateDecision(
        passed,
        challenger_id,
        champion_id,
        clauses,
        power,
        config.alpha,
        ledger=dict(ledger or {}),
        forgetting=matrix,
        approval=gate_golden.approval_text(power, config) if passed else None,
    )


def _whole(
    golden: Scored, champion: str | None, challenger: str, config: GateConfig, rate: float
) -> tuple[list[Clause], dict[str, float]]:
    """Return the clauses against champion, against original, of sensitivity; and the power."""
    if champion is None:
        first = gate_golden.above_chance_clause(golden, config)
        original = gate_golden.original_clause(golden, None, challenger, config)
        return [first, original, gate_golden.sensitivity_clause(golden, None, config, rate)], {}
    measured: Measured = gate_golden.measure_golden(golden, champion, challenger, config, rate)
    loss = measured.auc_loss(challenger, champion)
    found = measured.sensitivity_loss(challenger, champion)
    clauses = [
        gate_golden.golden_clause(golden, loss, float(measured.auc[champion][0]), config),
        gate_golden.original_clause(golden, measured, challenger, config),
        gate_golden.sensitivity_clause(golden, found, config, rate),
    ]
    return clauses, gate_golden.golden_power(golden, loss, config)


def _latency(latency_ms: tuple[float | None, float] | None, config: GateConfig) -> Clause:
    if latency_ms is None:
        return not_judged(LATENCY, "No latency was measured.")
    before, after = latency_ms
    limit = config.max_latency_ms
    if before is not None:
        limit = min(limit, config.latency_factor * before)
    text = f"{after:.0f} ms per exam; at most {limit:.0f} ms is allowed"
    text += f" (champion {before:.0f} ms)." if before is not None else "."
    return Clause(LATENCY, after <= limit, True, after, None, None, limit, text)


def _infrastructure(checks: Sequence[Check]) -> Clause:
    if not checks:
        return not_judged(INFRASTRUCTURE, "The installation was not checked.")
    failed = [check for check in checks if not check.passed]
    shown = failed or checks
    text = f"{len(checks) - len(failed)} of {len(checks)} checks passed"
    text += ", all must. " if failed else ". "
    text += " ".join(f"{check.name}: {check.text}" for check in shown)
    count = float(len(checks) - len(failed))
    return Clause(
        INFRASTRUCTURE, not failed, True, count, None, None, float(len(checks)), text.strip()
    )
