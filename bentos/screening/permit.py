"""What permits a move: a clause of the plan, the gate's verdict, perhaps a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from bentos.screening.change_record import Why
from mammo.changes.plan import ChangePlan, PlanClause


@dataclass(frozen=True)
class Permit:
    """What permits a move.

    ``clause`` is the id of the clause of the move (``C11``: promotion after trial),
    ``of_release`` that of the release's own change (``C5``: fine-tuned); they are the same where
    it goes into service at once. ``stages`` is the way into service, ``text`` one sentence for
    people. ``gate`` is the key of the verdict, ``approved_by`` who approved; ``limits`` the two
    clauses in full, and ``plan``, ``plan_sha256`` and ``intended_use`` the plan they are of.
    """

    clause: str
    text: str
    stages: tuple[str, ...]
    of_release: str | None = None
    gate: str | None = None
    approved_by: str | None = None
    limits: dict[str, Any] | None = None
    plan: str | None = None
    plan_sha256: str | None = None
    intended_use: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"stages": list(self.stages)}

    def granted(self, why: Why) -> Why:
        """Return the reason with this permit in it."""
        return replace(why, clause=self.to_dict())


def permit_of(plan: ChangePlan, clause: PlanClause, own: PlanClause | None, text: str) -> Permit:
    """Return the permit of a move under ``clause``, of a release whose own clause is ``own``."""
    limits = {one.id: one.to_dict() for one in (clause, own) if one is not None}
    return Permit(
        clause.id,
        text,
        (own or clause).stages,
        None if own is None else own.id,
        limits=limits,
        plan=plan.version,
        plan_sha256=plan.sha256,
        intended_use=plan.intended_use,
    )
