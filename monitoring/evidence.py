"""What the control has seen of one change, as the triage asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

MARKED, MIN_MARKED = 0.25, 5
"""Share of exams whose image has a quality code that no scanner makes, and the fewest to tell it.

Phantoms inverted on purpose are SATURATED in every image, good ones in none.
"""
Level = Literal["programme", "site", "scanner", "version"]
Onset = Literal["abrupt", "gradual", ""]


class OutcomeSigns(Protocol):
    """What late outcomes show (`monitoring.outcomes.OutcomeFindings` has it).

    ``rate_ratio`` is (value, low, high): cancers per exam, relative to the reference.
    """

    @property
    def rank_confirmed(self) -> bool:
        """True when the release ranks cancers lower than on its reference."""

    @property
    def rate_confirmed(self) -> bool:
        """True when there are more or fewer cancers per exam."""

    @property
    def rate_ratio(self) -> tuple[float, float, float] | None:
        """Cancers per exam relative to the reference: value and 95% interval; None: not known."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data, as it is kept with the episode."""


@dataclass(frozen=True)
class Evidence:
    """What is known about a node of the programme since its change point.

    ``moved`` maps channel groups (score, recall, missing, embedding, image, header,
    population) to the channels that moved; ``shifts`` are mean normal scores by
    channel (SD of the reference) of all channels that are watched, ``robust`` median
    robust z by channel. Rates are in [0, 1], per exam. ``level`` is the node's, and
    ``strata_moved`` of the ``strata_watched`` strata below it carry the change (0 of
    0: not known). ``outcome`` is what late outcomes show, None before there are any.
    ``codes`` say what is wrong with the data that the evidence was made of.
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
    level: Level = "version"
    strata_moved: int = 0
    strata_watched: int = 0
    onset: Onset = ""
    refused_rate: float = 0.0
    quality_rate: float = 0.0
    quality_rate_reference: float = 0.0
    outcome: OutcomeSigns | None = None
    codes: tuple[str, ...] = ()

    @property
    def extremes(self) -> tuple[str, ...]:
        """Image features of a size that no scanner makes (twice as far for a new one)."""
        limit = self.extreme_z * (2 if self.scanner_new else 1)
        # the quality code is a yes or no: beside a reference without any it is endlessly far
        names = (name for name in self.moved.get("image", ()) if name != "quality")
        return tuple(name for name in names if abs(self.robust.get(name, 0.0)) >= limit)

    @property
    def images_moved(self) -> tuple[str, ...]:
        """Embedding and image channels that moved."""
        return (*self.moved.get("embedding", ()), *self.moved.get("image", ()))

    @property
    def scores_moved(self) -> tuple[str, ...]:
        """Score and recall, if they moved."""
        return (*self.moved.get("score", ()), *self.moved.get("recall", ()))

    @property
    def mostly_incomplete(self) -> bool:
        """True when most exams lack a view or had a file refused, which they did not before."""
        limit = max(self.refusal_rate, 2 * self.incomplete_rate_reference)
        return "missing" in self.moved and max(self.incomplete_rate, self.refused_rate) >= limit

    @property
    def mostly_marked(self) -> bool:
        """True when many images are saturated, flat or without a breast, far more than before."""
        limit = max(MARKED, 5 * self.quality_rate_reference)
        return self.quality_rate >= limit and self.exams >= MIN_MARKED

    @property
    def values_absent(self) -> bool:
        """True when most values of a channel do not arrive."""
        return self.absent_rate >= self.refusal_rate

    @property
    def ranks_lower(self) -> bool:
        """True when outcomes show that cancers are ranked lower than on the reference."""
        return self.auc_loss or (self.outcome is not None and self.outcome.rank_confirmed)

    @property
    def rate_ratio(self) -> float | None:
        """Cancers per exam relative to the reference, where outcomes confirm a change."""
        if self.outcome is None or not self.outcome.rate_confirmed:
            return None
        ratio = self.outcome.rate_ratio
        return None if ratio is None else float(ratio[0])

    @property
    def anything(self) -> bool:
        """True when something was seen that asks for a decision."""
        seen = (self.values_absent, self.version_new, self.ranks_lower, self.rate_ratio is not None)
        return bool(self.moved) or any(seen)

    def explained_by_age(self, names: tuple[str, ...]) -> bool:
        """True when the women's age moved, and these channels no further than it did.

        A channel that goes with age at a correlation r moves by r times age's own
        shift (in SD), hence never further.
        """
        ages = [abs(self.shifts.get(one, 0.0)) for one in self.moved.get("population", ())]
        most = max(ages, default=0.0)
        return most > 0 and all(abs(self.shifts.get(one, 0.0)) <= most for one in names)
