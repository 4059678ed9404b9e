"""Operating points: with each release, after an alarm by alignment, and nearer as exams come.

As in service: `mammo.evaluation.alignment.align` lays a scanner's exams since its change
onto the release's reference, without any outcome, once there are 40 exams, and again
whenever they have doubled, until the rate's error is 5 % of its target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.continual.decisions.judging import Release
from benchmarks.continual.decisions.known import Known
from benchmarks.continual.decisions.learner import Lines
from benchmarks.continual.scores import RECALL_RATE
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats
from mammo.evaluation.alignment import align, recall_error

LEAST_EXAMS = 40
SETTLED_ERROR = 0.05
OWN_EXAMS = 100
"""Exams from which on a stratum has an operating point of its own with a new release."""
RECENT_DAYS = DAYS_IN_YEAR


def set_points(known: Known, lines: Lines, day: int) -> Floats:
    """Return each logged stratum's threshold, (S,): the share `RECALL_RATE` of its last year's
    exams, or of those since it changed, so far as is known; else all scanners' together."""
    rows = known.rows(day - RECENT_DAYS, day)
    exams = known.programme.exams.at(np.arange(rows.start, rows.stop))
    scores = lines.logit(exams.features, exams.stratum)
    current = exams.day >= known.since[exams.stratum]
    everyone = float(np.quantile(scores[current], 1 - RECALL_RATE))
    points = np.full(len(known.programme.strata), everyone)
    for stratum in np.unique(exams.stratum):
        own = scores[(exams.stratum == stratum) & current]
        if len(own) >= OWN_EXAMS:
            points[stratum] = np.quantile(own, 1 - RECALL_RATE)
    return points


@dataclass
class Alignment:
    """One stratum's way to its new operating point; ``exams`` from which it is set next."""

    stratum: int
    since: int
    exams: int = LEAST_EXAMS

    @property
    def settled(self) -> bool:
        """Whether more exams would not bring the rate nearer."""
        return recall_error(self.exams // 2, RECALL_RATE) <= SETTLED_ERROR

    def refine(self, known: Known, release: Release, day: int) -> bool:
        """Set the release's point where enough exams have come; tell whether it was."""
        if self.settled:
            return False
        rows = known.rows(self.since, day)
        exams = known.programme.exams
        recent = rows.start + np.flatnonzero(exams.stratum[rows] == self.stratum)
        if len(recent) < self.exams:
            return False
        reference = self._reference(known, release, day)
        ours = exams.at(recent)
        scores = release.lines.logit(ours.features, ours.stratum)
        release.thresholds[self.stratum] = align(reference, scores, RECALL_RATE)
        self.exams = 2 * len(recent)
        return True

    def _reference(self, known: Known, release: Release, day: int) -> Floats:
        """Return the scanner's logits of the year before; all scanners' for a new one."""
        rows = known.rows(self.since - RECENT_DAYS, self.since)
        exams = known.programme.exams.at(np.arange(rows.start, rows.stop))
        strata = known.programme.strata
        mine = strata[self.stratum]
        same = [i for i, s in enumerate(strata) if (s.site, s.scanner) == (mine.site, mine.scanner)]
        own = np.isin(exams.stratum, same)
        chosen = exams.at(np.flatnonzero(own)) if own.sum() >= OWN_EXAMS else exams
        return release.lines.logit(chosen.features, chosen.stratum)
