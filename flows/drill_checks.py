"""What a drill claims and has to show: one line each, with the number that was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.drill_scenarios import Scenario
from mammo.continual.phases import summarise_phase
from mammo.continual.recovery import Recovery

ROLLBACK_SECONDS = 60.0
"""From the first exam that a faulty release answers to the release before it in service."""
RELATIVE_RECALL = 0.10
SHARE_RECOVERED = 0.8
LOSS_ALLOWED = 0.01
Z95 = 1.96


@dataclass(frozen=True)
class Claim:
    """Something that a drill has to show; ``text`` is what was seen."""

    name: str
    holds: bool
    text: str


def is_named(scenario: Scenario, opened: Sequence[Mapping[str, Any]]) -> Claim:
    """Every planted cause was named, with its action; nothing else acts; or all was quiet."""
    seen = ", ".join(f"{one['cause']}: {one['action']}" for one in opened) or "nothing"
    if not scenario.causes:
        return Claim("quiet", not opened, f"{seen} was named")
    found = {one["cause"] for one in opened if scenario.wants(one["cause"], one["action"])}
    missing = [" or ".join(any_of) for any_of in scenario.causes if not found & set(any_of)]
    odd = [one["cause"] for one in opened if one["action"] != "note" and one["cause"] not in found]
    told = [f"not named: {', '.join(missing)}"] if missing else []
    told += [f"named beside it, and acts: {', '.join(odd)}"] if odd else []
    return Claim("named", not told, "; ".join([seen, *told]))


def has_pages(
    evidence: Sequence[str], evidently: Sequence[str], *, by_inputs: bool = True
) -> Claim:
    """Each page that shows why is on disk, ours and Evidently's.

    Where outcomes told, or a header at its first exam, no input need have moved, and
    Evidently is not asked.
    """
    text = f"{len(evidence)} of evidence, {len(evidently)} of Evidently"
    return Claim("pages", bool(evidence) and (not by_inputs or bool(evidently)), text)


def acted_once(
    episodes: Sequence[Mapping[str, Any]], runs: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Claim:
    """Each episode that acts was taken on by one run, however often it was told of.

    ``runs`` are, by episode key, the flow runs that were asked to act: ``id`` and
    ``skipped``, True for one that found the episode taken.
    """
    wrong = []
    for one in episodes:
        acted = [run for run in runs.get(one["key"], ()) if not run["skipped"]]
        if len(acted) != 1 or str(acted[0]["id"]) != str(one["flow_run_id"]):
            wrong.append(f"{one['key']}: {len(acted)} runs acted")
    asked = sum(len(runs.get(one["key"], ())) for one in episodes)
    text = f"{len(episodes)} episodes, {asked} runs asked, one acted on each"
    return Claim("one action", bool(episodes) and not wrong, "; ".join(wrong) or text)


def recalls_on_target(
    name: str, exams: Sequence[Mapping[str, Any]], target: float, set_from: int
) -> Claim:
    """The recall rate of answered exams is on target; as `is_on_target`."""
    rate = summarise_phase(exams)["recall"]
    if rate is None:
        return Claim(name, False, "no exam was answered")
    return is_on_target(name, rate, target, set_from)


def is_on_target(name: str, rate: Mapping[str, float], target: float, set_from: int) -> Claim:
    """The rate is within 10 % of its target, or an interval of 95 % holds the target.

    The interval is that of the exams counted and of the ``set_from`` exams that the point was
    set from: a threshold laid by 30 exams is off by 0.09 (standard error) before one is counted.
    """
    near = abs(rate["value"] - target) <= RELATIVE_RECALL * target
    chance = math.sqrt(target * (1 - target) / max(set_from, 1))
    low, high = (
        rate["value"] + side * math.hypot(rate["value"] - rate[end], Z95 * chance)
        for side, end in ((-1, "low"), (1, "high"))
    )
    text = f"{_interval(rate)}, target {target:.2f}; {low:.2f} to {high:.2f} with the "
    text += f"{set_from} exams that set the point"
    return Claim(name, near or low <= target <= high, text)


def has_recovered(found: Recovery) -> list[Claim]:
    """At least 80 % of the AUC lost is back and no more than 0.01 lost elsewhere.

    A claim fails where the whole 95 % interval denies it; the text gives the figures, and
    says where the value itself misses the aim.
    """
    facts = found.to_dict()
    moved = f"AUC {_interval(facts['known'])}, {_interval(facts['lost'])} on the new scanner, "
    moved += f"{_interval(facts['won'])} after"
    share, change = facts["share"], facts["old_change"]
    if share is None:
        back = Claim("recovered", True, f"nothing was lost: {moved}")
    else:
        missed = _missed(share["value"] < SHARE_RECOVERED)
        text = f"{_interval(share)} of what was lost{missed}: {moved}"
        back = Claim("recovered", share["high"] >= SHARE_RECOVERED, text)
    missed = _missed(change["value"] < -LOSS_ALLOWED)
    kept = Claim("old scanners", change["high"] >= -LOSS_ALLOWED, f"{_interval(change)}{missed}")
    return [back, kept]


def _missed(below: bool) -> str:
    return " (the value misses the aim, the interval does not)" if below else ""


def all_answered(sent: int, failed: int) -> Claim:
    """No request failed."""
    return Claim("requests", failed == 0, f"{sent} sent, {failed} failed")


def came_back(seconds: float | None, release: str | None, wanted: str) -> Claim:
    """The release before is in service again, within `ROLLBACK_SECONDS`."""
    if seconds is None or release != wanted:
        return Claim("rollback", False, f"{release} is in service, not {wanted}")
    text = f"{wanted} again after {seconds:.1f} s"
    return Claim("rollback", seconds <= ROLLBACK_SECONDS, text)


def _interval(value: Mapping[str, float]) -> str:
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
