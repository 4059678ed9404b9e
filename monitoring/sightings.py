"""What a node's charts have seen since its change: the evidence that triage reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitoring.conformal import Floats
from monitoring.evidence import Evidence, Onset
from monitoring.features import BLOCKS, channel_group, robust_z
from monitoring.programme import ProgrammeControl
from monitoring.reference import KNOWN_START

FEW = 10
"""Exams of a stratum that tell whether it moved."""
TELLS = 3.0
"""Standard errors that the node's shift must be, in a stratum's exams, for it to have a say."""
GRADUAL_Z = 3.0
"""Difference of the two halves since the change, in its own errors, that is called gradual."""


def evidence_at(
    control: ProgrammeControl,
    node: int,
    codes: Sequence[str] = (),
    *,
    moved: Sequence[str] | None = None,
) -> Evidence:
    """Return what is known of a node since its change point, of the exams still kept.

    ``codes`` are those of its strata; ``moved`` names the channels that moved where
    another rule than ours decided.
    """
    config, since = control.config, int(control.charts.change_clock[node])
    raw, far = _newest(control, node, since)
    means, counts = since_change(control, node)
    names = moved_channels(control, node) if moved is None else list(moved)
    carried, watched = strata_that_moved(control, node)
    return Evidence(
        moved=by_group(names),
        shifts=_named(control.channels, means, 3),
        robust=_named(control.channels, _median(far), 2),
        exams=int(counts.max(initial=0)),
        incomplete_rate=_rate(control, raw, "missing"),
        incomplete_rate_reference=_reference_rate(control, node, "missing"),
        refused_rate=_rate(control, raw, "refused"),
        quality_rate=_rate(control, raw, "quality"),
        quality_rate_reference=_reference_rate(control, node, "quality"),
        absent_rate=absent_rate(control, node),
        scanner_new="SCANNER_NEW" in codes,
        version_new="VERSION_NEW" in codes,
        extreme_z=config.extreme_z,
        refusal_rate=config.refusal_rate,
        level=control.nodes[node].level,
        strata_moved=carried,
        strata_watched=watched,
        onset=_onset(control, node),
        codes=tuple(one for one in codes if one not in KNOWN_START),
    )


def since_change(control: ProgrammeControl, node: int) -> tuple[Floats, Floats]:
    """Return each channel's mean score since the change (NaN: none) and the exams in it, (C,)."""
    total, counts = control.sums_since(node, int(control.charts.change_clock[node]))
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan), counts


def moved_channels(control: ProgrammeControl, node: int) -> list[str]:
    """Return the channels that moved with the change, the one that led among them.

    A mean beyond the tolerance by ``support_z`` errors; the calibration's own error
    counts, or a small one would see movement everywhere. Of blocks, the CUSUM tells.
    """
    charts, config = control.charts, control.config
    means, counts = since_change(control, node)
    known = sum(int(control.base.rows[leaf]) for leaf in control.nodes[node].leaves)
    error = np.sqrt(1 / np.maximum(counts, 1) + 1 / max(known, 1))
    tolerance = charts.tolerance[node] + np.mean(
        [control.base.tolerance[leaf] for leaf in control.nodes[node].leaves], axis=0
    )
    far = (np.abs(means) - tolerance) / error >= config.support_z
    risen = (charts.cusum[node] >= np.array(control.thresholds.heights)[:, None]).any(axis=0)
    blocks = risen.reshape(2, -1).any(axis=0)[len(control.channels) :]
    names = (*control.channels, *BLOCKS)
    lead = names[int(charts.lead[node, 0])]
    return [name for name, told in zip(names, (*far, *blocks), strict=True) if told or name == lead]


