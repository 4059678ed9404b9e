"""The ways to run a programme that are compared, each one step away from ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GateKind = Literal["ours", "higher", "none"]


@dataclass(frozen=True)
class Policy:
    """What a programme does with its release.

    ``watched``: the monitor's alarms are acted on (operating points at once, retraining when
    outcomes are known). ``every_days``: retrains by the calendar. ``retrains`` False: never.
    ``replay``: old exams are mixed into each training. ``gate``: ours, one number higher
    (the golden AUC), or none. ``reseals``: when outcomes show that cancers look otherwise in the
    whole programme, a person opens the sealed set anew, with women screened since.
    """

    name: str
    title: str
    watched: bool = True
    every_days: int | None = None
    retrains: bool = True
    replay: bool = True
    gate: GateKind = "ours"
    reseals: bool = False


OURS = "ours"
RESEALED = "resealed"
NEVER = "never"
POLICIES: tuple[Policy, ...] = (
    Policy(OURS, "ours: monitor, replay, gate with ledger, guard"),
    Policy(RESEALED, "ours, sealed set opened anew after a concept change", reseals=True),
    Policy("yearly", "schedule only: every year", watched=False, every_days=365),
    Policy("quarterly", "schedule only: every quarter", watched=False, every_days=91),
    Policy("no_gate", "ours without a gate", gate="none"),
    Policy("higher", "ours, gate: golden AUC higher", gate="higher"),
    Policy("no_replay", "ours without replay", replay=False),
    Policy(NEVER, "never retrained, operating points set anew", retrains=False),
    Policy("frozen", "never touched", watched=False, retrains=False),
)
"""Schedule-only programmes have no monitor; their operating points are set with each release."""


def policy(name: str) -> Policy:
    """Return the policy of that name; KeyError names those there are."""
    found = {one.name: one for one in POLICIES}
    if name not in found:
        raise KeyError(f"no policy {name!r}; known: {', '.join(found)}")
    return found[name]
