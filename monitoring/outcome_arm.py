"""One arm of the outcome control: which exams it counts, its books, bets and evidence.

The arm of the *recalled* counts the cancers found at screening: the rank of each
among the reference's (cancers placed lower: the release has lost sight of them)
and how many there are per exam (prevalence, or sensitivity lost). A third family
bets on both at once, as they go together where cancers move towards the other
exams. The arm of *everyone* waits for the outcome of the women not recalled, too,
and ranks every cancer: slower by many months, and free of the recall's choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from monitoring.conformal import Floats
from monitoring.outcome_bets import Detector, Path, RankBook, RateBook, fall_gains, rank_scores


class Taken(NamedTuple):
    """Exams of whole blocks in the order of scoring, each (n,).

    ``cancer`` is 1 for a cancer that the arm counts, ``weight`` how far the exam's
    outcome is known, ``recalled`` 1 for a recalled exam with an outcome, and
    ``placement`` that of a cancer to rank (NaN: none).
    """

    cancer: Floats
    weight: Floats
    recalled: Floats
    placement: Floats
    block: int


SUMS = ("exams", "cancers", "recalled", "ranked", "z")
"""What is kept of each block: weights of exams and cancers, counts, and the sum of z."""


@dataclass
class OutcomeArm:
    """Books, evidence and the newest blocks' sums of one arm; constant memory, JSON state.

    ``falls`` are bets on ranks (SD), ``ratios`` on rates, ``pairs`` on both. ``recent``
    (m, 5) has the newest ``ring`` blocks' `SUMS`; ``confirmed`` the block at which a
    family reached its threshold (counted from 1).
    """

    falls: Floats
    ratios: Floats
    pairs: Floats
    ranks: RankBook
    rates: RateBook
    detector: Detector
    recent: Floats
    ring: int
    confirmed: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(
        cls, falls: Floats, ratios: Floats, pairs: Floats, books: tuple[RankBook, RateBook],
        ring: int,
    ) -> Self:  # fmt: skip
        """Begin with the reference's books; ``pairs`` is (B, 2) of fall and ratio."""
        detector = Detector.start(len(falls) + len(ratios) + len(pairs))
        return cls(falls, ratios, pairs, *books, detector, np.zeros((0, len(SUMS))), ring)

    @property
    def families(self) -> dict[str, slice]:
        """Return where the bets of each family stand: rank, rate and both; empty ones left out."""
        first, second = len(self.falls), len(self.falls) + len(self.ratios)
        parts = {
            "rank": slice(0, first),
            "rate": slice(first, second),
            "both": slice(second, second + len(self.pairs)),
        }
        return {name: part for name, part in parts.items() if part.stop > part.start}

    def take(self, exams: Taken, years: float) -> Path:
        """Take blocks, each ``years`` long; return the way the bets went."""
        ranked = np.flatnonzero(np.isfinite(exams.placement))
        intervals = self.ranks.ranks(exams.placement[ranked])
        starts = np.arange(0, len(exams.cancer), exams.block)
        falls = np.zeros((len(exams.cancer), len(self.falls) + len(self.pairs)))
        falls[ranked] = fall_gains(intervals, np.concatenate([self.falls, self.pairs[:, 0]]))
        ratios = np.concatenate([self.ratios, self.pairs[:, 1]])
        rates = self.rates.gains(exams.cancer, exams.weight, ratios)
        cut, at = len(self.falls), len(self.ratios)
        gains = np.hstack([falls[:, :cut], rates[:, :at], falls[:, cut:] + rates[:, at:]])
        self._remember(exams, ranked, rank_scores(intervals), starts)
        return self.detector.take(
            np.add.reduceat(gains, starts, axis=0), np.full(len(starts), years)
        )

    def _remember(
        self, exams: Taken, ranked: NDArray[np.int64], z: Floats, starts: NDArray[np.int64]
    ) -> None:
        rows = np.zeros((len(exams.cancer), len(SUMS)))
        rows[:, 0], rows[:, 1] = exams.weight, exams.weight * exams.cancer
        rows[:, 2], rows[ranked, 3], rows[ranked, 4] = exams.recalled, 1.0, z
        sums = np.add.reduceat(rows, starts, axis=0).round(4)  # as it is saved
        self.recent = np.vstack([self.recent, sums])[-self.ring :]

    def change(self, family: str) -> int:
        """Return the block after which the family's likeliest change lies."""
        part = self.families[family]
        return int(self.detector.since[part][int(self.detector.cusum[part].argmax())])

    def sums_since(self, block: int, upto: int | None = None) -> Floats:
        """Return `SUMS` over the kept blocks after ``block``, up to block ``upto``."""
        first = self.detector.blocks - len(self.recent)
        end = len(self.recent) if upto is None else upto - first
        return np.asarray(self.recent[max(0, block - first) : max(0, end)].sum(axis=0))

    def restart(self) -> None:
        """Forget the evidence and what it confirmed, keep the books."""
        blocks = self.detector.blocks
        self.detector = Detector.start(len(self.detector.cusum))
        self.detector.blocks = blocks
        self.detector.since[:] = blocks
        self.confirmed = {}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able state."""
        return {
            "falls": self.falls.tolist(),
            "ratios": self.ratios.tolist(),
            "pairs": self.pairs.tolist(),
            "ranks": [float(f"{one:.6g}") for one in self.ranks.placements],
            "ranks_cap": self.ranks.cap,
            "rates": [self.rates.cancers, self.rates.others, self.rates.cap],
            "detector": self.detector.to_dict(),
            "recent": self.recent.tolist(),
            "ring": self.ring,
            "confirmed": self.confirmed,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from `to_dict`'s data."""
        return cls(
            np.array(data["falls"], dtype=float),
            np.array(data["ratios"], dtype=float),
            np.array(data["pairs"], dtype=float).reshape(-1, 2),
            RankBook([float(one) for one in data["ranks"]], int(data["ranks_cap"])),
            RateBook(*data["rates"]),
            Detector.from_dict(data["detector"]),
            np.array(data["recent"], dtype=float).reshape(-1, len(SUMS)),
            int(data["ring"]),
            dict(data["confirmed"]),
        )


def log_mean(logs: Floats) -> Floats:
    """Return the log of the mean over the last axis."""
    return np.asarray(np.logaddexp.reduce(logs, axis=-1) - np.log(logs.shape[-1]))


def concept_curve(sensitivity: float, cells: int = 200) -> tuple[Floats, Floats]:
    """Return how the rank of recalled cancers falls with their number, if cancers lose ground.

    Cancers' scores are taken as normal and moved down towards a fixed threshold
    (the binormal model, Metz 1978). Of those still recalled, ``ratios`` (m,) is the
    number relative to before, falling from 1, and ``falls`` (m,) the mean fall in SD of
    their rank among those recalled before.
    """
    above = ndtri(np.clip(sensitivity, 0.02, 0.98))
    moves = np.linspace(0.0, 2.5, 26)
    share = ndtr(above - moves)
    middles = (np.arange(cells) + 0.5) / cells
    # scores of the recalled after the move, as quantiles of what lies above the threshold
    scores = -ndtri(share[:, None] * middles) - moves[:, None]
    before = np.clip(1 - ndtr(-scores) / share[0], 1e-6, 1 - 1e-6)
    return share / share[0], -ndtri(before).mean(axis=1)
