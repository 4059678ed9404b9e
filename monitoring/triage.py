"""From what moved to what it means and what is done.

| cause | action |
|---|---|
| data_fault: images, views or values do not arrive as they are | quarantine |
| prevalence: more or fewer cancers, or other women | note |
| acquisition: the images are made otherwise | recalibrate_and_retrain |
| concept: cancers look otherwise, or are ranked lower | retrain |
| software_version: a new version, nothing moved yet | note |
| mixed: two of the first four at once | quarantine if data are broken, else retrain |

The probabilities come from the table in `monitoring.causes`. An action is taken when
its causes together are `CERTAIN`, the retraining flow started when they are `LIKELY`;
otherwise, or where the data themselves are in doubt, a person is asked and nothing
starts (docs/triage.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from monitoring.causes import (
    CAUSES,
    SIGNS,
    Cause,
    Hypothesis,
    posterior,
    read_signs,
    weight_of,
)
from monitoring.evidence import Evidence
from monitoring.reasons import DOUBTS, reason_for

__all__ = ["ACTIONS", "CERTAIN", "Action", "Cause", "Evidence", "Triage", "decide"]

Action = Literal["quarantine", "note", "recalibrate_and_retrain", "retrain", "ask"]
CERTAIN = 0.8
"""Probability that the causes of an action must have together before it is taken.

A wrong question costs a person some minutes, a wrong action days in quarantine or an
operating point that hides cancers.
"""
LIKELY = 0.6
"""The same for starting the retraining flow: the gate judges what comes of it."""

ACTIONS: dict[Hypothesis, Action] = {
    ("data_fault",): "quarantine",
    ("acquisition",): "recalibrate_and_retrain",
    ("prevalence",): "note",
    ("concept",): "retrain",
    ("software_version",): "note",
    # nothing may be learnt while data are broken, and what else there is cannot be seen
    ("data_fault", "acquisition"): "quarantine",
    ("data_fault", "prevalence"): "quarantine",
    ("data_fault", "concept"): "quarantine",
    # laying the scores onto the reference's would hide that there are more cancers
    ("acquisition", "prevalence"): "retrain",
    ("acquisition", "concept"): "recalibrate_and_retrain",
    ("prevalence", "concept"): "retrain",
}


@dataclass(frozen=True)
class Triage:
    """Cause, action, and the reason in words for the person who is alerted.

    ``probabilities`` are of each cause, ``mixed`` among them, and sum to one.
    ``weights`` list what was seen with its weight of evidence for each single cause, in
    nats (`monitoring.causes.weight_of`), the heaviest first.
    """

    cause: Cause
    action: Action
    reason: str
    probabilities: dict[Cause, float] = field(default_factory=dict)
    weights: list[tuple[str, dict[str, float]]] = field(default_factory=list)

    @property
    def acts(self) -> bool:
        """True when somebody has to act, a run or a person; a note asks nothing."""
        return self.action != "note"

    @property
    def starts_run(self) -> bool:
        """True when the retraining flow is started."""
        return self.action in ("recalibrate_and_retrain", "retrain")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            "cause": self.cause,
            "action": self.action,
            "reason": self.reason,
            "probabilities": {name: round(p, 4) for name, p in self.probabilities.items()},
            "weights": [
                {"seen": seen, "weights": {name: round(w, 2) for name, w in row.items()}}
                for seen, row in self.weights
            ],
        }


def decide(evidence: Evidence) -> Triage | None:
    """Return cause, action and their grounds; None when nothing was seen."""
    if not evidence.anything:
        return None
    answers = read_signs(evidence)
    chances = posterior(answers)
    probabilities = by_cause(chances)
    cause = max(probabilities, key=lambda one: probabilities[one])
    action = choose_action(chances, evidence)
    pair = max((one for one in chances if len(one) > 1), key=lambda one: chances[one])
    reason = reason_for(evidence, cause, action, pair, probabilities)
    return Triage(cause, action, reason, probabilities, weigh(answers))


def by_cause(chances: Mapping[Hypothesis, float]) -> dict[Cause, float]:
    """Return P(cause); every two at once count as ``mixed``."""
    found: dict[Cause, float] = {one: chances[(one,)] for one in CAUSES}
    found["mixed"] = sum(value for one, value in chances.items() if len(one) > 1)
    return found


def choose_action(chances: Mapping[Hypothesis, float], evidence: Evidence) -> Action:
    """Return the action whose causes together are `CERTAIN`, else ``ask``.

    Causes that start the retraining flow add up: whichever of them it is, the flow is
    started, from `LIKELY` on and always when outcomes show that cancers rank lower. An
    operating point is set without outcomes only where the causes of that are certain.
    """
    if any(code in DOUBTS for code in evidence.codes):
        return "ask"
    chance: dict[Action, float] = dict.fromkeys(ACTIONS.values(), 0.0)
    for one, value in chances.items():
        chance[ACTIONS[one]] += value
    certain: tuple[Action, ...] = ("quarantine", "recalibrate_and_retrain", "note")
    for action in certain:
        if chance[action] >= CERTAIN:
            return action
    starts = chance["retrain"] + chance["recalibrate_and_retrain"]
    return "retrain" if starts >= LIKELY or evidence.ranks_lower else "ask"


def weigh(answers: Mapping[str, str]) -> list[tuple[str, dict[str, float]]]:
    """Return what was seen, in words, and its weight for each cause; the heaviest first."""
    rows: list[tuple[str, dict[str, float]]] = []
    for name, answer in answers.items():
        weights: dict[str, float] = {
            str(one): value for one, value in weight_of(name, answer).items()
        }
        rows.append((f"{SIGNS[name].question}: {answer}", weights))
    return sorted(rows, key=lambda row: -max(abs(weight) for weight in row[1].values()))
