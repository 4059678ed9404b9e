"""A hundred planted bad challengers and a hundred good ones, each before the whole gate.

Bad ones are worse than a margin in one of ten ways; good ones are nowhere worse. Everything
is at the settings for service (`GateConfig()`, but 400 resamples), with the original champion,
sites and periods, a newest window, latency and the checks of the installation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.continual.intervals import share
from benchmarks.gate.golden import (
    NEWEST,
    PRODUCTION,
    TARGET_RECALL_RATE,
    Exams,
    Network,
    Size,
    first_network,
    scored,
    successor,
)
from mammo.evaluation.gate import Check, GateConfig, GateDecision, decide

RETRAINED, FINE_TUNED = 0.0, 0.8
"""How far a challenger's own noise is the champion's: scores correlate 0.80 and 0.96."""


@dataclass(frozen=True)
class Kind:
    """A way to be bad or good.

    ``change`` is the true difference in AUC to the champion, one number or by exam;
    ``fallen`` how far the champion's AUC lies below the original's; ``settings`` are the
    challenger's fields of `Network` that differ.
    """

    name: str
    change: float | Callable[[Exams], np.ndarray] = 0.0
    kin: float = RETRAINED
    fallen: float = 0.0
    leaked: int = 0
    champion: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None


def _on(change: float, **where: str) -> Callable[[Exams], np.ndarray]:
    """Return a change of AUC on the exams whose columns have these values."""

    def by_exam(exams: Exams) -> np.ndarray:
        rows = [getattr(exams, column) == value for column, value in where.items()]
        return np.where(np.logical_and.reduce(rows), change, 0.0)

    return by_exam


BAD = (
    Kind("AUC 0.06 worse, retrained", -0.06),
    Kind("AUC 0.06 worse, fine-tuned", -0.06, FINE_TUNED),
    Kind("AUC 0.10 worse", -0.10),
    Kind("AUC 0.12 worse on one scanner of four", _on(-0.12, scanner="cygnus")),
    Kind("AUC 0.15 worse at one site in one old year", _on(-0.15, site="south", period="2023")),
    Kind("0.02 below a champion that is 0.05 below the original", -0.02, FINE_TUNED, fallen=0.05),
    Kind("logits doubled: over-confident", settings={"confidence": 2.0}),
    Kind("recalls 15 % for 10 %", settings={"recalls": 0.15}),
    Kind("takes twice as long", settings={"milliseconds": 400.0}),
    Kind("AUC 0.05 higher, trained on 40 golden images", 0.05, leaked=40),
)
GOOD = (
    Kind("as good, retrained"),
    Kind("as good, fine-tuned", kin=FINE_TUNED),
    Kind("AUC 0.01 better, retrained", 0.01),
    Kind("AUC 0.01 better, fine-tuned", 0.01, FINE_TUNED),
    Kind("AUC 0.03 better", 0.03),
    Kind("AUC 0.05 better on one scanner, fine-tuned", _on(0.05, scanner="draco"), FINE_TUNED),
    Kind("AUC 0.05 better in the newest year", _on(0.05, period="2025"), FINE_TUNED),
    Kind("same network, cut set right: 10 % for 15 %", kin=1.0, champion={"recalls": 0.15}),
    Kind("as good, half as long", kin=FINE_TUNED, settings={"milliseconds": 100.0}),
    Kind("as good, champion over-confident", champion={"confidence": 2.0}),
)


RESAMPLES = 400


def service_config() -> GateConfig:
    """Return the settings for service, with fewer resamples so that the benchmark ends."""
    return GateConfig(resamples=RESAMPLES)


def judge_planted(
    kind: Kind,
    rng: np.random.Generator,
    *,
    size: Size = PRODUCTION,
    newest: Size | None = NEWEST,
    config: GateConfig | None = None,
) -> GateDecision:
    """Draw a golden set, a newest window and a challenger of this kind, and judge it."""
    golden, first, champion, challenger = _draw(kind, rng, size)
    window = None
    if newest is not None:
        exams, _, before, after = _draw(kind, rng, newest)
        window = scored(exams, before, after, rng)
    return decide(
        scored(golden, champion, challenger, rng, {"original": first, "champion": champion}),
        window,
        config=config or service_config(),
        challenger_id="challenger",
        champion_id="champion",
        target_recall_rate=TARGET_RECALL_RATE,
        latency_ms=(champion.milliseconds, challenger.milliseconds),
        infrastructure=_checks(kind),
    )


def _draw(
    kind: Kind, rng: np.random.Generator, size: Size
) -> tuple[Exams, Network, Network, Network]:
    exams = Exams.draw(rng, size)
    first = first_network(exams, rng)
    champion = successor(first, exams, rng, -kind.fallen, FINE_TUNED)
    champion = replace(champion, **(kind.champion or {}))
    change = kind.change(exams) if callable(kind.change) else kind.change
    settings: dict[str, Any] = {"confidence": 1.0, "recalls": TARGET_RECALL_RATE}
    settings |= kind.settings or {}
    challenger = replace(successor(champion, exams, rng, change, kind.kin), **settings)
    return exams, first, champion, challenger


def _checks(kind: Kind) -> tuple[Check, ...]:
    text = f"{kind.leaked} golden images are among those it was trained on; none is allowed."
    return (
        Check("loads", True, "The release loads and answers the golden exam."),
        Check("leak", kind.leaked == 0, text),
    )


def judge_kinds(kinds: tuple[Kind, ...], each: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield, of every kind, how many passed and which clauses refused how many (JSON-able)."""
    for place, kind in enumerate(kinds):
        decisions = [
            judge_planted(kind, np.random.default_rng([seed, place, number]))
            for number in range(each)
        ]
        names = [name for decision in decisions for name in decision.failed]
        yield {
            "kind": kind.name,
            "judged": each,
            "passed": sum(decision.passed for decision in decisions),
            "higher": sum(is_higher(decision) for decision in decisions),
            "refused_by": {name: names.count(name) for name in dict.fromkeys(names)},
            "auc_difference": float(np.mean([one.clauses[0].value for one in decisions])),
        }


def is_higher(decision: GateDecision) -> bool:
    """Say what the naive gate says: the golden AUC is one number higher than the champion's."""
    value = decision.clauses[0].value
    return value is not None and value > 0


def share_of(found: list[dict[str, Any]], by: str) -> dict[str, Any]:
    """Return the share of all kinds together that ``passed`` or is ``higher``, with Wilson's
    interval."""
    count, judged = (sum(one[name] for one in found) for name in (by, "judged"))
    return {"count": count, "judged": judged, **share(count, judged).to_dict()}
