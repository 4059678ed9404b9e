"""The material of the gate: exams with known outcome, scored by every release compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mammo.evaluation.metrics import as_labels, as_scores


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
    scanner, site, period : str (exams,), optional
        Where and when; a cell of the forgetting matrix is a site in a period.
    earlier_scores : release to float (exams,)
        Of releases that were in service before, oldest first: the first is the original
        champion. The champion may be among them.
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
    earlier_scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    site: np.ndarray | None = None
    period: np.ndarray | None = None

    def __post_init__(self) -> None:
        labels = as_labels(self.labels)
        object.__setattr__(self, "labels", labels)
        for name, parse in _COLUMNS.items():
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, _parsed(name, parse, value, len(labels)))
        earlier = {
            release: _parsed(f"earlier_scores of {release}", as_scores, scores, len(labels))
            for release, scores in self.earlier_scores.items()
        }
        object.__setattr__(self, "earlier_scores", earlier)

    def at(self, rows: np.ndarray) -> Scored:
        """Return the exams where ``rows`` (bool) is set."""
        columns: dict[str, Any] = {
            name: value[rows] if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
        }
        earlier = {release: scores[rows] for release, scores in self.earlier_scores.items()}
        return Scored(**(columns | {"earlier_scores": earlier}))

    @property
    def original(self) -> str | None:
        """The first release that was in service, None where no earlier one is given."""
        return next(iter(self.earlier_scores), None)

    @property
    def cell(self) -> np.ndarray | None:
        """Site and period of each exam, str (exams,); None where neither is given."""
        given = [one for one in (self.site, self.period) if one is not None]
        if not given:
            return None
        return np.array([" ".join(names) for names in zip(*given, strict=True)])

    @property
    def described(self) -> str:
        """``50 exams of 50 patients, 17 with cancer``."""
        patients = len(np.unique(self.patients))
        return (
            f"{len(self.labels)} exams of {patients} patients, {int(self.labels.sum())} with cancer"
        )


def _parsed(
    name: str, parse: Callable[[ArrayLike, int], np.ndarray], value: ArrayLike, rows: int
) -> np.ndarray:
    try:
        return parse(value, rows)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


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
    "site": _names,
    "period": _names,
    "champion_probabilities": as_scores,
}
