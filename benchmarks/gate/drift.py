"""What becomes of the champion over fifty gates on one golden set, under several rules.

Champion after champion is challenged by a retrained release (`usual_stream`): mostly slightly
worse, as retraining on noisy outcomes gives, some broken, some better. The golden set is never
renewed. Only the clauses on the golden AUC are asked, with bounds in closed form (DeLong,
Student), which agree with the gate's own bootstrap (a test says how far); one exam a woman.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import special

from benchmarks.continual.intervals import share
from benchmarks.gate.golden import AUC, KIN, PRODUCTION, Size, separation_of
from mammo.evaluation.delong import placements
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.ledger import Look, Spending, next_alpha

GATES = 50
HIGHEST_AUC = AUC + 0.02
"""What the data permit: no challenger is truly better than this."""
SELF = 0.8  # how far a challenger's own noise is its champion's

Stream = Callable[[np.random.Generator, int], np.ndarray]


def usual_stream(rng: np.random.Generator, gates: int) -> np.ndarray:
    """Draw true differences to the champion: 70 % a little worse, 20 % better, 10 % bad."""
    kind = rng.random(gates)
    slightly = rng.normal(-0.006, 0.006, gates)
    better = rng.uniform(0.0, 0.015, gates)
    bad = rng.uniform(-0.06, -0.03, gates)
    return np.where(kind < 0.7, slightly, np.where(kind < 0.9, better, bad))


def margin_stream(rng: np.random.Generator, gates: int) -> np.ndarray:
    """Return challengers that are all worse by just the margin (gates,)."""
    return np.full(gates, -GateConfig().margin_auc)


@dataclass(frozen=True)
class Rule:
    """A gate: which level, and whether the original counts, or the best release so far, too."""

    name: str
    level: Literal["ledger", "handed on", "fixed", "higher", "none"]
    anchor: Literal["original", "best"] | None = None


RULES = (
    Rule("ledger and original (the gate)", "ledger", "original"),
    Rule("original, one level for all", "fixed", "original"),
    Rule("original, alpha handed to the next", "handed on", "original"),
    Rule("ledger and best so far", "ledger", "best"),
    Rule("ledger, no original", "ledger"),
    Rule("one level for all, no original", "fixed"),
    Rule("one number higher", "higher"),
    Rule("no gate", "none"),
)


@dataclass(frozen=True, eq=False)
class Scores:
    """A release's scores on the golden set: AUC, and the placements of both classes."""

    auc: float
    above: np.ndarray
    below: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> Scores:
        """Rank scores (exams,)."""
        above, below = placements(scores[np.newaxis, labels], scores[np.newaxis, ~labels])
        return cls(float(above.mean()), above[0], below[0])

    def low(self, before: Scores, alpha: float) -> float:
        """Return the lower bound of the difference in AUC to ``before`` (DeLong, Student)."""
        m, n = len(self.above), len(self.below)
        variance = np.var(self.above - before.above, ddof=1) / m
        variance += np.var(self.below - before.below, ddof=1) / n
        quantile = special.stdtrit(min(m, n) - 1, 1 - alpha)
        return float(self.auc - before.auc - quantile * np.sqrt(variance))


@dataclass(frozen=True, eq=False)
class Programme:
    """One golden set and its challengers: the same for every rule."""

    labels: np.ndarray
    noise: np.ndarray
    own: np.ndarray
    changes: np.ndarray
    known: dict[tuple[int, ...], Scores] = field(default_factory=dict)

    @classmethod
    def draw(cls, rng: np.random.Generator, size: Size, stream: Stream) -> Programme:
        """Draw exams (labels, common noise), and for each gate a change and its own noise."""
        labels = np.arange(size.exams) < size.cancers
        own = rng.normal(size=(GATES + 1, size.exams))
        return cls(labels, rng.normal(size=size.exams), own, stream(rng, GATES))

    def scores(self, line: tuple[int, ...], auc: float, own: np.ndarray) -> Scores:
        """Score the exams by a release of this true AUC.

        ``line`` are the gates that its ancestors and it stood at: rules that let the same
        ones pass share it.
        """
        if line not in self.known:
            self.known[line] = self._score(auc, own)
        return self.known[line]

    def _score(self, auc: float, own: np.ndarray) -> Scores:
        noise = np.sqrt(KIN) * self.noise + np.sqrt(1 - KIN) * own
        return Scores.of(self.labels, float(separation_of(auc)) * self.labels + noise)


@dataclass(eq=False)
class Course:
    """What one rule did: true AUC of the champion after each gate (the first before any)."""

    auc: list[float]
    looks: list[Look] = field(default_factory=list)

    @property
    def passed(self) -> np.ndarray:
        """Which gates put a challenger into service (bool, gates)."""
        return np.array([look.passed for look in self.looks])


def hold_gates(programme: Programme, rule: Rule, config: GateConfig) -> Course:
    """Hold all gates of a programme by one rule."""
    own = programme.own[0]
    line: tuple[int, ...] = (0,)
    anchor = champion = programme.scores(line, AUC, own)
    course = Course([AUC])
    for gate, change in enumerate(programme.changes, 1):
        auc = min(course.auc[-1] + change, HIGHEST_AUC)
        new = SELF * own + np.sqrt(1 - SELF**2) * programme.own[gate]
        challenger = programme.scores((*line, gate), auc, new)
        alpha = next_level(rule, config, course.looks)
        passed = _passes(rule, config, alpha, challenger, champion, anchor)
        course.looks.append(Look(alpha, passed))
        course.auc.append(auc if passed else course.auc[-1])
        if passed:
            champion, own, line = challenger, new, (*line, gate)
            if rule.anchor == "best" and champion.auc > anchor.auc:
                anchor = champion
    return course


