"""Ages: their distribution by outcome, and what is odd about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mammo.explore.counts import POSITIVE_WORDS, main_target, one_row
from mammo.explore.plots import NEGATIVE, POSITIVE, UNLABELLED, new_figure, to_plot
from mammo.explore.section import ExploreContext, Plot, Section
from mammo.explore.sentences import capital, count, listed, number, p_value, percent

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

PLAUSIBLE = (18, 110)
"""Years; outside, an age is more likely an error than a woman at screening."""
SCREENING_AGES = (40, 75)
CAPS = (89, 90)
"""Ages into which HIPAA's safe harbour (45 CFR 164.514(b)(2)) puts everybody older."""
_EXAMS = """
    SELECT exam_id, any_value(patient_id) AS patient_id, max(age_years)::INTEGER AS age,
        max({label})::INTEGER AS label, count({label}) = count(*) AS complete
    FROM exams GROUP BY exam_id
"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return what ages tell; None without rows."""
    target = main_target(query)
    label = target or "NULL::TINYINT"
    ages = query.frame(
        "SELECT age, CASE WHEN label = 1 THEN 1 WHEN complete THEN 0 END AS label, "
        f"count(*) AS exams FROM ({_EXAMS.format(label=label)}) GROUP BY ALL ORDER BY ALL"
    )
    if ages.empty:
        return None
    missing = int(ages.loc[ages["age"].isna(), "exams"].sum())
    total = int(ages["exams"].sum())
    known = ages[ages["age"].notna()].astype({"age": int})
    if known.empty:
        words = (
            f"No age is stated in any of {count(total, 'exam')}: one of the strongest risk "
            "factors is missing, and no result can be read by age."
        )
        return Section("people", "Ages", (words,), warnings=(words,))
    sentences = [
        _spread(known, missing, total), *_by_outcome(known, target), *_heaping(known),
        *_cap(known),
    ]  # fmt: skip
    warnings = _implausible(query, known)
    return Section("people", "Ages", tuple(sentences), (_plot(known, target),), (), tuple(warnings))


def _spread(known: pd.DataFrame, missing: int, total: int) -> str:
    ages, weights = known["age"].to_numpy(), known["exams"].to_numpy()
    low, middle, high = (weighted_quantile(ages, weights, q) for q in (0.25, 0.5, 0.75))
    outside = weights[(ages < SCREENING_AGES[0]) | (ages >= SCREENING_AGES[1])].sum()
    n = int(weights.sum())
    text = (
        f"Median age is {middle} years (middle half {low} to {high}, from {ages.min()} to "
        f"{ages.max()}) over {count(n, 'exam')}"
    )
    if n > 1:
        text += f"; {percent(float(outside / n))} lie outside 40 to 74, the usual screening ages"
    if missing:
        text += f"; {count(missing, 'exam')} ({percent(missing / total)}) state none"
    return text + "."


def _by_outcome(known: pd.DataFrame, target: str | None) -> list[str]:
    groups = {value: known[known["label"] == value] for value in (0, 1)}
    if target is None or any(part["exams"].sum() < 5 for part in groups.values()):
        return []
    medians = {
        value: weighted_quantile(part["age"].to_numpy(), part["exams"].to_numpy(), 0.5)
        for value, part in groups.items()
    }
    p, above = rank_test(groups[1], groups[0])
    what = POSITIVE_WORDS[target]
    if p >= 0.05:
        return [
            f"Exams with {what} and without do not differ in age beyond chance (medians "
            f"{medians[1]} and {medians[0]}; rank test, {p_value(p)})."
        ]
    order = "older" if above > 0.5 else "younger"
    return [
        f"Women with {what} are {order}: median {medians[1]} against {medians[0]} years (rank "
        f"test, {p_value(p)}); of a random pair, the one with {what} is the {order} "
        f"{percent(max(above, 1 - above))} of the time. Age alone therefore ranks women; balance "
        "it over the parts of a split and report results within age bands."
    ]


def rank_test(one: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float]:
    """Return Mann-Whitney's p (normal, with ties) and P(one > other), from counted ages."""
    from scipy.stats import norm

    ages = np.union1d(one["age"], other["age"])
    a = _counts(one, ages)
    b = _counts(other, ages)
    n, m = a.sum(), b.sum()
    above = float((a * (np.cumsum(b) - 0.5 * b)).sum() / (n * m))
    ties = a + b
    total = n + m
    variance = (total + 1 - ((ties**3 - ties).sum()) / (total * (total - 1))) / (12 * n * m)
    if variance <= 0:
        return 1.0, 0.5
    return float(2 * norm.sf(abs(above - 0.5) / np.sqrt(variance))), above


def _counts(part: pd.DataFrame, ages: np.ndarray) -> np.ndarray:
    return np.asarray(
        part.groupby("age")["exams"].sum().reindex(ages, fill_value=0).to_numpy(dtype=float)
    )


