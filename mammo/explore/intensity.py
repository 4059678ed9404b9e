"""How the images look in numbers, scanner by scanner: what betrays where an image was made.

A model learns what tells the classes apart; where the scanner tells part of it and the pixels tell
the scanner, it will learn the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mammo.explore.counts import main_target
from mammo.explore.plots import BLUE, clip, new_figure, style, to_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import capital, count, listed, named, number, percent
from mammo.image_features import FEATURE_NAMES

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

ROWS = 20_000
"""Images that are looked at; drawn by the hash of their pseudonyms, so always the same."""
FEWEST, SCANNERS, RESAMPLES = 20, 10, 300
LARGE_SD, BETRAYS, TELLS = 0.8, 0.5, 0.6
WORDS = {
    "breast_fraction": "share of the image that is breast",
    "mean_intensity": "mean intensity",
    "contrast": "contrast (SD)",
    "skewness": "skewness",
    "sharpness": "sharpness",
    "noise": "noise",
}
COLUMNS = tuple(f"f_{name}" for name in FEATURE_NAMES)


@dataclass(frozen=True)
class Told:
    """What a model reads from the features alone, each image judged by one that never saw its
    patient: ``accuracy`` (balanced) or AUC, and what chance gives."""

    score: float
    chance: float
    low: float = float("nan")
    high: float = float("nan")


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the features by scanner, or None where no image has them."""
    target = main_target(query)
    frame = _read(query, target, context.seed)
    if len(frame) < 2:
        return None
    sizes = frame["scanner"].value_counts()
    scanners = [name for name, n in sizes.items() if n >= FEWEST][:SCANNERS]
    apart = differences(frame, scanners) if len(scanners) > 1 else None
    by_scanner = read_scanner(frame, scanners, context.seed)
    by_label = read_label(frame, context.seed) if target else None
    sentences = [
        _what(frame, query), *_apart_sentences(apart, scanners), *_scanner_sentence(by_scanner),
        *_label_sentence(by_label, target),
    ]  # fmt: skip
    plots = (_plot(frame, scanners or list(sizes.index[:1])),)
    warnings = tuple(_warnings(apart, by_scanner, by_label, target))
    tables = (_table(apart),) if apart is not None else ()
    return Section("intensity", "Intensity by scanner", tuple(sentences), plots, tables, warnings)


def _read(query: IndexQuery, target: str | None, seed: int) -> Any:
    frame = query.frame(
        f"SELECT patient_id, coalesce(nullif(scanner, ''), 'not stated') AS scanner, "
        f"{target or 'NULL'} AS target, {', '.join(COLUMNS)} FROM exams "
        f"WHERE {' AND '.join(f'{name} IS NOT NULL' for name in COLUMNS)} "
        "ORDER BY md5(concat(image_id, ?)) LIMIT ?",
        [str(seed), ROWS],
    )
    return frame[np.isfinite(frame[list(COLUMNS)].astype(float)).all(axis=1)]


def differences(frame: Any, scanners: list[str]) -> Any:
    """Return scanner x feature: mean less that of all other images, in SD within scanners."""
    import pandas as pd

    values = frame[list(COLUMNS)].astype(float)
    groups = values.groupby(frame["scanner"])
    within = np.sqrt((groups.var(ddof=0).mul(groups.size(), axis=0)).sum() / len(values))
    rows = {}
    for scanner in scanners:
        mine = frame["scanner"] == scanner
        rows[scanner] = (values[mine].mean() - values[~mine].mean()) / within.clip(lower=1e-12)
    return pd.DataFrame(rows).T.rename(columns=lambda name: name.removeprefix("f_"))


def read_scanner(frame: Any, scanners: list[str], seed: int) -> Told | None:
    """Return how well the features name the scanner; None with one scanner or too few patients."""
    from sklearn.metrics import balanced_accuracy_score

    mine = frame[frame["scanner"].isin(scanners)]
    enough = mine.groupby("scanner")["patient_id"].nunique() if len(mine) else None
    if len(scanners) < 2 or enough is None or enough.min() < 5:
        return None
    guessed = _out_of_fold(mine, mine["scanner"].to_numpy(), seed, "predict")
    score = balanced_accuracy_score(mine["scanner"], guessed)
    return Told(float(score), 1 / len(scanners))


def read_label(frame: Any, seed: int) -> Told | None:
    """Return the AUC of the features for the label, with its interval over patients."""
    from sklearn.metrics import roc_auc_score

    mine = frame[frame["target"].notna()]
    labels = mine["target"].astype(int).to_numpy()
    by_class = mine.groupby(labels)["patient_id"].nunique()
    if len(by_class) < 2 or by_class.min() < 10:
        return None
    scores = _out_of_fold(mine, labels, seed, "predict_proba")[:, 1]
    low, high = _auc_interval(mine["patient_id"].to_numpy(), labels, scores, seed)
    return Told(float(roc_auc_score(labels, scores)), 0.5, low, high)


def _out_of_fold(frame: Any, wanted: Any, seed: int, method: str) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    model = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        StandardScaler(),
        LogisticRegression(max_iter=300, C=0.3, class_weight="balanced"),
    )
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    values = frame[list(COLUMNS)].astype(float).to_numpy()
    return cross_val_predict(
        model, values, wanted, groups=frame["patient_id"].to_numpy(), cv=folds, method=method
    )


