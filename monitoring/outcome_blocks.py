"""Blocks of exams in the order of scoring, and when their outcomes are complete enough to count.

Outcomes come in any order: cancers sooner than negatives, high scores sooner
than low ones, one site's before another's. So nothing is counted as it comes.
Exams queue in blocks of consecutive ones, and the first block waits until every
outcome it needs is there, at most until its exams are of the stated maturity;
then it is taken and the next has its turn. What is taken has thus always the
same order and the same maturity, and late outcomes make it late, never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitoring.conformal import Floats


@dataclass(frozen=True)
class Waiting:
    """How long a block waits, in days since its last exam.

    It is taken when ``complete`` of its outcomes are known; at ``maturity_days`` when
    ``enough`` are; as soon after as they are; and is passed over at ``patience_days``.
    """

    maturity_days: float
    patience_days: float
    complete: float = 1.0
    enough: float = 0.5


class Ready(NamedTuple):
    """When each block is taken (day, inf: not yet), and whether it is ``passed`` over."""

    day: Floats
    passed: NDArray[np.bool_]


def ready_blocks(
    day: Floats, outcome_day: Floats, needed: NDArray[np.bool_], block: int, waiting: Waiting
) -> Ready:
    """Return when each whole block of ``block`` exams is taken, (n // block,).

    ``day`` and ``outcome_day`` (n,) are when an exam was scored and its outcome known
    (inf: unknown), ``needed`` (n,) whose outcome the block waits for.
    """
    count = len(day) // block
    shape = (count, block)
    last = day[: count * block].reshape(shape).max(axis=1)
    asked = needed[: count * block].reshape(shape)
    known = np.sort(np.where(asked, outcome_day[: count * block].reshape(shape), np.inf), axis=1)
    asked_of = asked.sum(axis=1)
    complete = _nth(known, np.ceil(waiting.complete * asked_of))
    enough = _nth(known, np.ceil(waiting.enough * asked_of))
    mature = np.maximum(enough, last + waiting.maturity_days)
    patience = last + waiting.patience_days
    taken = np.maximum(np.minimum(complete, mature), last)
    passed = taken > patience
    return Ready(np.maximum.accumulate(np.where(passed, patience, taken)), passed)


def _nth(known: Floats, number: Floats) -> Floats:
    """Return the ``number``-th earliest outcome of each block; none needed is at once."""
    place = np.maximum(number.astype(int) - 1, 0)
    found = np.take_along_axis(known, place[:, None], axis=1)[:, 0]
    return np.asarray(np.where(number == 0, -np.inf, found))


def share_told(recall: NDArray[np.bool_], told: NDArray[np.bool_], size: int) -> Floats:
    """Return for each exam the share of its block's recalled exams with an outcome; 1 of none."""
    asked = recall.reshape(-1, size).sum(axis=1)
    known = (recall & told).reshape(-1, size).sum(axis=1)
    return np.repeat(np.where(asked, known / np.maximum(asked, 1), 1.0), size)
