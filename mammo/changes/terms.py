"""Did the clause that a record names permit what the record says? Asked of the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mammo.changes.coverage import ROLLOUT, gate_lacks, trial_cleared
from mammo.changes.plan import ChangePlan, PlanClause

STAGE_MOVES = {
    "champion": ("release", "repackaging", "promotion"),
    "shadow": ("shadow",),
    "canary": ("canary",),
    "stopped": ("stop",),
}
"""Stage of a record -> the moves of the clauses that lead there."""
BACK = ("rollback", "stop")


def check_terms(record: Mapping[str, Any], plan: ChangePlan) -> Iterator[str]:
    """Yield each term of the plan that the change did not keep.

    The record holds its clauses in full. Where it names the plan in force by digest, they must
    be that plan's, too.
    """
    said = record["clause"]
    limits = (said or {}).get("limits") or {}
    if said is None or said["clause"] not in limits:
        yield "no clause of the change-control plan is named"
        return
    clauses = {name: PlanClause.from_dict(one) for name, one in limits.items()}
    if said["plan_sha256"] == plan.sha256:
        yield from _not_the_plans(clauses, plan)
    clause = clauses[said["clause"]]
    yield from _check_move(clause, record)
    if clause.move in BACK:
        return
    own = clauses.get(said["of_release"], clause)
    yield from _check_kind(own, record)
    if own.move != "repackaging":
        yield from _check_gate(own, record)
    if own.needs_trial and record["stage"] == "champion":
        yield from _check_trial(own, record)


def _not_the_plans(clauses: Mapping[str, PlanClause], plan: ChangePlan) -> Iterator[str]:
    for name, one in clauses.items():
        if plan.clauses.get(name) != one:
            yield f"clause {name} is not what the plan of that digest says"


def _check_move(clause: PlanClause, record: Mapping[str, Any]) -> Iterator[str]:
    wanted = ("rollback",) if record["rollback"] else STAGE_MOVES[record["stage"]]
    if clause.move not in wanted:
        yield f"clause {clause.id} is about {clause.move}, the change was {' or '.join(wanted)}"
    if record["trigger"] not in clause.triggers and record["trigger"] != ROLLOUT:
        yield f"trigger {record['trigger']} is none of clause {clause.id}"


def _check_kind(own: PlanClause, record: Mapping[str, Any]) -> Iterator[str]:
    if record["kind"] not in own.kinds:
        yield f"clause {own.id} is about {', '.join(own.kinds)}, the release is {record['kind']}"


def _check_gate(own: PlanClause, record: Mapping[str, Any]) -> Iterator[str]:
    gate = record["gate"]
    if gate is None or not gate["passed"]:
        yield "the gate did not pass the release"
        return
    lacking = gate_lacks(own, gate["clauses"] or ())
    if lacking:
        yield f"clause {own.id} asks for the gate's {', '.join(lacking)}"
    asked = own.approval == "always" or (own.approval == "low_power" and gate["approval"])
    if asked and record["approval"] is None:
        yield f"clause {own.id} asks for a person's approval, and there is none"


def _check_trial(own: PlanClause, record: Mapping[str, Any]) -> Iterator[str]:
    cleared = record["trigger"] == ROLLOUT and trial_cleared(record["guard"], record["release"])
    if not cleared and record["approval"] is None:
        yield (
            f"clause {own.id} leads over {', '.join(own.stages)}; neither did the guard clear a "
            "trial nor did a person approve"
        )
