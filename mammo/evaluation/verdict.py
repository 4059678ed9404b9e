"""The words of the gate: its clauses, its checks and its verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from mammo.errors import GateRefused
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.gate_material import Scored

__all__ = ["Check", "Clause", "GateConfig", "GateDecision", "Scored", "not_judged"]


@dataclass(frozen=True)
class Check:
    """Something of the installation that a release needs, checked before the gate.

    ``text`` says what was found and what is allowed (``Golden probabilities agree to 1e-6;
    at most 1e-5 is allowed.``).
    """

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Clause:
    """One condition: what was found, what is allowed, and whether it counts.

    A clause that could not be judged, or that only informs, has ``required``
    False and never refuses a release; ``text`` says why.
    """

    name: str
    passed: bool
    required: bool
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    text: str

    @property
    def state(self) -> str:
        """``passed``, ``failed`` or ``not judged``."""
        if not self.required:
            return "not judged"
        return "passed" if self.passed else "failed"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the state."""
        return {**asdict(self), "state": self.state}


def not_judged(name: str, text: str, value: float | None = None) -> Clause:
    """Return a clause that never refuses a release; ``text`` says why it was not judged."""
    return Clause(name, True, False, value, None, None, None, text)


@dataclass(frozen=True)
class GateDecision:
    """The verdict on a release, clause by clause, and how much it could have shown.

    ``power["probability"]`` is the chance that the golden clause passes when
    the challenger is as good as the champion (normal approximation with the
    bootstrap's standard error); ``power["exams_for_80_percent"]`` is how many
    golden exams of the same mix would make it 0.8. Empty for a first release.

    ``ledger`` is what the look at the golden set was allowed to spend
    (`mammo.evaluation.ledger`, with ``account`` and ``spent``); ``forgetting`` the matrix of
    AUCs, releases by cells of site and period; ``approval`` says why a person must approve
    a challenger that passed, None where the numbers are enough.
    """

    passed: bool
    release: str
    against: str | None
    clauses: tuple[Clause, ...]
    power: dict[str, float]
    alpha: float
    ledger: dict[str, Any] = field(default_factory=dict)
    forgetting: dict[str, Any] = field(default_factory=dict)
    approval: str | None = None

    @property
    def failed(self) -> list[str]:
        """Names of the required clauses that did not hold."""
        return [clause.name for clause in self.clauses if clause.required and not clause.passed]

    def clause(self, name: str) -> Clause:
        """Return the clause of that name; KeyError names those there are."""
        found = {clause.name: clause for clause in self.clauses}
        if name not in found:
            raise KeyError(f"no clause {name!r}; found {', '.join(found)}")
        return found[name]

    def require(self) -> None:
        """Raise GateRefused, with the text of every failed clause, unless passed."""
        if not self.passed:
            raise GateRefused(self.summary)

    @property
    def summary(self) -> str:
        """The verdict and one line for each clause."""
        verdict = "passed" if self.passed else f"refused ({', '.join(self.failed)})"
        against = f"against {self.against}" if self.against else "as the first release"
        lines = [f"{self.release} {against}: {verdict}"]
        lines += [f"- {clause.name}: {clause.state}. {clause.text}" for clause in self.clauses]
        if self.power:
            lines.append(f"An equal challenger passes with {self.power['probability']:.0%}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "passed": self.passed,
            "release": self.release,
            "against": self.against,
            "failed": self.failed,
            "clauses": [clause.to_dict() for clause in self.clauses],
            "power": self.power,
            "alpha": self.alpha,
            "ledger": self.ledger,
            "forgetting": self.forgetting,
            "approval": self.approval,
            "summary": self.summary,
        }
