"""The predetermined change-control plan: which changes of what is in service are permitted.

``configs/change_control_plan.yaml`` is the plan of the project, docs/change_control_plan.md the
same in words; `mammo.changes.plan_file` reads it. The form follows what FDA's guidance asks of a
Predetermined Change Control Plan (description of modifications, modification protocol, impact
assessment) and what Article 43(4) of the EU AI Act calls changes pre-determined by the provider;
it has been assessed by neither.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LISTS = ("kinds", "triggers", "unchanged", "gate", "stages")
"""What of a clause is a list of words."""
KINDS = ("trained", "fine_tuned", "recalibrated", "exported", "joined")
TRIGGERS = (
    "first",
    "manual",
    "drift",
    "schedule",
    "labels",
    "refine",
    "recalibrate",
    "rollback",
    "rollout",
    "harm",
)
MOVES = ("release", "repackaging", "shadow", "canary", "promotion", "rollback", "stop")
UNCHANGED = (
    "target",
    "preprocessing",
    "architecture",
    "intended_use",
    "network",
    "weights",
    "points",
    "other_points",
)
"""What a clause may hold still: `mammo.changes.difference` says how each is compared."""
GATE_CLAUSES = (
    "golden_auc_above_chance",
    "golden_auc_non_inferior",
    "original_auc_non_inferior",
    "newest_auc_superior_or_on_target",
    "newest_recall_on_target",
    "sensitivity_at_recall",
    "calibration",
    "subgroups",
    "forgetting",
    "latency",
    "infrastructure",
)
APPROVALS = ("low_power", "always", "never")
STAGES = (("champion",), ("shadow", "canary", "champion"))
POINTS = ("scores", "outcomes")


@dataclass(frozen=True)
class PlanClause:
    """One clause. Lists are as in the file; an empty ``unchanged`` or ``gate`` asks for nothing.

    Attributes
    ----------
    move
        What it covers: ``release`` (another release, judged by the gate), ``repackaging``
        (the same release in a new Bento), the steps of a trial, ``rollback``, ``stop``.
    first
        True where no release is in service yet.
    points
        Of a recalibration: the point was set from ``scores`` alone or by ``outcomes``.
    unchanged
        What must be as in the champion.
    gate
        Clauses of the gate that must have been judged and must have passed. The verdict as a
        whole must have passed in any case.
    approval
        ``low_power``: a person approves where the gate says that it could show too little;
        ``always``; ``never`` asked.
    stages
        The way into service: at once, or over a trial.
    """

    id: str
    title: str
    move: str
    kinds: tuple[str, ...]
    triggers: tuple[str, ...]
    first: bool = False
    points: str | None = None
    unchanged: tuple[str, ...] = ()
    gate: tuple[str, ...] = ()
    approval: str = "never"
    stages: tuple[str, ...] = ("champion",)

    @property
    def needs_trial(self) -> bool:
        """True where the way into service leads over shadow and canary."""
        return len(self.stages) > 1

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON knows them."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PlanClause:
        """Build from `to_dict`'s data, as a change record holds it."""
        lists = {name: tuple(data.get(name, ())) for name in LISTS if name in data}
        return cls(**(dict(data) | lists))


@dataclass(frozen=True)
class ChangePlan:
    """The plan in force: its clauses by id, in the order of the file.

    ``sha256`` is of the plan after the home's differences, so that two installations with the
    same digest permit the same.
    """

    version: str
    intended_use: str
    clauses: dict[str, PlanClause]

    @property
    def sha256(self) -> str:
        """The digest of everything that the plan says, hexadecimal."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON knows it."""
        clauses = {name: one.to_dict() for name, one in self.clauses.items()}
        return {"version": self.version, "intended_use": self.intended_use, "clauses": clauses}

    def for_move(self, move: str) -> list[PlanClause]:
        """Return the clauses that cover a move."""
        return [one for one in self.clauses.values() if one.move == move]
