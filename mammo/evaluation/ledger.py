"""The alpha ledger: how much error each look at one golden set may spend.

A gate tests "this challenger is worse by the margin" at a level alpha. With one level
for every gate, the chance that one of many such challengers gets through grows with
each look at the same golden set. The ledger bounds it for the life of the set: a gate may
spend ``share`` of what is left of ``total``. A refused challenger's alpha is gone; a
passed one's goes back into the account, since what was shown need not be paid for.

The chance that any challenger passes that is worse by the margin is at most ``total``,
however the gates depend on each other (an online fallback, Tian & Ramdas, "Online control of
the familywise error rate", Stat. Methods Med. Res. 2021). Why: call such a challenger bad.
Let every other challenger pass and every bad one be refused: then the k-th bad one is judged
at a level that is fixed, and these levels add up to at most ``total``. In truth the level
at each gate is never higher before the first bad one passes, because a refusal only lowers
later levels. So the first bad one that passes has a p-value below its fixed level, and the
chance of any is at most their sum.

Tian & Ramdas hand a passed gate's alpha to the next gate alone. Then levels grow while all
pass, up to ``total`` itself, and fall at once after a refusal; here they stay
(`docs/gate.md` has both, measured).

A golden set that has mostly been renewed is another set, and opens another account.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Spending:
    """The rule. ``total``, ``share`` and ``renewed`` are in (0, 1).

    ``renewed`` is the share of patients new to the golden set from which on it is another.
    """

    total: float = 0.2
    share: float = 0.125
    renewed: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < 1:
                raise ValueError(f"{name} must be inside (0, 1), found {value}")


class Look(NamedTuple):
    """A gate that was held before: what it spent, and whether the challenger passed."""

    alpha: float
    passed: bool


class Allowed(NamedTuple):
    """What the next gate may spend: its level, and what is left in the account after it.

    ``number`` counts the looks at this golden set, from 1; ``carried`` is what challengers
    that passed have given back; ``left`` is what all later gates have together if this
    challenger does not pass.
    """

    number: int
    alpha: float
    carried: float
    left: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return self._asdict()


def next_alpha(rule: Spending, looks: Sequence[Look]) -> Allowed:
    """Return what the gate after ``looks`` (oldest first, of one golden set) may spend.

    A gate that was opened and never settled is a look that did not pass.
    """
    spent = sum(look.alpha for look in looks if not look.passed)
    carried = sum(look.alpha for look in looks if look.passed)
    account = max(rule.total - spent, 0.0)
    return Allowed(len(looks) + 1, rule.share * account, carried, (1 - rule.share) * account)


def left_after(ledger: Mapping[str, Any], passed: bool | None) -> float | None:
    """Return what an account has left after a gate, from the ``ledger`` of its decision.

    A challenger that passed gives back what it was judged at. None where nothing is told.
    """
    if passed and "total" in ledger:
        return float(ledger["total"] - ledger["spent"])
    left: float | None = ledger.get("left")
    return left


def is_renewed(rule: Spending, opened_with: Collection[str], patients: Collection[str]) -> bool:
    """Say whether a golden set of ``patients`` is another than the one an account opened with."""
    if not patients:
        return False
    new = len(set(patients) - set(opened_with))
    return new >= rule.renewed * len(set(patients))