def _auc_interval(patients: Any, labels: Any, scores: Any, seed: int) -> tuple[float, float]:
    """Return the 95% percentile interval of the AUC, resampling patients `RESAMPLES` times."""
    from sklearn.metrics import roc_auc_score

    names, owner = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        weight = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[owner]
        if weight[labels == 1].any() and weight[labels == 0].any():
            drawn.append(roc_auc_score(labels, scores, sample_weight=weight))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _what(frame: Any, query: IndexQuery) -> str:
    total = int(query.frame(f"SELECT count({COLUMNS[0]}) AS n FROM exams")["n"].iloc[0])
    of = (
        f"all {number(total)}"
        if len(frame) == total
        else f"{number(len(frame))} of {number(total)}"
    )
    return (
        f"Six simple numbers of {of} prepared images, measured within the breast: its share of the "
        "image, mean intensity, contrast, skewness, sharpness and noise (1.0 is the full scale)."
    )


def _apart_sentences(apart: Any, scanners: list[str]) -> list[str]:
    if apart is None:
        only = f" ({scanners[0]})" if scanners else ""
        return [
            f"Only one scanner{only} has {FEWEST} images or more: scanners cannot be compared, and "
            "a model made from this set has learnt the look of one device."
        ]
    ranked = apart.stack().sort_values(key=abs, ascending=False)
    told = [
        f"{scanner} is {abs(value):.1f} SD {'above' if value > 0 else 'below'} the others in "
        f"{WORDS[feature]}"
        for (scanner, feature), value in ranked.items()
        if abs(value) >= LARGE_SD
    ]
    if not told:
        (scanner, feature), value = next(iter(ranked.items()))
        return [
            f"No scanner is {LARGE_SD} SD or more from the others in any of them; the largest "
            f"difference is {abs(value):.1f} SD, of {scanner} in {WORDS[feature]}."
        ]
    return [f"Scanners differ: {listed(told, 5)}."]


def _scanner_sentence(told: Told | None) -> list[str]:
    if told is None:
        return []
    return [
        f"From these six numbers alone, a small model names the scanner of an unseen patient's "
        f"image with a balanced accuracy of {percent(told.score)}; chance would give "
        f"{percent(told.chance)}."
    ]


def _label_sentence(told: Told | None, target: str | None) -> list[str]:
    if target is None:
        return []
    if told is None:
        return [f"Too few patients of either class to ask what the six numbers tell of {target}."]
    verdict = (
        "above chance: part of the label can be had without looking at any lesion"
        if told.low > 0.5
        else "not distinguishable from chance"
        if told.high >= 0.5
        else "no better than chance: on few cases cross-validation leans below 0.5"
    )
    return [
        f"The same numbers predict {target} with an AUC of {told.score:.2f} (95% interval "
        f"{told.low:.2f} to {told.high:.2f}, over patients), which is {verdict}."
    ]


def _warnings(
    apart: Any, scanner: Told | None, label: Told | None, target: str | None
) -> list[str]:
    told = []
    if scanner is not None and (scanner.score - scanner.chance) / (1 - scanner.chance) > BETRAYS:
        told.append(
            f"Pixels betray the scanner: six simple numbers name it with a balanced accuracy of "
            f"{percent(scanner.score)} (chance {percent(scanner.chance)}). Where scanners differ "
            "in prevalence, a model will use it; judge it per scanner and leave one machine out."
        )
    if label is not None and label.low > TELLS:
        told.append(
            f"Six numbers of the whole image predict {target} with an AUC of {label.score:.2f}, "
            "without looking for a lesion: a model must beat that before it has seen anything."
        )
    return told


def _plot(frame: Any, scanners: list[str]) -> Plot:
    figure, axes = new_figure(1.1 + 0.34 * max(len(scanners), 2), 6, sharey=True)
    for one, column in zip(axes, COLUMNS, strict=True):
        data: Any = [frame.loc[frame["scanner"] == name, column].astype(float) for name in scanners]
        one.boxplot(
            data, orientation="horizontal", whis=(5, 95), showfliers=False, widths=0.6,
            patch_artist=True, boxprops={"facecolor": "#cfe3f1", "edgecolor": BLUE},
            medianprops={"color": "#1f2933", "lw": 1.6}, whiskerprops={"color": BLUE},
            capprops={"color": BLUE},
        )  # fmt: skip
        style(one)
        one.set_title(WORDS[column.removeprefix("f_")].replace(" that is ", "\nthat is "),
                      fontsize=8, color="#1f2933")  # fmt: skip
        one.tick_params(labelsize=7)
        one.locator_params(axis="x", nbins=3)
    axes[0].set_yticks(range(1, len(scanners) + 1), [clip(name, 22) for name in scanners])
    axes[0].invert_yaxis()
    alt = (
        f"Six numbers of the images of {count(len(scanners), 'scanner')}: the box holds the middle "
        "half of the images, the line is the median, whiskers reach from 5 to 95%."
    )
    return to_plot(figure, "intensity", "What the images look like, by scanner", alt)


def _table(apart: Any) -> Table:
    rows = tuple(
        (named(scanner), *(f"{value:+.2f}" for value in row))
        for scanner, row in zip(apart.index, apart.to_numpy(), strict=True)
    )
    columns = ("scanner", *(capital(WORDS[name]) for name in apart.columns))
    return Table(columns, rows, "Difference of each scanner from all others, in SD within scanners")
