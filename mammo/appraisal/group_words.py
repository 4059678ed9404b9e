"""What is said of subgroups: which differences stand, and who are too few."""

from __future__ import annotations

from collections.abc import Sequence

from mammo.appraisal.metric_names import show
from mammo.evaluation.bootstrap import Interval
from mammo.evaluation.subgroups import MIN_PATIENTS, GroupMetric, SubgroupResult
from mammo.explore.sentences import listed, p_value


def group_sentences(results: Sequence[SubgroupResult]) -> list[str]:
    """Name the differences that stand after Holm's adjustment, or say that none does."""
    judged = [(one, m, one.metrics[m]) for one in results for m in one.metrics]
    tested = [item for item in judged if item[2].p_holm is not None]
    if not tested:
        return ["No subgroup has patients enough of both outcomes to be compared with the rest."]
    sure = [item for item in tested if (item[2].p_holm or 0.0) < 0.05]
    sure.sort(key=lambda item: item[2].p_holm or 0.0)
    told = [_group_sentence(one, metric) for one, metric in _without_mirrors(sure)]
    if not told:
        nearest = min(tested, key=lambda item: item[2].p_value or 0.0)
        told.append(
            "No subgroup differs from the rest after Holm's adjustment, made metric by metric over "
            f"all subgroups; nearest is {_name(nearest[0], nearest[1])}, "
            f"{p_value(nearest[2].p_value or 0.0)} before it. That is no evidence of equality: "
            "the intervals below tell how large a difference may hide."
        )
    untold = [f"{one.attribute} {one.name}" for one in results if one.note]
    if untold:
        told.append(
            f"Too few to judge the AUC ({MIN_PATIENTS} patients of each outcome needed): "
            f"{listed(untold)}."
        )
    return told


def _without_mirrors(
    sure: Sequence[tuple[SubgroupResult, str, GroupMetric]],
) -> list[tuple[SubgroupResult, str]]:
    """Leave out the second side of a cut in two: it says the same with the other sign."""
    kept: dict[tuple[str, str, float], tuple[SubgroupResult, str]] = {}
    for one, metric, found in sure:
        size = 0.0 if found.difference is None else round(abs(found.difference.value), 9)
        kept.setdefault((one.attribute, metric, size), (one, metric))
    return list(kept.values())


def _name(one: SubgroupResult, metric: str) -> str:
    return f"{metric.upper() if metric == 'auc' else metric} of {one.attribute} {one.name}"


def _group_sentence(one: SubgroupResult, metric: str) -> str:
    value = one.metrics[metric]
    assert value.difference is not None
    return (
        f"The {_name(one, metric)} is {show(metric, value.value)}, that of the rest differs by "
        f"{_points(value.difference, metric)} ({p_value(value.p_holm or 0.0)} after Holm's "
        "adjustment)."
    )


def _points(difference: Interval, metric: str) -> str:
    """Return rest minus inside: AUC as it is, rates in percentage points."""
    scale, digits, unit = (1, 3, "") if metric == "auc" else (100, 1, " points")
    bounds = (-difference.value, -difference.high, -difference.low)
    value, low, high = (f"{scale * one:+.{digits}f}" for one in bounds)
    return f"{value}{unit} ({low} to {high})"
