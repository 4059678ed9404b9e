"""Splits by period, for continual runs: train on the past, test on the future.

A patient belongs to the period of her first exam. Her later exams are never
moved there (that would let the future into the past), and never tested on (the
model may know her by then); they join the training data of the periods after
their own. So each step tests on women it meets for the first time, trains on
everything that was known before, and loses no exam for good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from mammo.data.machines import prevalence_of
from mammo.data.patients import Codes, patient_table
from mammo.errors import SourceInvalid

Every = Literal["M", "Q", "Y"]


@dataclass(frozen=True, eq=False)
class PeriodStep:
    """One step of a continual run: rows to train on (all before ``name``), rows to test on."""

    name: str
    train: pd.Series[bool]
    test: pd.Series[bool]


@dataclass(frozen=True, eq=False)
class PeriodSplit:
    """Periods in order of time, and of each row the exam's and the patient's first one.

    ``period`` and ``entry`` are places in ``names``, int64, aligned with the index.
    """

    names: tuple[str, ...]
    period: pd.Series[int]
    entry: pd.Series[int]

    @property
    def returning(self) -> pd.Series[bool]:
        """Rows of patients who had an exam in an earlier period."""
        return self.period > self.entry

    @property
    def part(self) -> pd.Series[Any]:
        """The name of each row's part; null for the exams of returning patients."""
        names = np.asarray(self.names, dtype=object)[self.entry.to_numpy()]
        part = pd.Series(names, index=self.entry.index, name="part", dtype=object)
        return part.where(~self.returning, None)

    def steps(self) -> Iterator[PeriodStep]:
        """Yield each period but the first, as one to test on after training on the past."""
        for number, name in enumerate(self.names[1:], start=1):
            new = (self.entry == number) & ~self.returning
            yield PeriodStep(name, self.period < number, new)


def split_by_period(
    index: pd.DataFrame,
    *,
    every: Every = "Q",
    boundaries: Sequence[date] | None = None,
) -> PeriodSplit:
    """Split by the date of the exam (its first image) into calendar periods.

    Parameters
    ----------
    every
        Months, quarters or years; periods without an exam are left out.
    boundaries
        First days of new periods, ascending; they win over ``every``.

    Raises
    ------
    SourceInvalid
        Rows without a date: which sets, how many. Or boundaries out of order.
    """
    _require_dates(index)
    days = pd.to_datetime(index["acquired_on"])
    first_image = days.groupby(index["exam_id"]).transform("min")
    if boundaries is None:
        codes, found = pd.factorize(first_image.dt.to_period(every), sort=True)
        names = [str(one) for one in found]
    else:
        codes, names = _between(first_image, boundaries)
    period = pd.Series(codes.astype(np.int64), index=index.index, name="period")
    entry = period.groupby(index["patient_id"]).transform("min").rename("entry")
    return PeriodSplit(tuple(names), period, entry)


def period_table(
    index: pd.DataFrame, split: PeriodSplit, *, target: str = "cancer"
) -> pd.DataFrame:
    """Return one row per period: new and returning patients, and what a step trains on.

    ``patients``, ``labelled``, ``positives``, ``prevalence``, ``low`` and ``high``
    (Wilson, 95 %) are of the new patients, who are tested on; ``images`` theirs
    in the period; ``returning_...`` of patients met before; ``train_...`` of
    everything before the period.
    """
    rows = []
    for number, name in enumerate(split.names):
        inside = split.period == number
        new, back = index[inside & ~split.returning], index[inside & split.returning]
        past = index[split.period < number]
        rows.append(
            {"period": name, "images": len(new)}
            | prevalence_of(patient_table(new, target=target))
            | {"returning_patients": back["patient_id"].nunique(), "returning_images": len(back)}
            | {"train_patients": past["patient_id"].nunique(), "train_images": len(past)}
        )
    return pd.DataFrame(rows)


def _require_dates(index: pd.DataFrame) -> None:
    absent = index["acquired_on"].isna().to_numpy()
    if not absent.any():
        return
    sets = index.loc[absent, "source"].fillna("unknown").value_counts().sort_index()
    named = ", ".join(f"{name} ({count:,})" for name, count in sets.items())
    raise SourceInvalid(
        f"{int(absent.sum()):,} of {len(index):,} rows have no date in acquired_on, the first is "
        f"index row {int(absent.argmax()) + 1}; by set: {named}. A split by period needs "
        "the date of each exam: leave these rows out (`--dated-only`), or split by folds or machine"
    )


def _between(days: pd.Series[Any], boundaries: Sequence[date]) -> tuple[Codes, list[str]]:
    if not boundaries or any(one >= other for one, other in pairwise(boundaries)):
        raise SourceInvalid(
            f"the boundaries are {', '.join(map(str, boundaries)) or 'none'}; "
            "allowed are one or more dates, each later than the one before"
        )
    edges = pd.to_datetime(pd.Series(list(boundaries)))
    codes = np.searchsorted(edges.to_numpy(), days.to_numpy(), side="right")
    names = [f"before {boundaries[0]}"]
    names += [f"{low} to before {high}" for low, high in pairwise(boundaries)]
    names.append(f"from {boundaries[-1]}")
    return codes, names
