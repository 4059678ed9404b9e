"""What the record alone tells of the label: the AUC that an image model must beat.

Gradient boosting on attributes that are known before anybody looks at the image,
cross-validated by patient. Readings (BI-RADS, biopsy, difficulty) are left out:
they come after the look. One row is one breast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mammo.explore.counts import POSITIVE_WORDS, main_target
from mammo.explore.plots import bar_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import count, listed, number

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery
    from mammo.evaluation.bootstrap import Interval

MAX_PATIENTS = 40_000
FOLDS = 5
MIN_POSITIVE = 20
"""Positive patients below which five folds have too few to learn or measure anything."""
GUESSING = 0.5
NOTICEABLE = 0.01
"""Loss of AUC by one shuffle below which an attribute is not said to carry anything."""
RESAMPLE_CELLS = 8_000_000
"""Rows times resamples of the bootstrap: a few seconds."""
CATEGORIES = ("source", "site", "scanner", "software_version", "density", "side")
REPEAT_ROWS = 80_000
"""Rows times repeats of the cross-validation: one draw of the folds moves the AUC of RSNA's table
by 0.01 either way, so small sets are split up to three times and the scores averaged."""
NUMBERS = ("age", "implant", "images", "extra_views", "year", "pixel_rows", "pixel_columns")
WORDS = {
    "software_version": "software version", "images": "number of images", "side": "side",
    "extra_views": "extra views", "pixel_rows": "image height", "pixel_columns": "image width",
}  # fmt: skip
_BREASTS = """
    SELECT patient_id, max({target})::INTEGER AS label, min(source) AS source,
        min(site) AS site, min(scanner) AS scanner,
        min(software_version) AS software_version, min(density) AS density,
        laterality AS side, max(age_years)::DOUBLE AS age, max(implant::INTEGER)::DOUBLE AS implant,
        count(*)::DOUBLE AS images,
        count(*) FILTER (view NOT IN ('CC', 'MLO'))::DOUBLE AS extra_views,
        max(year(acquired_on))::DOUBLE AS year, max(rows)::DOUBLE AS pixel_rows,
        max(columns)::DOUBLE AS pixel_columns
    FROM exams SEMI JOIN chosen USING (patient_id) WHERE {target} IS NOT NULL
    GROUP BY patient_id, exam_id, laterality
"""


@dataclass(frozen=True)
class Shortcut:
    """The record's AUC, and what of it each attribute carries.

    ``drops`` is the loss of AUC when the attribute is shuffled between held-out
    breasts, ``alone`` the AUC of that attribute by itself. ``sampled`` of
    ``patients`` were used.
    """

    auc: Interval
    drops: dict[str, float]
    alone: dict[str, float]
    breasts: int
    positive: int
    sampled: int
    patients: int


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return what the record alone tells; None without labels."""
    target = main_target(query)
    if target is None:
        return None
    title = "What the record tells without the image"
    frame, patients = read_breasts(query, target, context.seed)
    what = POSITIVE_WORDS[target]
    positives = frame.loc[frame["label"] == 1, "patient_id"].nunique()
    negatives = frame.loc[frame["label"] == 0, "patient_id"].nunique()
    if min(positives, negatives) < MIN_POSITIVE:
        return Section("shortcut", title, (
            f"With {count(positives, 'patient')} with {what} and "
            f"{count(negatives, 'patient')} without, no model of the record was fitted: at least "
            f"{MIN_POSITIVE} of each are needed. Whether the record betrays the label stays "
            "open.",))  # fmt: skip
    names = usable(frame)
    if not names:
        return Section("shortcut", title, (
            "Every breast has the same record (one site, one machine, no age, no density), so "
            "only the image can tell them apart.",))  # fmt: skip
    found = fit(frame, names, context.seed, patients)
    sentences = _sentences(found, what)
    if found.auc.low <= GUESSING:  # no attribute carries what is not there
        return Section("shortcut", title, sentences)
    return Section(
        "shortcut", title, sentences, (_plot(found),), (_table(found),), _warnings(found, what)
    )


