"""Class balance of images, breasts and patients; unlabelled stands apart, never negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammo.explore.counts import (
    BREASTS,
    PATIENTS,
    POSITIVE_WORDS,
    Share,
    breast_share,
    image_share,
    known,
    one_row,
    patient_share,
)
from mammo.explore.plots import NEGATIVE, POSITIVE, UNLABELLED, new_figure, to_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import capital, count, number, one_in, percent, with_interval

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

RARE, COMMON = 0.10, 0.35
"""Below `RARE` an unweighted loss learns the majority; above `COMMON` a set is no screening set."""
FEW_POSITIVES = 100
"""Positive patients below which a fifth of them (a test part) gives an AUC to ±0.1 at best."""
SCREENING_MOST = 0.02
"""Share of patients with cancer in a screening round, generously: the Breast Cancer Surveillance
Consortium detected 5.1 in 1000 exams and missed 0.8 (Lehman et al., Radiology 2017; 283: 49)."""


@dataclass(frozen=True)
class Balance:
    """One label's balance; ``unlabelled`` counts images, breasts and patients without it."""

    target: str
    images: Share
    breasts: Share
    patients: Share
    unlabelled: tuple[int, int, int]


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the class balance of every label that the set has."""
    rows = int(one_row(query, "SELECT count(*) AS n FROM exams")["n"])
    if not rows:
        return None
    targets = [name for name, n in known(query, "cancer", "abnormal").items() if n]
    if not targets:
        subject = f"None of the {number(rows)} images has" if rows > 1 else "The only image has no"
        warning = (
            f"{subject} {'a ' if rows > 1 else ''}label (cancer or abnormality): the set can be "
            "scored and described, not learnt from or tested on."
        )
        return Section("labels", "Class balance", (warning,), warnings=(warning,))
    balances = [_balance(query, target) for target in targets]
    sentences, warnings = [], []
    for balance in balances:
        sentences += _sentences(balance)
    warnings += _warnings(balances[0])
    if len(balances) == 2:
        sentences.append(_two_labels(query))
    return Section(
        "labels", "Class balance", tuple(sentences), (_plot(balances[0]),),
        (_table(balances),), tuple(warnings),
    )  # fmt: skip


def _balance(query: IndexQuery, target: str) -> Balance:
    breasts = one_row(
        query,
        f"SELECT count(*) - count(outcome) AS n FROM ({BREASTS.format(target=target)})",
    )
    patients = one_row(
        query,
        f"SELECT coalesce(sum(outcome), 0) AS y, count(outcome) AS n, count(*) AS m "
        f"FROM ({PATIENTS.format(target=target)})",
    )
    images = one_row(query, f"SELECT count(*) - count({target}) AS n FROM exams")
    y, n, m = int(patients["y"]), int(patients["n"]), int(patients["m"])
    return Balance(
        target, image_share(query, target), breast_share(query, target), patient_share(y, n),
        (int(images["n"]), int(breasts["n"]), m - n),
    )  # fmt: skip


def _sentences(balance: Balance) -> list[str]:
    images, breasts, patients = balance.images, balance.breasts, balance.patients
    what = POSITIVE_WORDS[balance.target]
    out = []
    if patients.total:
        out.append(
            f"{capital(count(patients.positive, 'patient'))} of {number(patients.total)} with a "
            f"complete label {'has' if patients.positive == 1 else 'have'} {what}: "
            f"{with_interval(patients)}"
            + (f", {one_in(patients.rate)}." if 0 < patients.rate < 1 / 3 else ".")
        )
    else:
        out.append(f"No patient's label for {balance.target} is complete.")
    out.append(
        f"Of the labelled breasts {with_interval(breasts)} are positive and of the labelled images "
        f"{with_interval(images)}; both intervals allow for images of one patient going together."
        if breasts.total else
        f"Of the labelled images {with_interval(images)} are positive; no side is stated."
    )  # fmt: skip
    if any(balance.unlabelled):
        n_images, n_breasts, n_patients = balance.unlabelled
        out.append(
            f"{capital(count(n_images, 'image'))} "
            f"{'carries' if n_images == 1 else 'carry'} no label for {balance.target}, which "
            f"leaves {count(n_breasts, 'breast')} without any and {count(n_patients, 'patient')} "
            "without a complete one; they are counted nowhere as negative."
        )
    return out


def _warnings(balance: Balance) -> list[str]:
    patients, what = balance.patients, POSITIVE_WORDS[balance.target]
    out = []
    if not balance.images.positive or balance.images.positive == balance.images.total:
        only = "negative" if not balance.images.positive else "positive"
        return [
            f"Every label is {only}: nothing can be learnt to tell apart, and no AUC exists. "
            "Add the other class before training or testing."
        ]
    if 0 < balance.breasts.rate < RARE:
        negatives = (1 - balance.breasts.rate) / balance.breasts.rate
        out.append(
            f"Strong imbalance: {number(negatives)} negative breasts to each with {what}. Always "
            f"saying \"negative\" would be right in {percent(1 - balance.breasts.rate)} of "
            "breasts, so accuracy says little here: judge by AUC, sensitivity at a recall rate "
            "and calibration, and weight the loss or draw positives more often in training (then "
            "recalibrate)."
        )  # fmt: skip
    if patients.positive < FEW_POSITIVES:
        fifth = max(1, round(patients.positive / 5))
        out.append(
            f"Only {count(patients.positive, 'patient')} with {what}: a test part of one fifth "
            f"holds about {fifth}, too few to tell two models apart. Use cross-validation by "
            "patient and report its interval."
        )
    if balance.target == "cancer" and patients.total and patients.low > SCREENING_MOST:
        out.append(
            f"Cancer is more frequent here ({percent(patients.rate)} of patients) than in "
            "screening (about 0.6% of US exams: Lehman et al., Radiology 2017): the set was "
            "enriched, or these are not all screening exams. Predicted probabilities and positive "
            "predictive values do not carry over; recalibrate where the model is used."
        )
    return out


def _two_labels(query: IndexQuery) -> str:
    row = one_row(
        query,
        "SELECT count(*) FILTER (abnormal = 1 AND cancer = 0) AS benign, "
        "count(*) FILTER (abnormal = 1 AND cancer IS NULL) AS open, "
        "count(*) FILTER (abnormal = 0 AND cancer = 1) AS odd FROM exams",
    )
    text = (
        f"{capital(count(int(row['benign']), 'image'))} with an abnormality "
        f"{'is' if row['benign'] == 1 else 'are'} known to be free of cancer"
    )
    if row["open"]:
        text += (
            f", and {count(int(row['open']), 'image')} with an abnormality "
            f"{'has' if row['open'] == 1 else 'have'} no word on cancer"
        )
    if row["odd"]:
        text += f"; {count(int(row['odd']), 'image')} with cancer are called normal, a conflict"
    return text + "."


def _plot(balance: Balance) -> Plot:
    figure, (axes,) = new_figure(2.3)
    shares = (balance.images, balance.breasts, balance.patients)
    units = tuple(zip(("images", "breasts", "patients"), shares, strict=True))
    for y, ((_, share), unlabelled) in enumerate(zip(units, balance.unlabelled, strict=True)):
        parts = (
            (share.positive, POSITIVE, "positive"),
            (share.total - share.positive, NEGATIVE, "negative"),
            (unlabelled, UNLABELLED, "unlabelled"),
        )
        whole, left = max(1, sum(n for n, _, _ in parts)), 0.0
        for n, color, name in parts:
            axes.barh(
                y, 100 * n / whole, left=left, color=color, height=0.6,
                label=name if y == 0 else None,
            )  # fmt: skip
            left += 100 * n / whole
        words = f"{share.positive:,} positive of {share.total:,} labelled"
        axes.annotate(words, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.set_yticks(range(3), [name for name, _ in units])
    axes.set_ylim(2.6, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"share of all, % (label: {balance.target})", fontsize=9)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
    alt = "; ".join(f"{name}: {share.positive} of {share.total} positive" for name, share in units)
    return to_plot(figure, f"labels-{balance.target}", "Class balance", alt)


def _table(balances: list[Balance]) -> Table:
    rows = []
    for balance in balances:
        units = zip(
            ("images", "breasts", "patients"),
            (balance.images, balance.breasts, balance.patients), balance.unlabelled, strict=True,
        )  # fmt: skip
        rows += [
            (balance.target, unit, number(share.positive), number(share.total - share.positive),
             with_interval(share) if share.total else "", number(unlabelled))
            for unit, share, unlabelled in units
        ]  # fmt: skip
    columns = ("label", "unit", "positive", "negative", "share positive", "unlabelled")
    return Table(columns, tuple(rows), "Class balance; intervals at the level of patients")
