"""The alpha ledger: how much error each look at one golden set may spend.

A gate tests "this challenger is worse by the margin" at a level alpha. With one level
for every gate, the chance that one of many such challengers gets through grows with
each look at the same golden set. The ledger bounds it for the life of the set, by the
online fallback procedure (Tian & Ramdas, "Online control of the familywise error rate",
Stat. Methods Med. Res. 2021): gate i may spend ``total * share * (1 - share)**(i - 1)``,
and what a challenger spent that passed goes on to the next gate. The chance that any
challenger passes that is worse by the margin is at most ``total``, however the gates
depend on each other.

A golden set that has mostly been renewed is another set, and opens another account.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
    """What the next gate may spend: its level, the part carried over, and what is left after it.

    ``number`` counts the looks at this golden set, from 1; ``left`` is what all later gates
    have together if this challenger does not pass.
    """

    number: int
    alpha: float
    carried: float
    left: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return self._asdict()


def next_alpha(rule: Spending, looks: Sequence[Look]) -> Allowed:
    """Return what the gate after ``looks`` (oldest first, of one golden set) may spend."""
    number = len(looks) + 1
    own = rule.total * rule.share * (1 - rule.share) ** (number - 1)
    carried = looks[-1].alpha if looks and looks[-1].passed else 0.0
    left = rule.total * (1 - rule.share) ** number
    return Allowed(number, own + carried, carried, left)


def is_renewed(rule: Spending, opened_with: Collection[str], patients: Collection[str]) -> bool:
    """Say whether a golden set of ``patients`` is another than the one an account opened with."""
    if not patients:
        return False
    new = len(set(patients) - set(opened_with))
    return new >= rule.renewed * len(set(patients))
