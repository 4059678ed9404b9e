"""Simulated golden sets: exams of women at two sites, four scanners and three years, scored
by releases of known skill.

Scores are binormal: within a class they are normal with variance 1, and a release puts the
classes ``separation`` apart, so its true AUC is Phi(separation / sqrt(2)). What makes an exam
hard is mostly hard for every release (`KIN`); the rest is a release's own, and passes on from
champion to challenger as far as they are kin. One woman in five has two exams, whose noise is
half her own. No image is drawn and nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from mammo.evaluation.verdict import Scored

AUC = 0.88
KIN = 0.8
"""Share of the noise that any two releases have in common."""
TARGET_RECALL_RATE = 0.1

SCANNERS = np.array(["aurora", "borealis", "cygnus", "draco"])
SCANNER_SHARES = (0.35, 0.3, 0.2, 0.15)
SITES = np.array(["north", "north", "south", "south"])  # each scanner stands at one site
PERIODS = np.array(["2023", "2024", "2025"])


class Size(NamedTuple):
    """Exams, and how many of them with cancer."""

    exams: int
    cancers: int


PRODUCTION = Size(2000, 500)
NEWEST = Size(2000, 80)


def separation_of(auc: float | np.ndarray) -> np.ndarray:
    """Return how far apart the classes' means lie, in standard deviations."""
    return np.asarray(np.sqrt(2) * stats.norm.ppf(auc))


@dataclass(frozen=True, eq=False)
class Exams:
    """Exams of simulated women, all columns (exams,); ``noise`` is common to all releases."""

    labels: np.ndarray
    patients: np.ndarray
    scanner: np.ndarray
    site: np.ndarray
    period: np.ndarray
    noise: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, size: Size) -> Exams:
        """Draw exams; a woman's exams are of one scanner and one class."""
        women = round(size.exams / 1.2)
        sick = round(women * size.cancers / size.exams)
        repeated = rng.permutation(women)[: size.exams - women]
        patient = np.r_[np.arange(women), repeated]
        labels = patient < sick
        place = rng.choice(len(SCANNERS), women, p=SCANNER_SHARES)[patient]
        exams = cls(
            labels,
            patient.astype(str),
            SCANNERS[place],
            SITES[place],
            rng.choice(PERIODS, len(patient)),
            np.zeros(len(patient)),
        )
        return replace(exams, noise=exams.draw_noise(rng))

    def draw_noise(self, rng: np.random.Generator) -> np.ndarray:
        """Return standard normal noise (exams,), half of which is the woman's."""
        code = np.unique(self.patients, return_inverse=True)[1]
        hers = rng.normal(size=code.max() + 1)[code]
        return np.asarray(np.sqrt(0.5) * (hers + rng.normal(size=len(code))))


@dataclass(frozen=True, eq=False)
class Network:
    """A simulated release on some exams.

    Attributes
    ----------
    separation : float (exams,)
    own : float (exams,)
        Its own noise, variance 1.
    confidence : float
        What its logits are multiplied with; 1 is calibrated.
    recalls : float
        Share of exams that its cut was set to recall, in (0, 1).
    milliseconds : float
    saturated : float
        Share of exams, the most suspicious, that it puts in no order.
    """

    separation: np.ndarray
    own: np.ndarray
    confidence: float = 1.0
    recalls: float = TARGET_RECALL_RATE
    milliseconds: float = 200.0
    saturated: float = 0.0

    def logits(self, exams: Exams) -> np.ndarray:
        """Return the logit of cancer that a calibrated release of this skill gives (exams,)."""
        noise = np.sqrt(KIN) * exams.noise + np.sqrt(1 - KIN) * self.own
        score = self.separation * exams.labels + noise
        prior = special.logit(exams.labels.mean())
        logit = self.separation * score - self.separation**2 / 2 + prior
        if not self.saturated:
            return np.asarray(logit)
        # the highest share keeps its logits, in another order
        top = np.flatnonzero(logit >= np.quantile(logit, 1 - self.saturated))
        logit[top] = logit[top][np.argsort(self.own[top])]
        return np.asarray(logit)

    def probabilities(self, exams: Exams) -> np.ndarray:
        """Return the probabilities of cancer that it claims (exams,)."""
        return np.asarray(special.expit(self.confidence * self.logits(exams)))

    def recalled(self, exams: Exams, rng: np.random.Generator) -> np.ndarray:
        """Return its decisions (bool, exams): its cut was set on as many other exams."""
        separation, prevalence = self.separation.mean(), exams.labels.mean()
        sick = rng.random(len(exams.labels)) < prevalence
        score = separation * sick + rng.normal(size=len(sick))
        others = separation * score - separation**2 / 2 + special.logit(prevalence)
        return np.asarray(self.logits(exams) >= np.quantile(others, 1 - self.recalls))


def first_network(exams: Exams, rng: np.random.Generator, auc: float = AUC) -> Network:
    """Return a release of that true AUC on every exam."""
    separation = np.full(len(exams.labels), float(separation_of(auc)))
    return Network(separation, exams.draw_noise(rng))


def successor(
    champion: Network,
    exams: Exams,
    rng: np.random.Generator,
    change: np.ndarray | float,
    kin: float,
) -> Network:
    """Return a challenger whose true AUC differs by ``change`` (one number, or (exams,)).

    ``kin`` is how far its own noise is the champion's, in [0, 1]: 1 is the champion again.
    """
    before = stats.norm.cdf(champion.separation / np.sqrt(2))
    own = kin * champion.own + np.sqrt(1 - kin**2) * exams.draw_noise(rng)
    return replace(champion, separation=separation_of(before + change), own=own)


def scored(
    exams: Exams,
    champion: Network,
    challenger: Network,
    rng: np.random.Generator,
    earlier: Mapping[str, Network] | None = None,
) -> Scored:
    """Return the gate's material; ``earlier`` releases oldest first."""
    return Scored(
        labels=exams.labels,
        patients=exams.patients,
        champion_scores=champion.logits(exams),
        challenger_scores=challenger.logits(exams),
        champion_recalled=champion.recalled(exams, rng),
        challenger_recalled=challenger.recalled(exams, rng),
        champion_probabilities=champion.probabilities(exams),
        challenger_probabilities=challenger.probabilities(exams),
        scanner=exams.scanner,
        site=exams.site,
        period=exams.period,
        earlier_scores={name: one.logits(exams) for name, one in (earlier or {}).items()},
    )
