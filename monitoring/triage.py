"""From what moved to what it means and what is done: one table, read from the top.

| what is seen | cause | action |
|---|---|---|
| most exams incomplete, channels missing, impossible images | data_fault | quarantine |
| embedding, image features or quality moved | acquisition | recalibrate_and_retrain |
| a scanner new to the reference scores differently | acquisition | recalibrate_and_retrain |
| more views missing or files refused, images as before | data_fault | quarantine |
| outcomes show a loss of AUC, inputs as before | concept | retrain |
| score or recall moved, images as before | prevalence | note |
| a new software version, nothing moved yet | software_version | note |

The first row that holds decides. A note starts nothing; every other action does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Cause = Literal["data_fault", "acquisition", "prevalence", "concept", "software_version"]
Action = Literal["quarantine", "note", "recalibrate_and_retrain", "retrain"]


@dataclass(frozen=True)
class Evidence:
    """What is known about a stratum since its change point.

    ``moved`` maps channel groups (score, recall, missing, embedding, image) to the
    channels that moved; ``shifts`` are mean normal scores by channel (SD of the
    reference), ``robust`` median robust z by channel. Rates are in [0, 1], per exam.
    """

    moved: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)
    robust: dict[str, float] = field(default_factory=dict)
    exams: int = 0
    incomplete_rate: float = 0.0
    incomplete_rate_reference: float = 0.0
    absent_rate: float = 0.0
    scanner_new: bool = False
    version_new: bool = False
    auc_loss: bool = False
    extreme_z: float = 12.0
    refusal_rate: float = 0.5

    @property
    def extremes(self) -> tuple[str, ...]:
        """Image features of a size that no scanner makes (twice as far for a new one)."""
        limit = self.extreme_z * (2 if self.scanner_new else 1)
        names = self.moved.get("image", ())
        return tuple(name for name in names if abs(self.robust.get(name, 0.0)) >= limit)

    @property
    def images_moved(self) -> tuple[str, ...]:
        """Embedding and image channels that moved."""
        return (*self.moved.get("embedding", ()), *self.moved.get("image", ()))

    @property
    def scores_moved(self) -> tuple[str, ...]:
        """Score and recall, if they moved."""
        return (*self.moved.get("score", ()), *self.moved.get("recall", ()))


@dataclass(frozen=True)
class Triage:
    """Cause, action, and the reason in words for the person who is alerted."""

    cause: Cause
    action: Action
    reason: str

    @property
    def acts(self) -> bool:
        """True when the action starts something; a note does not."""
        return self.action != "note"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"cause": self.cause, "action": self.action, "reason": self.reason}


@dataclass(frozen=True)
class _Rule:
    cause: Cause
    action: Action
    holds: Callable[[Evidence], bool]
    reason: Callable[[Evidence], str]


def decide(evidence: Evidence) -> Triage | None:
    """Return the first row of the table that holds, or None when nothing moved."""
    for rule in RULES:
        if rule.holds(evidence):
            return Triage(rule.cause, rule.action, rule.reason(evidence))
    return None


def _most_incomplete(evidence: Evidence) -> bool:
    limit = max(evidence.refusal_rate, 2 * evidence.incomplete_rate_reference)
    return evidence.incomplete_rate >= limit and "missing" in evidence.moved


def _is_data_fault(evidence: Evidence) -> bool:
    absent = evidence.absent_rate >= evidence.refusal_rate
    return _most_incomplete(evidence) or bool(evidence.extremes) or absent


def _say_data_fault(evidence: Evidence) -> str:
    if evidence.extremes:
        worst = max(evidence.extremes, key=lambda name: abs(evidence.robust[name]))
        return (
            f"{_listed(evidence.extremes)}: the median exam lies "
            f"{abs(evidence.robust[worst]):.0f} SD from the reference, further than scanners "
            "differ. Look at the images and how they are sent before anything is learnt from them."
        )
    if evidence.absent_rate >= evidence.refusal_rate:
        return (
            f"{evidence.absent_rate:.0%} of the channel values are missing: "
            "features or embeddings do not arrive. Look at the service's log."
        )
    return _say_incomplete(evidence)


def _say_incomplete(evidence: Evidence) -> str:
    return (
        f"{evidence.incomplete_rate:.0%} of exams lack a view or had a file refused; "
        f"in the reference {evidence.incomplete_rate_reference:.0%}. "
        "Look at what the sender leaves out."
    )


def _say_acquisition(evidence: Evidence) -> str:
    scores = ""
    if evidence.scores_moved:
        scores = f", and with them {_shifted(evidence, evidence.scores_moved)}"
    who = "A scanner that the release has not met: its" if evidence.scanner_new else "The"
    return (
        f"{who} images differ ({_shifted(evidence, evidence.images_moved)}){scores}. "
        "Its operating point is recalibrated at once and a candidate is trained."
    )


def _say_new_scanner(evidence: Evidence) -> str:
    return (
        "A scanner that the release has not met scores differently "
        f"({_shifted(evidence, evidence.scores_moved)}). Its operating point is recalibrated "
        "at once and a candidate is trained."
    )


def _say_prevalence(evidence: Evidence) -> str:
    return (
        f"Scores moved ({_shifted(evidence, evidence.scores_moved)}) while the images look as "
        "before: more or fewer cancers, or another group of women. Outcomes will tell; "
        "nothing is retrained."
    )


def _shifted(evidence: Evidence, names: tuple[str, ...]) -> str:
    ordered = sorted(names, key=lambda name: -abs(evidence.shifts.get(name, 0.0)))[:4]
    return ", ".join(
        f"{name.replace('_', ' ')} {evidence.shifts.get(name, 0.0):+.1f} SD" for name in ordered
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(name.replace("_", " ") for name in names).capitalize()


RULES: tuple[_Rule, ...] = (
    _Rule("data_fault", "quarantine", _is_data_fault, _say_data_fault),
    _Rule(
        "acquisition",
        "recalibrate_and_retrain",
        lambda evidence: bool(evidence.images_moved),
        _say_acquisition,
    ),
    _Rule(
        "acquisition",
        "recalibrate_and_retrain",
        lambda evidence: evidence.scanner_new and bool(evidence.scores_moved),
        _say_new_scanner,
    ),
    _Rule(
        "data_fault", "quarantine", lambda evidence: "missing" in evidence.moved, _say_incomplete
    ),
    _Rule(
        "concept",
        "retrain",
        lambda evidence: evidence.auc_loss,
        lambda evidence: (
            "Outcomes show that the release ranks exams worse than on its reference, with no "
            "change of the images that explains it."
        ),
    ),
    _Rule("prevalence", "note", lambda evidence: bool(evidence.scores_moved), _say_prevalence),
    _Rule(
        "software_version",
        "note",
        lambda evidence: evidence.version_new,
        lambda evidence: (
            "The scanner's software version is new to the release. Nothing has moved yet; "
            "the scanner is watched."
        ),
    ),
)
