"""What a rule of drift control is to the benchmark: a year in, alarms out.

Ours and the peers see the very same `SimYear` and the same reference; a rule knows
neither the scenario nor the truth. Delays, false alarms and names are judged elsewhere
(`benchmarks.continual.judge`), in the same way for every rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from benchmarks.continual.world import SimExams, SimYear

T = TypeVar("T")


@dataclass(frozen=True)
class Alarm:
    """One alarm of a rule, raised with the last exam of ``day`` at the latest.

    ``day`` is the day of the year (0 is the first), at which a person would be told.
    ``confirmed`` alarms are what false alarms are counted by; the others are alerts, which
    only ask for a look. A rule that knows no such steps confirms every alarm.
    ``cause`` is one of data_fault, prevalence, acquisition, concept, mixed,
    software_version, or None where the rule names none. ``strata`` are indices into
    ``year.strata``; empty means the whole programme. ``since_day`` is the rule's own
    estimate of when the change began (days, None where it makes none): recalibration
    learns from the exams since then. ``channel`` is what moved most, for the reader.
    """

    day: int
    confirmed: bool
    cause: str | None = None
    strata: tuple[int, ...] = ()
    since_day: int | None = None
    channel: str = ""


class Rule(Protocol):
    """A way to watch a programme."""

    @property
    def name(self) -> str:
        """Key in the JSON."""
        ...

    @property
    def title(self) -> str:
        """What its row in the tables is called."""
        ...

    def run(self, year: SimYear, reference: SimExams) -> list[Alarm]:
        """Return all alarms of the year in order of day.

        Exams come in order of scoring and a rule uses no exam and no outcome
        (``outcome_day``) that lies after the day of its alarm. Nothing is kept from one
        year to the next but what was learnt from the reference (see `Learnt`).
        """
        ...


class Learnt(Generic[T]):
    """What a rule computes once per reference: thresholds, bins, sorted values.

    Many years share one reference; ``of(reference)`` learns anew only when another
    reference comes (told by identity, the last one alone is kept).
    """

    def __init__(self, learn: Callable[[SimExams], T]) -> None:
        self._learn = learn
        self._kept: tuple[SimExams, T] | None = None

    def of(self, reference: SimExams) -> T:
        """Return what is known of the reference."""
        if self._kept is None or self._kept[0] is not reference:
            self._kept = (reference, self._learn(reference))
        return self._kept[1]
