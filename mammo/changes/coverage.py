"""Does a clause of the plan cover a change? Pure: the plan and what is known go in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mammo.changes.difference import basis_of_points, differences, moved_points
from mammo.changes.plan import TRIGGERS, ChangePlan, PlanClause
from mammo.errors import ChangeNotCovered
from mammo.release import Release

MANUAL = "manual"
ROLLOUT = "rollout"


@dataclass(frozen=True)
class Asked:
    """A change that somebody wants, or that was made.

    ``release`` is to be moved, ``champion`` in service (None before the first),
    ``trigger`` one of the plan's words, ``differs`` what is not as in the champion.
    """

    release: str
    kind: str
    trigger: str
    champion: str | None = None
    differs: frozenset[str] = field(default_factory=frozenset)
    points: str | None = None
    moved: tuple[str, ...] = ()


def asked_of(
    release: Release, champion: Release | None, trigger: str, *, intended_use_same: bool = True
) -> Asked:
    """Return the change that putting ``release`` in the place of ``champion`` would be."""
    differs: frozenset[str] = frozenset()
    if champion is not None:
        differs = differences(champion, release)
    if not intended_use_same:
        differs |= {"intended_use"}
    return Asked(
        release.id,
        release.kind,
        trigger,
        None if champion is None else champion.id,
        differs,
        basis_of_points(champion, release) if release.kind == "recalibrated" else None,
        () if champion is None else tuple(moved_points(champion, release)),
    )


def trigger_of(reason: str) -> str:
    """Return the plan's word for the reason of a change; any other text is by hand."""
    return reason if reason in TRIGGERS else MANUAL


def cover(plan: ChangePlan, move: str, asked: Asked, *, on_trial: bool = False) -> PlanClause:
    """Return the first clause of the plan that covers the change as this move.

    ``on_trial``: the release is on trial already and ``rollout`` moves it on, so that what
    once triggered it counts no more.

    Raises ChangeNotCovered; the message says of each clause that comes near what it asks for.
    """
    near: list[str] = []
    for clause in plan.for_move(move):
        if not _speaks_of(clause, asked):
            continue
        lacks = list(_lacks(clause, asked, on_trial=on_trial))
        if not lacks:
            return clause
        near.append(f"{clause.id} ({clause.title}) does not: {'; '.join(lacks)}.")
    raise ChangeNotCovered(
        f"No clause of the change-control plan covers {asked.release} ({asked.kind}) as "
        f"{move} with trigger {asked.trigger!r}. {' '.join(near) or _none_near(plan, move)} "
        f"change_control_plan.yaml in the home is where a programme permits more."
    )


def _speaks_of(clause: PlanClause, asked: Asked) -> bool:
    """Whether the clause is about such a release at all."""
    if clause.move != "release":
        return asked.kind in clause.kinds
    first = asked.champion is None
    return (
        clause.first == first
        and asked.kind in clause.kinds
        and clause.points in (None, asked.points)
    )


def _lacks(clause: PlanClause, asked: Asked, *, on_trial: bool) -> Iterable[str]:
    free = on_trial and asked.trigger == ROLLOUT
    if asked.trigger not in clause.triggers and not free:
        yield f"its triggers are {', '.join(clause.triggers)}"
    if clause.move == "release" or clause.move == "repackaging":
        yield from (_difference(one, asked) for one in clause.unchanged if one in asked.differs)


def _difference(word: str, asked: Asked) -> str:
    if word == "other_points":
        return (
            f"it differs from {asked.champion} in the operating points of "
            f"{', '.join(asked.moved)}, and one scanner's is allowed; derive it from "
            f"{asked.champion}"
        )
    if word == "intended_use":
        return "the plan's intended use is another than when the last change was recorded"
    return f"its {word} is not that of {asked.champion}, which is in service"


def _none_near(plan: ChangePlan, move: str) -> str:
    clauses = plan.for_move(move)
    kinds = sorted({kind for one in clauses for kind in one.kinds})
    if not kinds:
        return f"No clause is about {move}."
    return f"Its clauses for {move} are about {', '.join(kinds)}."


def gate_lacks(clause: PlanClause, decided: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the gate's clauses that the plan asks for and that were not judged or not passed.

    ``decided`` are clauses of a `GateDecision` as plain data.
    """
    held = {one["name"] for one in decided if one["required"] and one["passed"]}
    return [name for name in clause.gate if name not in held]


def trial_cleared(evidence: Mapping[str, Any] | None, release_id: str) -> bool:
    """Whether the guard's evidence says that every check of this release's trial is cleared."""
    trial = (evidence or {}).get("guard") or {}
    checks = trial.get("checks") or ()
    cleared = all(one.get("verdict") == "cleared" for one in checks)
    return bool(checks) and cleared and trial.get("release") == release_id
