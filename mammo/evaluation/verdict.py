"""The words of the gate: its configuration, its material, its clauses and its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mammo.errors import GateRefused
from mammo.evaluation.metrics import as_labels, as_scores


@dataclass(frozen=True)
class GateConfig:
    """What a challenger must show. The defaults are for service in a hospital.

    With 500 cancers among 3000 golden exams they pass an equal challenger more
    than nine times in ten, with 300 among 2000 about six times, unless it is
    close kin of the champion (simulated; ``GateDecision.power`` says what the
    set at hand gives). `demo` is for sets of some 50 exams and proves far less.

    Attributes
    ----------
    alpha : float
        One-sided error of each bound: the chance that a challenger worse by
        just the margin passes the clause. The ledger sets it gate by gate.
    ledger_total, ledger_share, ledger_renewed : float
        The rule of `mammo.evaluation.ledger.Spending`.
    margin_original : float
        Loss of golden AUC tolerated against the first release in service.
    margin_forgetting : float
        Loss of AUC tolerated in a cell of site and period, against the best release before.
    min_power : float
        Chance that an equal challenger passes below which a person must approve.
    margin_auc, margin_sensitivity, margin_subgroup : float
        Losses against the champion that are tolerated: of golden AUC, of
        golden sensitivity at the target recall rate, of AUC per scanner.
    margin_newest : float
        How far the AUC on the newest window may lie below the champion's
        golden AUC and still count as on target.
    recall_tolerance : float
        Distance from the target recall rate on the newest window, absolute; it
        may be half as much farther from the target than the champion's.
    max_ece, ece_slack : float
        Calibration error above what chance gives on as many exams; and how far
        it may exceed the champion's.
    latency_factor, max_latency_ms : float
        Against the champion; and in any case (per exam).
    min_per_class : int
        Exams of each class below which an AUC is not judged.
    """

    alpha: float = 0.025
    margin_auc: float = 0.03
    margin_newest: float = 0.05
    margin_sensitivity: float = 0.06
    margin_subgroup: float = 0.06
    margin_original: float = 0.03
    margin_forgetting: float = 0.06
    min_power: float = 0.5
    ledger_total: float = 0.2
    ledger_share: float = 0.125
    ledger_renewed: float = 0.5
    recall_tolerance: float = 0.02
    max_ece: float = 0.03
    ece_slack: float = 0.01
    latency_factor: float = 1.5
    max_latency_ms: float = 10_000.0
    min_per_class: int = 30
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must be inside (0, 0.5), found {self.alpha}")
        if self.resamples < 200 or self.min_per_class < 1:
            raise ValueError(
                f"resamples must be at least 200 and min_per_class at least 1, "
                f"found {self.resamples} and {self.min_per_class}"
            )

    @classmethod
    def demo(cls) -> GateConfig:
        """Return the configuration for 40 to 80 exams with 15 to 20 cancers.

        Bounds at 10% and margins of 0.12 and more: this catches a model that
        is clearly worse (AUC 0.90 to 0.60: never passed in 600 simulations, to
        0.75: 2 in 100) and passes a fine-tuned equal one 93 times in 100, a
        retrained one 80. It is no evidence that a loss of 0.05 is absent, and
        its texts say the margin.
        """
        return cls(
            alpha=0.10,
            margin_auc=0.12,
            margin_newest=0.15,
            margin_sensitivity=0.25,
            margin_subgroup=0.25,
            margin_original=0.15,
            margin_forgetting=0.25,
            min_power=0.3,
            ledger_total=0.5,
            ledger_share=0.2,
            recall_tolerance=0.15,
            max_ece=0.10,
            ece_slack=0.10,
            latency_factor=3.0,
            min_per_class=6,
        )

    def to_dict(self) -> dict[str, float | int]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GateConfig:
        """Build from a mapping of differences to the defaults; ValueError on unknown keys."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown keys {unknown} for the gate; allowed: {', '.join(known)}")
        return cls(**dict(values))


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


@dataclass(frozen=True, eq=False)
class Scored:
    """Exams with known outcome, scored by both releases; one row per exam.

    Attributes
    ----------
    labels : 0 or 1 (exams,)
    patients : str (exams,)
        The unit that is resampled.
    challenger_scores, champion_scores : float (exams,)
        Comparable over scanners, so calibrated logits or probabilities;
        ``champion_scores`` is None for a first release.
    challenger_recalled, champion_recalled : bool (exams,)
        Decisions at each release's own operating points.
    challenger_probabilities, champion_probabilities : float (exams,), optional
    scanner : str (exams,), optional
    """

    labels: np.ndarray
    patients: np.ndarray
    champion_scores: np.ndarray | None
    challenger_scores: np.ndarray
    challenger_recalled: np.ndarray | None = None
    champion_recalled: np.ndarray | None = None
    challenger_probabilities: np.ndarray | None = None
    scanner: np.ndarray | None = None
    champion_probabilities: np.ndarray | None = None

    def __post_init__(self) -> None:
        labels = as_labels(self.labels)
        object.__setattr__(self, "labels", labels)
        for name, parse in _COLUMNS.items():
            value = getattr(self, name)
            if value is None:
                continue
            try:
                object.__setattr__(self, name, parse(value, len(labels)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def at(self, rows: np.ndarray) -> Scored:
        """Return the exams where ``rows`` (bool) is set."""
        columns: dict[str, Any] = {
            name: None if value is None else value[rows] for name, value in vars(self).items()
        }
        return Scored(**columns)

    @property
    def described(self) -> str:
        """``50 exams of 50 patients, 17 with cancer``."""
        patients = len(np.unique(self.patients))
        return (
            f"{len(self.labels)} exams of {patients} patients, {int(self.labels.sum())} with cancer"
        )


def _flags(values: ArrayLike, rows: int) -> np.ndarray:
    return as_scores(values, rows).astype(bool)


def _names(values: ArrayLike, rows: int) -> np.ndarray:
    names = np.asarray(values, dtype=object).ravel().astype(str)
    if len(names) != rows:
        raise ValueError(f"{len(names)} values for {rows} labels")
    return names


_COLUMNS: dict[str, Callable[[ArrayLike, int], np.ndarray]] = {
    "patients": _names,
    "champion_scores": as_scores,
    "challenger_scores": as_scores,
    "challenger_recalled": _flags,
    "champion_recalled": _flags,
    "challenger_probabilities": as_scores,
    "scanner": _names,
    "champion_probabilities": as_scores,
}
