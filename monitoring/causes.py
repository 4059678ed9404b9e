"""The table of triage: how probable each sign is under each cause, for people to read.

Every sign has answers; a row gives P(answer | cause) for the causes in the order of
`CAUSES`, and each column sums to one. The figures are judgements about screening
programmes, not fitted to the simulated years (docs/triage.md tells of the one row that
they led to); they are kept round so that nobody takes them for measurements. A sign that
is not known (no outcomes yet, no header in the log) has no answer and counts for nothing.
Signs are taken as independent given the cause (naive Bayes), except where one explains
another: most exams incomplete explain moved images, and older women explain images that
moved less (`monitoring.readings`).

Two causes at once (``mixed``) are a hypothesis of their own for every pair: a sign stays
quiet only if both leave it quiet (noisy-OR; Pearl 1988, ch. 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

from monitoring import readings
from monitoring.evidence import Evidence

Single = Literal["data_fault", "acquisition", "prevalence", "concept", "software_version"]
Cause = Literal["data_fault", "acquisition", "prevalence", "concept", "mixed", "software_version"]
CAUSES: tuple[Single, ...] = get_args(Single)
Hypothesis = tuple[Single, ...]
"""One cause, or two at once."""

PRIOR: dict[Single, float] = {
    "data_fault": 0.24, "acquisition": 0.31, "prevalence": 0.30, "concept": 0.05,
    "software_version": 0.05,
}  # fmt: skip
"""Before anything is seen but that something is confirmed; the rest, 0.05, is for two at once."""
PAIRS: tuple[Hypothesis, ...] = tuple(combinations(CAUSES[:4], 2))


@dataclass(frozen=True)
class Sign:
    """A question to the evidence, and P(answer | cause) for each answer, causes as in `CAUSES`.

    ``read`` returns the answer, or None where it is not known. The last answer is the
    quiet one. ``is_change`` is False for what says where and how a change came about:
    that of two causes is the mean of both.
    """

    question: str
    answers: dict[str, tuple[float, float, float, float, float]]
    read: Callable[[Evidence], str | None]
    is_change: bool = True

    def likelihood(self, answer: str, hypothesis: Hypothesis) -> float:
        """Return P(answer | hypothesis), in (0, 1]."""
        rows = [self._of(one) for one in hypothesis]
        if len(rows) == 1:
            return rows[0][answer]
        mean = {name: sum(row[name] for row in rows) / len(rows) for name in self.answers}
        if not self.is_change:
            return mean[answer]
        quiet = tuple(self.answers)[-1]
        silent = math.prod(row[quiet] for row in rows)
        return silent if answer == quiet else (1 - silent) * mean[answer] / (1 - mean[quiet])

    def _of(self, cause: Single) -> dict[str, float]:
        return {name: row[CAUSES.index(cause)] for name, row in self.answers.items()}


# P(answer | cause):              fault  acquis. preval. concept version
SIGNS: dict[str, Sign] = {
    "arrival": Sign(
        "What arrives",
        {
            "values are missing in most exams":           (0.15, 0.005, 0.002, 0.002, 0.002),
            "most exams lack views or had files refused": (0.25, 0.005, 0.001, 0.001, 0.001),
            "images further off than scanners differ":    (0.15, 0.005, 0.001, 0.001, 0.001),
            "images saturated, flat or without a breast": (0.15, 0.005, 0.001, 0.001, 0.001),
            "images of a known scanner far from its own": (0.15, 0.030, 0.001, 0.001, 0.001),
            "views missing or files refused more often":  (0.10, 0.040, 0.010, 0.010, 0.010),
            "exams as before":                            (0.05, 0.910, 0.984, 0.984, 0.984),
        },
        readings.read_arrival,
    ),
    "images": Sign(
        "The images (features, embedding) moved",
        {
            "moved":            (0.40, 0.900, 0.010, 0.020, 0.010),
            "no more than age": (0.03, 0.020, 0.200, 0.020, 0.010),
            "as before":        (0.57, 0.080, 0.790, 0.960, 0.980),
        },
        readings.read_images,
    ),
    "header": Sign(
        "Exposure, kVp, compression or thickness moved",
        {
            "moved":            (0.05, 0.400, 0.020, 0.015, 0.010),
            "no more than age": (0.01, 0.030, 0.200, 0.020, 0.010),
            "as before":        (0.94, 0.570, 0.780, 0.965, 0.980),
        },
        readings.read_header,
    ),
    "women": Sign(
        "The women's age moved",
        {
            "moved":     (0.02, 0.030, 0.250, 0.040, 0.010),
            "as before": (0.98, 0.970, 0.750, 0.960, 0.990),
        },
        readings.read_women,
    ),
    "scores": Sign(
        "Scores or recall moved",
        {
            "moved":     (0.50, 0.700, 0.750, 0.250, 0.010),
            "as before": (0.50, 0.300, 0.250, 0.750, 0.990),
        },
        readings.read_scores,
    ),
    "cancers": Sign(
        "Among outcomes, cancers rank lower than they did",
        {
            "lower":     (0.10, 0.150, 0.010, 0.500, 0.005),
            "not shown": (0.90, 0.850, 0.990, 0.500, 0.995),
        },
        readings.read_cancers,
    ),
    "rate": Sign(
        "Among outcomes, cancers per exam",
        {
            "more":      (0.01, 0.020, 0.250, 0.010, 0.005),
            "fewer":     (0.05, 0.100, 0.250, 0.150, 0.010),
            "not shown": (0.94, 0.880, 0.500, 0.840, 0.985),
        },
        readings.read_rate,
    ),
    "spread": Sign(
        "How many of the scanners and versions carry it",
        {
            "few":  (0.60, 0.850, 0.150, 0.100, 0.900),
            "some": (0.15, 0.100, 0.200, 0.200, 0.070),
            "most": (0.25, 0.050, 0.650, 0.700, 0.030),
        },
        readings.read_spread,
        is_change=False,
    ),
    "machine": Sign(
        "The scanner is",
        {
            "a new scanner":          (0.03, 0.300, 0.002, 0.005, 0.010),
            "a new software version": (0.05, 0.200, 0.010, 0.015, 0.980),
            "known":                  (0.92, 0.500, 0.988, 0.980, 0.010),
        },
        readings.read_machine,
        is_change=False,
    ),
    "onset": Sign(
        "It came",
        {
            "abrupt":  (0.95, 0.750, 0.300, 0.300, 0.950),
            "gradual": (0.05, 0.250, 0.700, 0.700, 0.050),
        },
        lambda evidence: evidence.onset or None,
        is_change=False,
    ),
}  # fmt: skip


def hypotheses() -> dict[Hypothesis, float]:
    """Return the prior of every cause and of every two at once; they sum to one."""
    single: dict[Hypothesis, float] = {(cause,): PRIOR[cause] for cause in CAUSES}
    rest = 1 - sum(single.values())
    return single | dict.fromkeys(PAIRS, rest / len(PAIRS))


def read_signs(evidence: Evidence) -> dict[str, str]:
    """Return the answer of every sign that is known, by the sign's name."""
    answers = {name: sign.read(evidence) for name, sign in SIGNS.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def posterior(answers: dict[str, str]) -> dict[Hypothesis, float]:
    """Return P(hypothesis | answers) by Bayes' rule; the values sum to one."""
    joint = {
        one: prior * math.prod(SIGNS[name].likelihood(a, one) for name, a in answers.items())
        for one, prior in hypotheses().items()
    }
    total = sum(joint.values())
    return {one: value / total for one, value in joint.items()}


def weight_of(name: str, answer: str) -> dict[Single, float]:
    """Return the weight of evidence of an answer for each cause, in nats.

    ln P(answer | cause) / P(answer | any other cause), the others by their priors
    (Good, 1950): above 0 it speaks for the cause, and 2.3 is ten to one.
    """
    row = dict(zip(CAUSES, SIGNS[name].answers[answer], strict=True))
    weights = {}
    for cause in CAUSES:
        others = {one: PRIOR[one] for one in CAUSES if one != cause}
        rest = sum(row[one] * prior for one, prior in others.items()) / sum(others.values())
        weights[cause] = math.log(row[cause] / rest)
    return weights
