"""The recall rate before and after a rule's recalibration, beside its target.

When a rule confirms that acquisition changed at a stratum, the stratum's operating point is
set anew by unsupervised alignment (the monitor's own function), from the exams since the
rule's own estimate of the change, without any outcome; again at each doubling of exams, and
from another beginning with each later confirmation. What counts is the recall rate of the
exams that come after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.continual.rules import Alarm
from benchmarks.continual.scores import RECALL_RATE
from benchmarks.continual.windows import Floats, Ints
from mammo.evaluation.alignment import align

if TYPE_CHECKING:
    from benchmarks.continual.events import InjectedEvent
    from benchmarks.continual.world import SimExams, SimYear

RECALIBRATED = ("acquisition", "mixed")
"""Causes on which a rule recalibrates; the simulated change has to be acquisition."""
LEAST_EXAMS = 20
"""Exams since the change below which the operating point stays as it is."""
LEAST_AFTER = 300
"""Exams that must follow before a rate is told: fewer say too little about it."""


@dataclass(frozen=True)
class Recalibrated:
    """One event's strata together: recall rate relative to its target, and exams.

    ``before`` is of the exams from the event to the recalibration, ``after`` of all that
    follow; ``exams_learnt`` were there when the operating point was first set.
    """

    what: str
    before: float
    after: float
    exams_learnt: int
    exams_after: int


def recalibrate_year(
    year: SimYear, alarms: Sequence[Alarm], reference: SimExams
) -> tuple[Recalibrated, ...]:
    """Recalibrate after each acquisition event that the rule confirmed as such."""
    found = [
        _recalibrate_event(year, event, _answers(event, alarms), reference)
        for event in year.truth
        if event.cause == "acquisition"
    ]
    return tuple(one for one in found if one is not None)


def _answers(event: InjectedEvent, alarms: Sequence[Alarm]) -> list[Alarm]:
    return [
        alarm
        for alarm in alarms
        if alarm.confirmed
        and alarm.cause in RECALIBRATED
        and alarm.day >= event.day
        and alarm.since_day is not None
    ]


def _recalibrate_event(
    year: SimYear, event: InjectedEvent, answers: Sequence[Alarm], reference: SimExams
) -> Recalibrated | None:
    strata = event.strata or tuple(range(len(year.strata)))
    parts = []
    for stratum in strata:
        ours = [one for one in answers if not one.strata or stratum in one.strata]
        rows = np.flatnonzero((year.stratum == stratum) & (year.day >= event.day))
        if ours and len(rows):
            known = _reference_logits(year, stratum, reference)
            parts.append(_recalibrate(year.day[rows], year.logit[rows], ours, known))
            parts[-1]["before"] = year.recall[rows][year.day[rows] <= ours[0].day]
    after = np.concatenate([part["after"] for part in parts]) if parts else np.zeros(0)
    if len(after) < LEAST_AFTER:
        return None
    before = np.concatenate([part["before"] for part in parts])
    if len(before) == 0:
        return None  # the alarm came before the first exam of these strata
    return Recalibrated(
        what=event.what,
        before=float(before.mean() / RECALL_RATE),
        after=float(after.mean() / RECALL_RATE),
        exams_learnt=int(sum(part["learnt"].sum() for part in parts)),
        exams_after=len(after),
    )


def _reference_logits(year: SimYear, stratum: int, reference: SimExams) -> Floats:
    """Return the scanner's reference logits; all of them for a scanner that is new."""
    one = year.strata[stratum]
    same = [
        i for i, s in enumerate(reference.strata) if (s.site, s.scanner) == (one.site, one.scanner)
    ]
    own = reference.logit[np.isin(reference.stratum, same)]
    return own if len(own) >= LEAST_EXAMS else reference.logit


def _recalibrate(
    day: Ints, logit: Floats, alarms: Sequence[Alarm], known: Floats
) -> dict[str, np.ndarray]:
    """Return recalls after the first setting (bool) and how many exams it was learnt from."""
    threshold, first, due = np.full(len(day), np.nan), 0, 0
    for alarm in alarms:
        begin = int(np.searchsorted(day, alarm.since_day or 0))
        due = max(int(np.searchsorted(day, alarm.day, side="right")), begin + LEAST_EXAMS)
        while due < len(day):
            first = first or due - begin
            threshold[due:] = align(known, logit[begin:due], RECALL_RATE)
            due += due - begin
    settled = np.isfinite(threshold)
    return {"after": logit[settled] >= threshold[settled], "learnt": np.array([first])}