def next_level(rule: Rule, config: GateConfig, looks: list[Look]) -> float:
    """Return the level of the next gate."""
    spending = Spending(config.ledger_total, config.ledger_share, config.ledger_renewed)
    if rule.level == "ledger":
        return next_alpha(spending, looks).alpha
    if rule.level == "handed on":  # Tian & Ramdas (2021): to the next gate alone
        own = spending.total * spending.share * (1 - spending.share) ** len(looks)
        return own + (looks[-1].alpha if looks and looks[-1].passed else 0.0)
    return config.alpha


def _passes(
    rule: Rule,
    config: GateConfig,
    alpha: float,
    challenger: Scores,
    champion: Scores,
    anchor: Scores,
) -> bool:
    if rule.level == "none":
        return True
    if rule.level == "higher":
        return challenger.auc > champion.auc
    if challenger.low(champion, alpha) < -config.margin_auc:
        return False
    return rule.anchor is None or challenger.low(anchor, alpha) >= -config.margin_original


def follow(
    repeats: int,
    size: Size = PRODUCTION,
    stream: Stream = usual_stream,
    rules: Sequence[Rule] = RULES,
    seed: int = 0,
) -> Iterator[tuple[Programme, dict[str, Course]]]:
    """Yield programmes, each held by every rule."""
    config = GateConfig()
    for number in range(repeats):
        programme = Programme.draw(np.random.default_rng([seed, number]), size, stream)
        yield programme, {rule.name: hold_gates(programme, rule, config) for rule in rules}


def describe_drift(repeats: int, size: Size = PRODUCTION) -> dict[str, Any]:
    """Return, for every rule, the champion's true AUC by gate and what passed (JSON-able)."""
    found = list(follow(repeats, size))
    return {
        "size": size._asdict(),
        "repeats": repeats,
        "rules": {
            rule.name: _describe([(one.changes, courses[rule.name]) for one, courses in found])
            for rule in RULES
        },
    }


def _describe(courses: list[tuple[np.ndarray, Course]]) -> dict[str, Any]:
    auc = np.array([course.auc for _, course in courses])
    changes = np.array([change for change, _ in courses])
    passed = np.array([course.passed for _, course in courses])
    low, high = np.quantile(auc, (0.025, 0.975), axis=0)
    # a challenger at the ceiling is no better than its champion, and counts as equal
    good, bad = changes >= 0, changes <= -GateConfig().margin_auc
    return {
        "auc": _rounded(auc.mean(axis=0)),
        "low": _rounded(low),
        "high": _rounded(high),
        "passed": float(passed.mean()),
        "good_passed_first_ten": float(passed[:, :10][good[:, :10]].mean()),
        "good_passed_last_ten": float(passed[:, -10:][good[:, -10:]].mean()),
        "bad_passed_ever": share(int((passed & bad).any(axis=1).sum()), len(passed)).to_dict(),
        "alpha_last": float(np.median([course.looks[-1].alpha for _, course in courses])),
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


LEVELS = (
    Rule("ledger", "ledger"),
    Rule("alpha handed to the next", "handed on"),
    Rule("one level for all", "fixed"),
    Rule("one number higher", "higher"),
)


def describe_margin(repeats: int, size: Size = PRODUCTION) -> dict[str, Any]:
    """Return in what share of programmes any of fifty challengers passes, all bad by the margin."""
    found = [courses for _, courses in follow(repeats, size, margin_stream, LEVELS, seed=1)]
    shares = {
        rule.name: share(sum(bool(one[rule.name].passed.any()) for one in found), repeats)
        for rule in LEVELS
    }
    return {
        "size": size._asdict(),
        "repeats": repeats,
        "any_passed": {name: one.to_dict() for name, one in shares.items()},
    }


def agreement(repeats: int, seed: int = 2) -> float:
    """Return the largest difference, in standard errors, of these bounds and the gate's own."""
    from mammo.evaluation.gate_bounds import measure
    from mammo.evaluation.gate_material import Scored

    apart = []
    for number in range(repeats):
        rng = np.random.default_rng([seed, number])
        one = Programme.draw(rng, Size(600, 150), usual_stream)
        raw = [
            float(separation_of(AUC)) * one.labels
            + np.sqrt(KIN) * one.noise
            + np.sqrt(1 - KIN) * own
            for own in one.own[:2]
        ]
        patients = np.arange(600).astype(str)
        material = Scored(one.labels, patients, raw[0], raw[1])
        loss = measure(material, {"champion": raw[0], "challenger": raw[1]}, GateConfig()).auc_loss(
            "challenger", "champion"
        )
        before, after = (Scores.of(one.labels, scores) for scores in raw)
        apart.append((after.low(before, 0.025) - loss.low(0.025)) / loss.error())
    return float(np.max(np.abs(apart)))
