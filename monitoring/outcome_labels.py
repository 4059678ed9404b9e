"""From what was ever said of exams to when each was known to be free of cancer or not.

Outcomes come from several sources, late, twice, corrected, wrong. Each kind of
trouble has a code, a safe default and a count; nothing passes in silence:

OUTCOME_UNKNOWN_EXAM   of an exam that was never scored: kept, counted when it is
OUTCOME_BEFORE_EXAM    known before the exam was acquired: not counted
OUTCOME_IN_FUTURE      known later than now: not counted yet
OUTCOME_REPEATED       said again: counted once, from when it was first known
OUTCOME_REVISED        a source corrected itself: its newest word holds
OUTCOME_CONFLICT       two sources disagree: the exam counts as not known until they agree
CLOCK_BACKWARDS        an exam scored before one logged earlier: the order of the log holds
CLOCK_AHEAD            an exam scored later than now: taken as scored now
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from monitoring.conformal import Floats

DAY = pd.Timedelta(days=1)
EPOCH = pd.Timestamp("1970-01-01", tz="UTC")
CLOCK_DAYS = 1 / 24
"""Clocks of two machines may differ by an hour."""
LATER_DIAGNOSIS = pd.Timedelta(days=30)
"""A cancer known so much later than the all-clear is a later diagnosis, no contradiction."""

TOLD = {
    "OUTCOME_UNKNOWN_EXAM": "outcomes are of exams that no release has scored",
    "OUTCOME_BEFORE_EXAM": "outcomes were known before their exam was acquired; not counted",
    "OUTCOME_IN_FUTURE": "outcomes are dated later than now; not counted yet",
    "OUTCOME_REPEATED": "outcomes say again what was known; counted once",
    "OUTCOME_REVISED": "outcomes were corrected by their source; the newest word holds",
    "OUTCOME_CONFLICT": "exams have sources that disagree; counted as not known until they agree",
    "CLOCK_BACKWARDS": "exams were scored before one logged earlier; the log's order holds",
    "CLOCK_AHEAD": "exams are dated later than now; taken as scored now",
    "NOW_BACKWARDS": "run has a clock behind the last one's; nothing new is taken before it",
    "OUTCOMES_LATE": "exams wait longer than 3 months for the outcome of those recalled",
    "REFERENCE_WITHOUT_OUTCOMES": "reference has no cancer: changes are found, not their size",
}


@dataclass(frozen=True)
class Code:
    """A stable code, how many rows it is about, and what was done, in words."""

    code: str
    count: int
    told: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def codes_of(counts: Mapping[str, int]) -> list[Code]:
    """Return a code for each count above zero, with its words."""
    return [Code(code, int(n), f"{int(n)} {TOLD[code]}.") for code, n in counts.items() if n]


@dataclass(frozen=True)
class Labels:
    """When each exam (n,) was first told of and when its cancer was known (days, inf: not)."""

    told_day: Floats
    cancer_day: Floats
    counts: dict[str, int]


def days_since_epoch(times: pd.Series) -> Floats:
    """Return instants as days since 1970, (n,); NaT becomes NaN."""
    return np.asarray((pd.to_datetime(times, utc=True) - EPOCH) / DAY, dtype=np.float64)


def scored_days(exams: pd.DataFrame, now: datetime) -> tuple[Floats, dict[str, int]]:
    """Return the day each exam (in the order of the log) was scored, never falling; and codes.

    Where clocks disagree an exam counts as the younger: its outcome is then awaited
    longer, never too short.
    """
    days = days_since_epoch(exams["scored_at"])
    today = (now - EPOCH) / DAY
    ahead = days > today + CLOCK_DAYS
    days = np.minimum(days, today)
    highest = np.maximum.accumulate(days) if len(days) else days
    counts = {
        "CLOCK_BACKWARDS": int((days < highest - CLOCK_DAYS).sum()),
        "CLOCK_AHEAD": int(ahead.sum()),
    }
    return highest, counts


def label_days(exams: pd.DataFrame, outcomes: pd.DataFrame, now: datetime) -> Labels:
    """Return when the outcome of each exam was known.

    Parameters
    ----------
    exams
        exam_id (each once), acquired_on, scored_at.
    outcomes
        As `PredictionLog.outcomes` gives them, of any exams.
    """
    at = pd.Index(exams["exam_id"])
    known_at = pd.to_datetime(outcomes["known_at"], utc=True).dt.as_unit("ns")
    said = outcomes.assign(row=at.get_indexer(outcomes["exam_id"]), known_at=known_at)
    said = said[said["row"] >= 0]
    day = days_since_epoch(said["known_at"])
    future = day > (now - EPOCH) / DAY + CLOCK_DAYS
    early = day + 1 <= _acquired_day(exams)[said["row"]]
    said = said[~future & ~early].sort_values("known_at", kind="stable")
    said["side"] = said["laterality"].fillna("")
    held, again, revised = _newest_words(said)
    conflict = _conflicts(held)
    held = held[~held["row"].isin(conflict)]
    counts = {
        "OUTCOME_BEFORE_EXAM": int(early.sum()),
        "OUTCOME_IN_FUTURE": int((future & ~early).sum()),
        "OUTCOME_REPEATED": again,
        "OUTCOME_REVISED": revised,
        "OUTCOME_CONFLICT": len(conflict),
    }
    cancer = _first(held[held["cancer"]], len(at))
    clear = said[~said["cancer"] & ~said["row"].isin(conflict)]
    return Labels(np.minimum(cancer, _cleared(clear, len(at))), cancer, counts)


def _acquired_day(exams: pd.DataFrame) -> Floats:
    """Return the day an exam was acquired; when it was scored where that is unknown."""
    acquired = days_since_epoch(exams["acquired_on"])
    return np.where(np.isnan(acquired), days_since_epoch(exams["scored_at"]), acquired)


def _newest_words(said: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """Return each source's newest word on each side, dated from when it first said so.

    With it the numbers of words that repeat one, and of those taken back.
    """
    keys = ["row", "side", "source"]
    last = said.drop_duplicates(keys, keep="last")
    first = said.drop_duplicates([*keys, "cancer"])
    held = last.drop(columns="known_at").merge(first[[*keys, "cancer", "known_at"]])
    both = held.merge(first, on=keys, suffixes=("", "_before"))
    back = both[both["cancer"] != both["cancer_before"]]
    later = back["cancer"] & (back["known_at"] >= back["known_at_before"] + LATER_DIAGNOSIS)
    again = len(said) - len(said.drop_duplicates(["row", "side", "cancer"]))
    return held, again, int((~later).sum())


def _conflicts(held: pd.DataFrame) -> list[int]:
    """Return the rows of exams of which one source says cancer and another that there is none."""
    clear = pd.concat([held[~held["cancer"]], _both_breasts_clear(held)])
    pairs = held[held["cancer"]].merge(clear, on="row", suffixes=("", "_clear"))
    same_side = (pairs["side_clear"] == "") | (pairs["side_clear"] == pairs["side"])
    later = pairs["known_at"] >= pairs["known_at_clear"] + LATER_DIAGNOSIS
    other = pairs["source"] != pairs["source_clear"]
    return [int(row) for row in pairs.loc[same_side & other & ~later, "row"].unique()]


def _both_breasts_clear(held: pd.DataFrame) -> pd.DataFrame:
    """Return a word on the whole exam of each source that cleared both of its breasts."""
    breasts = held[~held["cancer"] & (held["side"] != "")]
    words = breasts.groupby(["row", "source"], as_index=False).agg(
        sides=("side", "nunique"), known_at=("known_at", "max")
    )
    return words[words["sides"] == 2].assign(side="", cancer=False)


def _first(said: pd.DataFrame, exams: int) -> Floats:
    """Return the first day each exam (by ``row``) is said of, inf: never."""
    day = np.full(exams, np.inf)
    np.minimum.at(day, said["row"].to_numpy(), days_since_epoch(said["known_at"]))
    return day


def _cleared(clear: pd.DataFrame, exams: int) -> Floats:
    """Return when each exam was known to be free of cancer: as a whole, or in both breasts."""
    whole, breasts = clear[clear["side"] == ""], clear[clear["side"] != ""]
    sides = [_first(breasts[breasts["side"] == side], exams) for side in ("L", "R")]
    return np.minimum(_first(whole, exams), np.maximum(*sides))
