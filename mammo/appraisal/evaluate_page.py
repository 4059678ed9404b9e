"""The page of an evaluation: chapters from its numbers, for radiologists and engineers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mammo import INTENDED_USE
from mammo.appraisal import evaluate_plots as plots
from mammo.appraisal import evaluate_words as say
from mammo.appraisal.evaluate import Evaluation, plural
from mammo.appraisal.evaluate_words import Words
from mammo.appraisal.group_words import group_sentences
from mammo.appraisal.metric_names import METRIC_NAMES, show_cell
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.subgroups import SubgroupResult
from mammo.exam import OperatingPoint
from mammo.explore.page import Origin, render_page, summarise
from mammo.explore.section import Section, Table
from mammo.explore.sentences import number
from mammo.release import DEFAULT_SCANNER

LEADS = ("judged", "discrimination", "decisions", "calibration", "subgroups")
SUBJECT = "what its scores are worth"


@dataclass(frozen=True)
class Judged:
    """What was judged: a release or a file of scores, in words.

    ``facts`` are rows of the page's table about it, such as what it was trained on.
    """

    name: str
    words: Words
    points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()


def build_sections(
    found: Evaluation, groups: Sequence[SubgroupResult], judged: Judged
) -> list[Section]:
    """Return the chapters in reading order; ``groups`` begins with the total."""
    words = judged.words
    return [
        _judged(found, judged),
        Section(
            "discrimination", "Telling positives from negatives",
            tuple(say.auc_sentences(found, words)),
            (plots.curves_plot(found, words), plots.scores_plot(found, words)),
        ),
        _decisions(found, judged),
        Section(
            "calibration", "Probabilities",
            tuple(say.calibration_sentences(found, words)), (plots.calibration_plot(found, words),),
        ),
        _subgroups(groups),
        _metrics(found, words),
        _limits(found, judged),
    ]  # fmt: skip


def write_out(sections: Sequence[Section], judged: Judged, origin: Origin) -> str:
    """Return the page as HTML."""
    return render_page(judged.name, sections, origin, subject=SUBJECT, leads=LEADS)


def summary(sections: Sequence[Section]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the warnings and the leading sentences, as the page shows them first."""
    return summarise(sections, LEADS)


def _judged(found: Evaluation, judged: Judged) -> Section:
    rows = []
    for name, level in found.levels.items():
        c = level.counts
        share = show_cell("prevalence", level.metrics["prevalence"].interval)
        counts = (c["units"], c["positive_units"], c["patients"], c["positive_patients"])
        rows.append((name, *(number(one) for one in counts), share))
    columns = ("level", "units", "positive", "patients", "positive patients", "share positive")
    tables = [
        Table(columns, tuple(rows), f"Whom the numbers rest on; positive: {judged.words.positive}")
    ]
    if judged.facts:
        tables.append(Table(("", ""), judged.facts, "What was judged"))
    return Section(
        "judged", "What was judged", tuple(say.judged_sentences(found, judged.words)),
        tables=tuple(tables), warnings=tuple(say.judged_warnings(found, judged.words)),
    )  # fmt: skip


def _decisions(found: Evaluation, judged: Judged) -> Section:
    told = say.decision_sentences(found, judged.words, judged.points)
    rows = tuple(_point_row(found, judged, *item) for item in sorted(judged.points.items()))
    columns = ("scanner", "threshold", "target recall rate", "exams", "recalled", "found", "missed")
    tables = (Table(columns, rows, "Operating points, and what came of them by exam"),) * bool(rows)
    return Section(
        "decisions", "Decisions to recall", tuple(told),
        (plots.confusion_plot(found, judged.words),), tables,
    )  # fmt: skip


def _point_row(
    found: Evaluation, judged: Judged, scanner: str, point: OperatingPoint
) -> tuple[str, ...]:
    """Return threshold, target, exams, recalled, cancers found and missed of one scanner."""
    name = "any other scanner" if scanner == DEFAULT_SCANNER else scanner
    exams = found.units["exam"]
    names = exams["scanner"].fillna("").astype(str)
    by_default = ~names.isin(judged.points)
    rows = exams[by_default if scanner == DEFAULT_SCANNER else names == scanner]
    return name, f"{point.threshold:.3f}", f"{point.target_recall_rate:.3f}", *_decided(rows)


def _decided(rows: pd.DataFrame) -> tuple[str, ...]:
    if rows.empty:
        return ("-",) * 4
    hit, y = rows["recalled"], rows["label"]
    counts = (len(rows), int(hit.sum()), int((hit & y).sum()), int((~hit & y).sum()))
    return tuple(number(one) for one in counts)