def read_breasts(query: IndexQuery, target: str, seed: int) -> tuple[pd.DataFrame, int]:
    """Return one row per labelled breast of at most `MAX_PATIENTS` patients, and their number.

    Patients are drawn by a hash of their pseudonym and the seed: the same set and
    seed give the same patients, whatever the order of rows.
    """
    labelled = f"SELECT DISTINCT patient_id FROM exams WHERE {target} IS NOT NULL"
    patients = int(query.frame(f"SELECT count(*) AS n FROM ({labelled})")["n"].iloc[0])
    chosen = (
        f"WITH chosen AS (SELECT patient_id FROM ({labelled}) "
        f"ORDER BY md5(patient_id || '{int(seed)}'), patient_id LIMIT {MAX_PATIENTS})"
    )
    rows = f"{chosen} {_BREASTS.format(target=target)} ORDER BY patient_id, exam_id, side"
    return query.frame(rows), patients


def usable(frame: pd.DataFrame) -> list[str]:
    """Return the attributes that take more than one value (not stated is one)."""
    return [name for name in (*CATEGORIES, *NUMBERS) if frame[name].nunique(dropna=False) > 1]


def fit(frame: pd.DataFrame, names: list[str], seed: int, patients: int) -> Shortcut:
    """Cross-validate the model by patient and measure each attribute on held-out breasts."""
    from sklearn.model_selection import StratifiedGroupKFold

    from mammo.evaluation.metrics import auc_interval, roc_auc

    x, y = _design(frame, names), frame["label"].to_numpy(int)
    groups = frame["patient_id"].to_numpy()
    rng = np.random.default_rng(seed)
    scores = np.zeros(len(y))
    shuffled = {name: np.zeros(len(y)) for name in names}
    alone = {name: np.zeros(len(y)) for name in names}
    repeats = int(np.clip(REPEAT_ROWS // len(y), 1, 3))
    splits = [
        split
        for repeat in range(repeats)
        for split in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat).split(
            x, y, groups
        )
    ]
    for train, test in splits:
        model = _model(x, seed).fit(x.iloc[train], y[train])
        base = float(y[train].mean())  # fold to fold, the base rate alone would rank breasts
        base *= repeats
        scores[test] += model.predict_proba(x.iloc[test])[:, 1] / base
        for name in names:
            other = x.iloc[test].copy()
            other[name] = other[name].to_numpy()[rng.permutation(len(test))]
            shuffled[name][test] += model.predict_proba(other)[:, 1] / base
            alone[name][test] += _rate_of_level(x[name], y, train, test) / base
    auc = roc_auc(y, scores)
    resamples = int(np.clip(RESAMPLE_CELLS // len(y), 100, 1000))
    return Shortcut(
        auc_interval(y, scores, groups, resamples=resamples, seed=seed),
        {name: auc - roc_auc(y, values) for name, values in shuffled.items()},
        {name: roc_auc(y, values) for name, values in alone.items()},
        len(y), int(y.sum()), len(np.unique(groups)), patients,
    )  # fmt: skip


def _design(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the attributes as the model takes them; a category that is not stated is one."""
    design = frame[names].copy()
    for name in names:
        if name in CATEGORIES:
            text = design[name].astype(object).where(design[name].notna(), "")
            top = text.value_counts().index[:40]  # the trees take at most 255 levels
            design[name] = text.where(text.isin(top), "other").astype("category")
        else:
            design[name] = design[name].astype(float)
    return design


def _model(x: pd.DataFrame, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=60, max_depth=3, min_samples_leaf=40, l2_regularization=5.0,
        early_stopping=False, categorical_features="from_dtype", random_state=seed,
    )  # fmt: skip


def _rate_of_level(
    values: pd.Series, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Return each held-out breast's share of positives at its level in training, shrunk."""
    import pandas as pd

    level = values
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > 12:
        level = pd.qcut(values, 10, duplicates="drop").cat.codes
    codes, _ = pd.factorize(level, use_na_sentinel=False)
    n = np.bincount(codes[train], minlength=codes.max() + 1)
    positive = np.bincount(codes[train], weights=y[train], minlength=codes.max() + 1)
    rate = (positive + 20 * y[train].mean()) / (n + 20)
    return np.asarray(rate[codes[test]])


def _words(name: str) -> str:
    return WORDS.get(name, name)


def _signed(drop: float) -> str:
    """Return a loss with its sign; what rounds to none has a plus."""
    return f"{round(drop, 3) + 0.0:+.3f}"


def _sentences(found: Shortcut, what: str) -> tuple[str, ...]:
    auc = found.auc
    out = [
        f"A gradient-boosted model saw only the record of {count(found.breasts, 'breast')} "
        f"({number(found.positive)} with {what}): {listed(map(_words, found.drops), 14)}; never a "
        "pixel, and no reading (BI-RADS, biopsy, difficulty), since readings follow the look. "
        f"Cross-validated by patient, its AUC is {auc.value:.2f} (95% interval {auc.low:.2f} to "
        f"{auc.high:.2f}).",
        _meaning(found, what),
    ]
    if auc.low > GUESSING:
        out.append(_carriers(found))
    if found.sampled < found.patients:
        out.append(
            f"It was fitted on {number(found.sampled)} patients drawn at random from "
            f"{number(found.patients)}."
        )
    return tuple(out)


def _meaning(found: Shortcut, what: str) -> str:
    low, value = found.auc.low, found.auc.value
    if found.auc.high <= 0.55:
        return (
            "That is no better than guessing (0.50); on few cases cross-validation even leans "
            "below it, since a level that has fewer positives in training has more of them in the "
            f"held-out part. Nothing in these attributes helps to tell {what}."
        )
    if low <= GUESSING:
        return (
            "That cannot be told from guessing (0.50): nothing in these attributes, as this model "
            f"reads them, betrays {what}; an AUC up to {found.auc.high:.2f} is not excluded."
        )
    strength = "weakly" if value < 0.6 else "moderately" if value < 0.75 else "strongly"
    return (
        f"So the record alone {strength} betrays the label. An image model tested on this set must "
        f"beat {found.auc.high:.2f}, not 0.50, before its AUC shows that it sees disease; a model "
        "that can read age or machine off the image gets this much for nothing."
    )


def _carriers(found: Shortcut) -> str:
    ordered = sorted(found.drops.items(), key=lambda item: -item[1])
    noticeable = [(name, drop) for name, drop in ordered if drop >= NOTICEABLE]
    if not noticeable:
        return (
            "No single attribute carries it by itself: shuffling any one costs less than "
            f"{NOTICEABLE} of AUC."
        )
    parts = [f"{_words(name)} (shuffled, it costs {drop:.3f})" for name, drop in noticeable[:4]]
    verb = "carries" if len(parts) == 1 else "carry"
    first = noticeable[0][0]
    text = f"{listed(parts)} {verb} it; {_words(first)} alone reaches {found.alone[first]:.2f}."
    return text[:1].upper() + text[1:]


def _warnings(found: Shortcut, what: str) -> tuple[str, ...]:
    if found.auc.low <= 0.55:
        return ()
    first = max(found.drops, key=lambda name: found.drops[name])
    return (
        f"The record alone, without the image, tells {what} with an AUC of {found.auc.value:.2f} "
        f"({found.auc.low:.2f} to {found.auc.high:.2f}), mostly by {_words(first)}: report every "
        "image model's AUC beside this number and within strata of that attribute.",
    )


def _plot(found: Shortcut) -> Plot:
    ordered = sorted(found.drops.items(), key=lambda item: -item[1])
    rows = [
        (_words(name), drop, f"{_signed(drop)}; alone {found.alone[name]:.2f}")
        for name, drop in ordered
    ]
    alt = f"Loss of AUC when an attribute is shuffled; most by {_words(ordered[0][0])}."
    return bar_plot(
        "shortcut-drops", "Which attribute carries the record's AUC", alt, rows,
        f"loss of AUC when shuffled (whole record: {found.auc.value:.2f}; "
        f"n = {found.breasts:,} breasts, {found.positive:,} positive)",
    )  # fmt: skip


def _table(found: Shortcut) -> Table:
    rows = tuple(
        (_words(name), _signed(drop), f"{found.alone[name]:.3f}")
        for name, drop in sorted(found.drops.items(), key=lambda item: -item[1])
    )
    return Table(("attribute", "loss of AUC when shuffled", "AUC alone"), rows, "What carries it")
