"""May this release be moved so? The plan, the gate's books and a person's approval say it.

    permit = require_permitted(settings, packaged.release_dir, "champion", why)
    why = permit.granted(why)          # the pointer and the record tell the clause

Asked before the pointer is moved, by every deployment. What is in service already, a rollback
and the end of a trial ask nothing of the gate: the way back must never be closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bentos.screening.change_record import Why, id_of
from bentos.screening.permit import Permit, permit_of
from mammo.changes.coverage import (
    ROLLOUT,
    Asked,
    asked_of,
    cover,
    gate_lacks,
    trial_cleared,
    trigger_of,
)
from mammo.changes.plan import ChangePlan, PlanClause
from mammo.changes.plan_file import PLAN_PATH, plan_from, read_plan
from mammo.errors import ApprovalNeeded, GateRefused, NotJudged, PlanInvalid
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import MANIFEST, Release
from mammo.settings import Settings

__all__ = ["Permit", "require_permitted"]

Row = dict[str, Any]
BACK = {"rollback": "rollback", "stopped": "stop"}
"""Stages that lead out of service, and the plan's word for the move."""


def require_permitted(
    settings: Settings, directory: Path, stage: str, why: Why, *, rollback: bool = False
) -> Permit:
    """Return what permits to move the release in ``directory``, or raise what would.

    Parameters
    ----------
    directory
        The release's folder, in a Bento or in the home. Its digest is taken as the manifest
        states it: the smoke test checks it before the pointer is moved.
    stage
        ``champion``, ``shadow``, ``canary``; ``rollout`` for the first stage of its way
        (``Permit.stages`` says which); ``rollback`` and ``stopped`` lead out of service.
    rollback
        True as for the stage ``rollback``.

    Raises
    ------
    NotJudged
        The gate never judged this release, or not what its clause asks for.
    GateRefused
        Its newest verdict is a refusal.
    ApprovalNeeded
        A person must approve: the gate could show too little, the clause always asks, or the
        release would come into service without the trial that its clause asks for.
    ChangeNotCovered
        No clause of the plan covers the change.
    PlanInvalid, ReleaseNotFound
        The home's plan cannot be read; the release in service or this one is gone.
    """
    release, pointer = Release.read(directory), read_pointer(settings.pointer_path)
    move = "rollback" if rollback else BACK.get(stage)
    if move is not None:
        return _permit_back(settings, release, move, why)
    if stage == "champion" and pointer and pointer["release_dir"] == str(directory):
        return _standing(settings, release, pointer)
    return _Case(settings, read_plan(settings), release, pointer, why).permit(stage)


def _permit_back(settings: Settings, release: Release, move: str, why: Why) -> Permit:
    """Permit to take a release back, by the project's plan where the home's cannot be read."""
    try:
        plan = read_plan(settings)
    except PlanInvalid:
        plan = plan_from(PLAN_PATH)
    clause = cover(plan, move, Asked(release.id, release.kind, trigger_of(why.reason)))
    return permit_of(plan, clause, None, f"{clause.id}: {clause.title}.")


def _standing(settings: Settings, release: Release, pointer: Row) -> Permit:
    """Return what permitted the release that is in service; nothing is moved again."""
    moved = pointer.get("moved") or {}
    said = moved.get("clause") if moved.get("release_id") == release.id else None
    if said:
        return Permit(**{**said, "stages": tuple(said["stages"])})
    return Permit("", f"{release.id} is in service already; nothing is moved.", ("champion",))