def _subgroups(groups: Sequence[SubgroupResult]) -> Section:
    auc = Table(
        ("subgroup", "units", "patients", "positive", "AUC", "difference to the rest", "p (Holm)"),
        tuple((*_counts(one), *_compared(one, "auc")) for one in groups),
        "AUC; positive counts patients. A difference is inside minus rest, on the same resampled "
        "patients; p values are adjusted for all comparisons of the same metric",
    )
    decided = Table(
        ("subgroup", "sensitivity", "difference", "p (Holm)", "specificity", "difference",
         "p (Holm)"),
        tuple(
            (_counts(one)[0], *_compared(one, "sensitivity"), *_compared(one, "specificity"))
            for one in groups
            if {"sensitivity", "specificity"} & set(one.metrics)
        ),
        "Sensitivity and specificity at the operating points, differences to the rest in points",
    )  # fmt: skip
    return Section(
        "subgroups", "Subgroups", tuple(group_sentences(groups[1:])),
        (plots.forest_plot(groups),), (auc, decided),
    )  # fmt: skip


def _counts(one: SubgroupResult) -> tuple[str, ...]:
    name = one.name if one.attribute == "all" else f"{one.attribute}: {one.name}"
    units = f"{number(one.n_rows)}\N{NO-BREAK SPACE}{plural(one.unit)}"
    return name, units, number(one.n_patients), number(one.positive_patients)


def _compared(one: SubgroupResult, metric: str) -> tuple[str, str, str]:
    """Return the cells of a metric, its difference to the rest, and the adjusted p value."""
    found = one.metrics.get(metric)
    if found is None:
        return "-", "-", "-"
    scale, digits = (1, 3) if metric == "auc" else (100, 1)
    p = found.p_holm
    told = "-" if p is None else f"{p:.2g}" if p < 0.095 else f"{p:.2f}"
    return show_cell(metric, found.value), _signed(found.difference, scale, digits), told


def _signed(difference: Interval | None, scale: float, digits: int) -> str:
    if difference is None:
        return "-"
    bounds = (difference.value, difference.low, difference.high)
    value, low, high = (f"{scale * one:+.{digits}f}" for one in bounds)
    return f"{value} ({low} to {high})".replace(" ", "\N{NO-BREAK SPACE}")


def _metrics(found: Evaluation, words: Words) -> Section:
    levels = found.levels
    rows = tuple(
        (told.title, *(show_cell(name, one.metrics[name].interval) for one in levels.values()))
        for name, told in METRIC_NAMES.items()
    )
    tables = [Table(("metric", *levels), rows, "Every metric as the set is")]
    sentences = ["Each number with its 95% interval; patients are resampled at every level."]
    if found.prevalence is not None:
        tables.append(_corrected_table(found, words))
        sentences.append(
            f"The second table is at {words.prevalence}: each patient weighs the inverse of her "
            "chance to be in this set. What is not in it (AUC, ROC curve, sensitivity, "
            "specificity, values at fixed points) does not depend on prevalence."
        )
        sentences += say.tail_sentences(found)
    meanings = tuple((told.title, told.meaning) for told in METRIC_NAMES.values())
    tables.append(Table(("metric", "what it is"), meanings, "What the metrics are"))
    return Section("metrics", "All metrics by level", tuple(sentences), tables=tuple(tables))


def _corrected_table(found: Evaluation, words: Words) -> Table:
    corrected = [name for name, one in found.main.metrics.items() if one.corrected is not None]
    rows = tuple(
        (
            METRIC_NAMES[name].title,
            *(show_cell(name, one.metrics[name].corrected) for one in found.levels.values()),
        )
        for name in METRIC_NAMES
        if name in corrected
    )
    return Table(("metric", *found.levels), rows, f"Corrected to {words.prevalence}")


def _limits(found: Evaluation, judged: Judged) -> Section:
    told = [
        INTENDED_USE,
        "By image: the views that a breast's score pools. By breast: of its views by the rule of "
        "the release. By exam and by patient: the highest breast; recalled when one breast is.",
        "A unit is positive when one of its parts is; units without a known outcome are left out, "
        "never counted as negative.",
        "Intervals know of these patients alone: nothing here tells of another site, scanner or "
        "population than those in the tables.",
    ]
    if judged.words.phantoms:
        told.append("Phantoms have lesions that were drawn: no number here is of a patient.")
    return Section("limits", "Intended use and limits", tuple(told))