def _heaping(known: pd.DataFrame) -> list[str]:
    """Return whether round ages stand out of their neighbours (Whipple's idea, one by one)."""
    counted = known.groupby("age")["exams"].sum()
    round_ages = [age for age in range(30, 90, 5) if counted.get(age, 0) >= 20]
    heaps = []
    for age in round_ages:
        beside = [float(counted.get(age + step, 0)) for step in (-2, -1, 1, 2)]
        mean = sum(beside) / 4
        if counted[age] > 1.2 * max(beside) and (
            counted[age] - mean > 4 * np.sqrt(counted[age] + mean / 4)
        ):  # fmt: skip
            beyond = (
                f"{counted[age] / mean:.1f} times its neighbours' mean"
                if mean
                else "nobody beside it"
            )
            heaps.append(f"{age} ({beyond})")
    if not heaps:
        return []
    reason = (
        "one such age is more likely the age of first invitation than rounding"
        if len(heaps) == 1 else
        "several such ages speak of rounding, so treat ages as good to five years"
    )  # fmt: skip
    return [f"Ages pile up at {listed(heaps)}: {reason}."]


def _cap(known: pd.DataFrame) -> list[str]:
    counted = known.groupby("age")["exams"].sum()
    top = int(counted.index.max())
    beside = [float(counted.get(top - step, 0)) for step in (1, 2, 3)]
    if top not in CAPS or counted[top] <= 1.3 * np.mean(beside):
        return (
            [f"No age is above {top}, the limit that de-identification sets; nobody is piled up "
             "there, so nobody older was there, or the oldest were left out."]
            if top in CAPS and counted[top] >= 3 else []
        )  # fmt: skip
    return [
        f"Ages end at {top}, where {count(int(counted[top]), 'exam')} "
        f"{'stands' if counted[top] == 1 else 'stand'} "
        f"against {np.mean(beside):.0f} a year just below: de-identification usually puts "
        f'everybody older into {top}, so read it as "{top} and over".'
    ]


def _implausible(query: IndexQuery, known: pd.DataFrame) -> list[str]:
    low, high = PLAUSIBLE
    odd = known[(known["age"] < low) | (known["age"] > high)]
    out = []
    if len(odd):
        values = [str(age) for age in sorted(odd["age"].unique())]
        out.append(
            f"{capital(count(int(odd['exams'].sum()), 'exam'))} "
            f"{'states' if odd['exams'].sum() == 1 else 'state'} an age below {low} or above "
            f"{high} years ({listed(values)}): set it to missing, or look up the right one, "
            "before age is used for anything."
        )
    n = int(
        one_row(
            query,
            "SELECT count(*) AS n FROM (SELECT exam_id FROM exams GROUP BY exam_id "
            "HAVING max(age_years) - min(age_years) > 1)",
        )["n"]
    )
    if n:
        out.append(
            f"{capital(count(n, 'exam'))} {'has' if n == 1 else 'have'} images whose stated ages "
            "lie more than a year apart: one exam may be of two women."
        )
    return out


def weighted_quantile(values: np.ndarray, weights: np.ndarray, q: float) -> int:
    """Return the smallest value at which at least the share ``q`` of the weight is reached."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) >= q * weights.sum()
    return int(values[order][int(np.argmax(reached))])


def _plot(known: pd.DataFrame, target: str | None) -> Plot:
    shown = known[(known["age"] >= 0) & (known["age"] <= 120)]
    parts = [
        (name, color, shown[shown["label"].fillna(-1) == value])
        for name, color, value in (
            ("negative", NEGATIVE, 0), ("unlabelled", UNLABELLED, -1), ("positive", POSITIVE, 1),
        )
    ]  # fmt: skip
    parts = [part for part in parts if part[2]["exams"].sum()]
    figure, (axes,) = new_figure(3.0)
    for name, color, part in parts:
        n = int(part["exams"].sum())
        counted = part.groupby("age")["exams"].sum()
        ages = np.arange(counted.index.min(), counted.index.max() + 1)
        share = 100 * counted.reindex(ages, fill_value=0).to_numpy(float) / n
        dashed = name == "positive"
        axes.stairs(
            share, np.append(ages, ages[-1] + 1) - 0.5, color=color, lw=1.6, fill=False,
            ls="-" if not dashed else (0, (3, 1.2)), label=f"{name} ({number(n)} exams)",
        )  # fmt: skip
    axes.set_xlabel("age, years", fontsize=9)
    axes.set_ylabel("share of the group's exams, %", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8.5, loc="best")
    alt = "Ages in one-year steps, each group's shares adding up to 100%: " + "; ".join(
        f"{name}, {int(part['exams'].sum())} exams" for name, _, part in parts
    )
    return to_plot(figure, "people-ages", "Ages by outcome", alt)