@dataclass(frozen=True)
class _Case:
    """One release that wants to be moved, and everything that is known of it."""

    settings: Settings
    plan: ChangePlan
    release: Release
    pointer: Row | None
    why: Why

    def permit(self, stage: str) -> Permit:
        own = self._own_clause()
        if own.move == "repackaging":
            return permit_of(self.plan, own, own, f"{own.id}: {own.title}.")
        verdict = self._require_verdict(own)
        approval = self._log.approval_of(self.release.digest)
        self._require_approval(own, verdict, approval)
        stage = own.stages[0] if stage == "rollout" else stage
        clause = self._clause_of_move(own, stage, approval)
        alpha = (verdict["decision"] or {}).get("alpha", verdict["alpha"])
        text = f"{clause.id}: {clause.title}; gate passed at alpha {alpha:.3g}"
        if clause is not own:
            text = f"{text}; {own.id}: {own.title}"
        if approval is not None:
            text = f"{text}; approved by {approval['by']}"
        by = None if approval is None else str(approval["by"])
        permit = permit_of(self.plan, clause, own, f"{text}.")
        return replace(permit, gate=verdict["key"], approved_by=by)

    @property
    def _log(self) -> PredictionLog:
        return PredictionLog(self.settings.log_url).create()

    @property
    def _on_trial(self) -> bool:
        challenger = (self.pointer or {}).get("challenger")
        return id_of(challenger) == self.release.id

    def _own_clause(self) -> PlanClause:
        """Return the clause of the change that the release itself is."""
        champion = _champion(self.settings, self.pointer)
        asked = asked_of(
            self.release,
            champion,
            trigger_of(self.why.reason),
            intended_use_same=self._intended_use_same(),
        )
        served = None if champion is None else (champion.id, champion.digest)
        again = served == (self.release.id, self.release.digest)
        move = "repackaging" if again else "release"
        return cover(self.plan, move, asked, on_trial=self._on_trial)

    def _intended_use_same(self) -> bool:
        said = [(one["record"].get("clause") or {}) for one in self._log.changes()]
        uses = [one["intended_use"] for one in said if one.get("intended_use")]
        return not uses or uses[-1] == self.plan.intended_use

    def _require_verdict(self, own: PlanClause) -> Row:
        name = self.release.id
        verdict = self._log.verdict_on(self.release.digest)
        if verdict is None:
            raise NotJudged(
                f"Release {name} (digest {self.release.digest[:12]}) was never judged by the gate. "
                f"`mammo gate {name}` judges it; what passes may be deployed."
            )
        decision = verdict["decision"] or {}
        if not verdict["passed"]:
            failed = ", ".join(decision.get("failed", ())) or "no reason is kept"
            raise GateRefused(
                f"Release {name} was refused by the gate ({failed}) and does not come into "
                f"service. `mammo gate {name}` tells the figures; another release must be made."
            )
        lacking = gate_lacks(own, decision.get("clauses", ()))
        if lacking:
            raise NotJudged(
                f"Clause {own.id} ({own.title}) of the change-control plan asks for the gate's "
                f"{', '.join(lacking)}, which it did not judge for {name}. Judge it again, with "
                f"what it lacked, against {id_of(self.pointer) or 'no release'}: "
                f"`mammo gate {name}`."
            )
        return verdict

    def _require_approval(self, own: PlanClause, verdict: Row, approval: Row | None) -> None:
        asked = (verdict["decision"] or {}).get("approval") if own.approval != "never" else None
        if own.approval == "always":
            asked = asked or f"clause {own.id} of the change-control plan always asks for it"
        if asked and approval is None:
            raise ApprovalNeeded(
                f"Release {self.release.id} passed the gate, and a person must approve it: {asked} "
                f"`mammo approve {self.release.id} --reason ...` does, with the role approve."
            )

    def _clause_of_move(self, own: PlanClause, stage: str, approval: Row | None) -> PlanClause:
        asked = Asked(self.release.id, self.release.kind, trigger_of(self.why.reason))
        if stage in ("shadow", "canary"):
            return cover(self.plan, stage, asked)
        if not own.needs_trial:
            return own
        if self._on_trial and (self._cleared_by_guard() or approval is not None):
            return cover(self.plan, "promotion", asked)
        if approval is not None:
            return own
        raise ApprovalNeeded(
            f"Clause {own.id} ({own.title}) of the change-control plan leads into service over "
            f"{', '.join(own.stages)}. `mammo deploy {self.release.id} --rollout` begins that; "
            f"the guard promotes it when its checks are cleared. Without the trial a person must "
            f"approve it: `mammo approve {self.release.id} --reason ...`."
        )

    def _cleared_by_guard(self) -> bool:
        cleared = trial_cleared(self.why.evidence, self.release.id)
        return self.why.reason == ROLLOUT and cleared


def _champion(settings: Settings, pointer: Row | None) -> Release | None:
    """Return the release in service, from its Bento or from the home."""
    if pointer is None:
        return None
    served = Path(pointer["release_dir"])
    home = settings.releases_dir / pointer["release_id"]
    return Release.read(served if (served / MANIFEST).is_file() else home)
