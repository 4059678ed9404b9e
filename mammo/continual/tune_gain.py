"""What the best trial gained over the default, with intervals that resample patients.

On the patients that it was chosen by the gain flatters: the best of many is best
by luck as well. The holdout, which no trial saw, is looked at once a winner.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.metrics import auc_interval, paired_auc_difference

BREAST = ["exam_id", "laterality"]


@dataclass(frozen=True)
class Gain:
    """AUC of breasts, default and best on the same patients, and best - default."""

    default: Interval
    best: Interval
    gain: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Gain:
        """Return what `to_dict` gave."""
        return cls(**{name: Interval(**one) for name, one in data.items()})

    @property
    def shown(self) -> bool:
        """Whether the interval of the gain leaves 0 out."""
        return not self.gain.low <= 0 <= self.gain.high


def measure_gain(default: pd.DataFrame, best: pd.DataFrame) -> Gain:
    """Compare two tables of the same breasts: exam_id, laterality, patient_id, logit, label."""
    pairs = default.merge(
        best, on=[*BREAST, "patient_id", "label"], suffixes=("_a", "_b"), validate="one_to_one"
    )
    if len(pairs) != len(default) or len(pairs) != len(best):
        raise ValueError(
            f"the tables hold {len(default)} and {len(best)} breasts, {len(pairs)} of them alike"
        )
    labels, patients = pairs["label"].astype(int), pairs["patient_id"]
    return Gain(
        auc_interval(labels, pairs["logit_a"], patients),
        auc_interval(labels, pairs["logit_b"], patients),
        paired_auc_difference(labels, pairs["logit_a"], pairs["logit_b"], patients),
    )


def gain_sentences(
    chosen: Gain, honest: Gain | None, trials: int, number: int, total: int
) -> list[str]:
    """Say what was gained, where it flatters, and what patients say whom no trial saw.

    ``number`` is the place of this look among the ``total`` looks at these holdout
    patients: from the second on no gain is said to be shown.
    """
    told = [
        f"Out of fold the best of {trials} trials gains {_signed(chosen.gain)} of AUC over the "
        f"default, on {_on(chosen)}. That flatters: these patients chose it."
    ]
    if honest is None:
        return [*told, "The holdout was not looked at (--no-holdout)."]
    told.append(
        f"On the holdout, whom no trial saw, it gains {_signed(honest.gain)}, on {_on(honest)}: "
        f"{_verdict(honest, number)}"
    )
    if total > 1:
        told.append(
            f"Tuning looked at these holdout patients {total} times in all studies of this "
            f"installation; this is look {number}: the holdout wears out."
        )
    return told


def _verdict(honest: Gain, number: int) -> str:
    if honest.gain.low > 0 and number > 1:
        return (
            f"the interval leaves 0 out, but no gain is shown by look {number} at the same "
            "patients: the best of several looks is best by luck as well. Judge it by "
            "`mammo gate`, or on new patients."
        )
    verdict = "a gain" if honest.gain.low > 0 else "a loss" if honest.gain.high < 0 else "neither"
    return f"{verdict} is shown{'' if honest.shown else ' (the interval holds 0)'}."


def _signed(one: Interval) -> str:
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def _on(one: Gain) -> str:
    return f"{one.gain.n_patients} patients, {one.gain.n_positive} positive"