def strata_that_moved(control: ProgrammeControl, node: int) -> tuple[int, int]:
    """Return how many of all strata that can tell moved like the node, and how many can tell."""
    channel, side = control.lead_of(node)
    means, _ = since_change(control, node)
    clock = int(control.charts.change_clock[node])
    sign, whole = (1 if side == 0 else -1), means[channel]
    carried = watched = 0
    for leaf in range(len(control.strata)):
        total, count = (part[channel] for part in control.sums_since(control.own(leaf), clock))
        if count < FEW or count * whole**2 < TELLS**2:
            continue
        watched += 1
        carried += bool(sign * total / count >= sign * whole / 2)
    return carried, watched


def absent_rate(control: ProgrammeControl, node: int) -> float:
    """Return how often the newest exams lack the channel lacking most that the reference has.

    Of each stratum the newest ``min_current`` exams count, for the channels that its
    own reference has; 0 where there are fewer. What a header or a set's table says may
    well be left out by the next sender: that is told (`VALUE_MISSING`) and is no fault.
    """
    spared = ("header", "population")
    of_image = np.array([channel_group(one) not in spared for one in control.channels])
    absent, asked = np.zeros(len(control.channels)), np.zeros(len(control.channels))
    newest = control.config.min_current
    for leaf in control.nodes[node].leaves:
        raw = control.newest_values(control.own(leaf))[-newest:]
        usual = of_image & (np.isfinite(control.starts[leaf].values).mean(axis=0) > 0.5)
        if len(raw) == newest:
            absent += np.isnan(raw).sum(axis=0) * usual
            asked += len(raw) * usual
    return float((absent / np.maximum(asked, 1)).max(initial=0.0))


def by_group(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return channels by what they are of."""
    groups: dict[str, tuple[str, ...]] = {}
    for name in names:
        group = channel_group(name)
        groups[group] = (*groups.get(group, ()), name)
    return groups


def _newest(control: ProgrammeControl, node: int, since: int) -> tuple[Floats, Floats]:
    """Return raw values and robust z of the node's newest exams, stratum by stratum."""
    parts = []
    for leaf in control.nodes[node].leaves:
        own = control.own(leaf)
        rows = control.kept_rows(own, since)
        rows = rows if len(rows) else control.kept_rows(own)[-1:]
        values = control.starts[leaf].values
        raw = control.charts.recent_value[own, rows]
        far = np.zeros_like(raw)
        told = np.isfinite(values).any(axis=0)
        far[:, told] = robust_z(raw[:, told], values[:, told])
        parts.append((raw, np.nan_to_num(far, posinf=1e3, neginf=-1e3)))
    raw, far = (np.vstack(part) for part in zip(*parts, strict=True))
    return raw, far


def _onset(control: ProgrammeControl, node: int) -> Onset:
    """Tell from the two halves since the change whether it came at once."""
    channel, side = control.lead_of(node)
    scores = control.since(node, int(control.charts.change_clock[node]))[:, channel]
    scores = scores[np.isfinite(scores)] * (1 if side == 0 else -1)
    if len(scores) < 4 * FEW:
        return ""
    first, second = np.array_split(scores, 2)
    grown = (second.mean() - first.mean()) / np.sqrt(1 / len(first) + 1 / len(second))
    return "gradual" if grown >= GRADUAL_Z else "abrupt"


def _median(far: Floats) -> Floats:
    return np.asarray(np.median(far, axis=0)) if len(far) else np.zeros(far.shape[1])


def _rate(control: ProgrammeControl, raw: Floats, channel: str) -> float:
    if channel not in control.channels or not len(raw):
        return 0.0
    values = raw[:, control.channels.index(channel)]
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def _reference_rate(control: ProgrammeControl, node: int, channel: str) -> float:
    values = np.vstack([control.starts[leaf].values for leaf in control.nodes[node].leaves])
    return _rate(control, values, channel)


def _named(names: Sequence[str], values: Floats, digits: int) -> dict[str, Any]:
    pairs = zip(names, values, strict=True)
    return {name: round(float(value), digits) for name, value in pairs if np.isfinite(value)}
