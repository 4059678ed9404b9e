"""How a comparison's numbers become sentences; every one follows from the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mammo.appraisal.compare import Comparison, Pair
from mammo.appraisal.compare_cost import Cost
from mammo.appraisal.compare_groups import GroupDifference
from mammo.appraisal.compare_runs import MOST_RUNS
from mammo.appraisal.evaluate import plural
from mammo.appraisal.evaluate_words import FEW_POSITIVES, POSITIVES, POWER
from mammo.appraisal.scores import OUT_OF_FOLD, UNTOUCHED
from mammo.explore.sentences import count, listed, number, p_value, verb
from mammo.release import JOINED

SURE = 0.05
WORTH_SEEING = 0.03
"""A difference of AUC that would matter; how many cancers it takes to see it is told."""
PARTS_IN_WORDS = {
    UNTOUCHED: "of patients kept apart from training (calibration patients and the sealed ones)",
    "golden": "of the sealed patients",
    "holdout": "of the patients that calibrated",
    "new": "of patients that came later",
    OUT_OF_FOLD: "of the training patients, each scored by a fold's network that did not see her",
}


def selection_sentences(found: Comparison) -> list[str]:
    """Say on whom the comparison rests and who was left out."""
    chosen, main = found.selection, next(iter(found.evaluations.values())).main
    c, level = main.counts, found.level
    positive = POSITIVES.get(found.runs[0].release.target, found.runs[0].release.target)
    of = " (phantoms)" if found.phantoms else ""
    told = [
        f"Compared on the same {count(chosen.exams, 'exam')}{of} "
        f"{PARTS_IN_WORDS[chosen.part]}: {count(c['units'], level, plural(level))} of "
        f"{count(c['patients'], 'patient')}, {number(c['positive_units'])} with {positive}, in "
        f"{count(c['positive_patients'], 'patient')}."
    ]
    left = [f"{number(n)} of {name}" for name, n in chosen.unscored.items() if n]
    gone = []
    if left:
        gone.append(f"exams that not all scored by the same images ({listed(left, 8)})")
    if chosen.trained_on:
        are = verb(chosen.trained_on, "is")
        gone.append(
            f"{count(chosen.trained_on, 'exam')} that {are} of a patient one was trained on"
        )
    told.append(f"Left out: {listed(gone)}." if gone else "No exam of this part was left out.")
    return told


def warnings(found: Comparison) -> list[str]:
    """Say what a reader must know before the numbers."""
    told = []
    positive = next(iter(found.evaluations.values())).main.counts["positive_patients"]
    if positive < FEW_POSITIVES:
        told.append(
            f"only {count(positive, 'patient')} with a positive outcome: a difference of AUC "
            f"smaller than about {detectable(found)} can hardly be seen here."
        )
    if found.phantoms:
        told.append("the images are phantoms: no number here is of a patient.")
    sizes = {(r.release.preprocess.height, r.release.preprocess.width) for r in found.runs}
    versions = {run.release.data_version for run in found.runs}
    if len(versions) > 1:
        told.append(
            f"the runs were trained on {len(versions)} data versions: a difference may be the "
            "data's and not the model's."
        )
    if len(sizes) > 1:
        told.append("the runs read images of different sizes.")
    return told


def detectable(found: Comparison) -> str:
    """Return the AUC differences that are seen with power 80%, from pair to pair."""
    errors = [POWER * _error(pair) for pair in found.pairs]
    low, high = f"{min(errors):.2f}", f"{max(errors):.2f}"
    return low if low == high else f"{low} to {high} (by the pair)"


def comparison_sentences(found: Comparison) -> list[str]:
    """Say which run is best, then what every pair shows."""
    return [best_sentence(found), *(pair_sentence(pair) for pair in found.pairs)]


def pair_sentence(pair: Pair) -> str:
    """Say which of two is better by AUC and how surely, or what it would take to tell."""
    auc, holm = pair.difference("auc"), pair.p_holm["auc"]
    better, worse = (pair.b, pair.a) if auc.difference > 0 else (pair.a, pair.b)
    size, low, high = abs(auc.difference), *sorted((abs(auc.low), abs(auc.high)))
    if auc.low <= 0 <= auc.high or holm >= SURE:
        why = f"spans {auc.low:+.3f} to {auc.high:+.3f}"
        if not auc.low <= 0 <= auc.high:
            why += f" without 0, but among all pairs that is within chance ({p_value(holm)}, Holm)"
        return (
            f"{pair.a} and {pair.b} cannot be told apart: the interval of their AUC difference "
            f"({auc.difference:+.3f}) {why}. {needed_sentence(pair)}"
        )
    return (
        f"{better} is better than {worse} by {size:.3f} of AUC ({low:.3f} to {high:.3f}; "
        f"{p_value(holm)} by Holm over the pairs)."
    )


def needed_sentence(pair: Pair) -> str:
    """Say how many patients with a positive outcome would show a difference that matters."""
    needed, have = needed_positives(pair, WORTH_SEEING), pair.comparison.positive_patients
    if needed <= have:
        return (
            f"A difference of {WORTH_SEEING:.2f} would have been seen with a power of 80% or more."
        )
    return (
        f"To see a difference of {WORTH_SEEING:.2f} with power 80%, some {number(needed)} "
        f"patients with a positive outcome are needed in the same mix; here are {number(have)}."
    )


def needed_positives(pair: Pair, difference: float) -> int:
    """Return how many positive patients show a true AUC difference with power 80%.

    A test of size 5% needs 2.8 standard errors, and the error shrinks with the root of
    the patients. Two significant digits: the error is itself an estimate.
    """
    exact = pair.comparison.positive_patients * (POWER * _error(pair) / difference) ** 2
    if exact < 10:
        return max(2, math.ceil(exact))
    digits = 10 ** (math.floor(math.log10(exact)) - 1)
    return math.ceil(exact / digits) * digits


def _error(pair: Pair) -> float:
    """Return the standard error of the AUC difference (Obuchowski's)."""
    delong = pair.difference("auc").delong
    assert delong is not None
    return delong.standard_error


def best_sentence(found: Comparison) -> str:
    """Say which run has the highest AUC, and whether it is better than every other."""
    table = found.table()
    best = str(table.index[0])
    value = table.iloc[0]
    of_best = [pair for pair in found.pairs if best in (pair.a, pair.b)]
    beaten = [
        pair.a if pair.b == best else pair.b
        for pair in of_best
        if pair.p_holm["auc"] < SURE
        and not pair.difference("auc").low <= 0 <= pair.difference("auc").high
    ]
    told = (
        f"{best} has the highest AUC, {value['auc']:.3f} ({value['auc_low']:.3f} to "
        f"{value['auc_high']:.3f})"
    )
    if not beaten:
        return f"{told}; it is not shown to be better than any other by it."
    rest = len(of_best) - len(beaten)
    others = f"; from {count(rest, 'other')} it cannot be told apart" if rest else ""
    return f"{told}, and is better than {listed(beaten)}{others}."


def cost_sentences(costs: list[Cost]) -> list[str]:
    """Say which model is quickest and smallest."""
    quick = min(costs, key=lambda one: one.milliseconds)
    slow = max(costs, key=lambda one: one.milliseconds)
    small = min(costs, key=lambda one: one.graph_mb)
    ratio = slow.milliseconds / quick.milliseconds
    return [
        f"{quick.run} is the quickest: a view takes {slow.run} {ratio:.1f} times as long."
        if ratio > 1.1
        else "A view takes about as long in all of them.",
        f"{small.run} has the smallest graph, {small.graph_mb:.2f} MB "
        f"({small.parameters / 1e6:.2f} million parameters).",
        *_training_sentences(costs),
    ]


def _training_sentences(costs: list[Cost]) -> list[str]:
    """Say whose training was cheapest, where it can be compared."""
    kept = [(one.run, one.training) for one in costs if one.training is not None]
    told = []
    whole = [(run, spent.processor_s) for run, spent in kept if not spent.resumed]
    children = [one.run for one in costs if one.kind == JOINED]
    if children:
        told.append(
            f"Trainings cannot be compared: what {listed(children)} spent is that of the join, "
            "and neither the classifier's nor the detector's own training."
        )
    elif len(whole) == len(costs):
        (least, low), (most, high) = (pick(whole, key=lambda one: one[1]) for pick in (min, max))
        told.append(
            f"Training {least} took {low:,.0f} s of processor time, {most} {high / low:.1f} times "
            "as much."
        )
    else:
        told.append("Trainings cannot be compared: not every run kept all of what it spent.")
    if not any(spent.energy_j is not None for _, spent in kept):
        told.append("No run's energy is known: its machine has no counter that could be read.")
    return told


def settings_sentences(found: Comparison, differing: int) -> list[str]:
    """Say in how many settings the configurations differ, and whose is not kept."""
    lost = [found.letter(run.name) for run in found.runs if run.config is None]
    known = len(found.runs) - len(lost)
    same = f"differ in {count(differing, 'setting')}; all other settings are the same."
    said = same if differing else "are the same."
    if not lost:
        return [f"The configurations {said}"]
    whose = f"The configuration{'s' * (len(lost) > 1)} of {listed(lost, MOST_RUNS)}"
    which = "" if known < 2 else "its " if len(lost) == 1 else "their "
    told = f"{whose} {verb(len(lost), 'is')} not kept: {which}settings cannot be compared."
    return [told] if known < 2 else [told, f"The others {said}"]


def group_sentences(groups: Sequence[GroupDifference]) -> list[str]:
    """Say in how many subgroups runs differ, and where most surely."""
    judged = [one for one in groups if one.p_holm is not None]
    sure = [one for one in judged if one.p_holm is not None and one.p_holm < SURE]
    of = count(len(judged), "subgroup")
    if not judged:
        return ["No subgroup has enough patients of both outcomes to compare runs in it."]
    if not sure:
        return [f"In none of {of} does a difference between runs stand after adjustment."]
    surest = min(sure, key=lambda one: one.p_holm or 0.0)
    return [f"A difference stands after adjustment in {len(sure)} of {of}.", surest.sentence]
