"""The control's arithmetic, one exam at a time, as machine code (Numba).

One pass, constant memory: nothing here grows with the number of exams. Production
and the simulated years run these very functions. What they mean is said in
`monitoring.control`; the arrays they change are made in `monitoring.charts`.
"""

from __future__ import annotations

import math

import numpy as np

from monitoring.charts import Baselines, Charts, Ints, Rules
from monitoring.conformal import Floats
from monitoring.machine_code import compiled, inlined
from monitoring.normal import distance_p, quantile

WATCHED, ALERT, CONFIRMED = 0, 1, 2
"""States of a node."""
LARGEST = 1e280
"""Where a sum of evidence is held, far above any threshold, so that it stays finite."""


@compiled
def advance(
    values: Floats,
    phi: Floats,
    strata: np.ndarray,
    draws: Floats,
    begin: int,
    base: Baselines,
    charts: Charts,
    rules: Rules,
    z: Floats,
    ratios: Floats,
) -> tuple[int, int]:
    """Take exams from ``begin`` on until a node confirms; return (exam, node), node -1 at the end.

    ``values`` (n, C) are channels, NaN where missing; ``phi`` (n, D) embedding features,
    ``draws`` (n, C) uniforms that break ties, ``strata`` (n,) rows of ``base``. Exams up
    to and with the returned one are taken; several nodes may have confirmed with it.
    """
    far = values.shape[1]
    for exam in range(begin, len(values)):
        stratum = strata[exam]
        charts.clock[0] += 1
        base.taken[stratum] += 1
        confirmed = -1
        if base.rows[stratum] >= base.least[stratum]:
            tolerance = base.tolerance[stratum]
            ordered, size = base.ordered[stratum], base.size[stratum]
            _score(values[exam], draws[exam], ordered, size, rules.clip, z)
            _weigh(z[:far], tolerance, rules.shifts[0], ratios)
            for place in range(base.parents.shape[1]):
                node = base.parents[stratum, place]
                if node < 0 or (place > 0 and base.feeds[stratum] == 0):
                    continue
                _remember(node, values[exam], z, charts, rules)
                z[far], z[far + 1] = math.nan, math.nan
                if rules.score >= 0:
                    z[far] = _score_distance(node, z[rules.score], charts)
                if phi.shape[1] > 0 and base.embeds[stratum] > 0:
                    z[far + 1] = _embedding_distance(
                        node, phi[exam], base.centre[stratum], charts, rules
                    )
                _weigh(z[far:], charts.nothing, rules.shifts[0], ratios[far:])
                highest = _update(node, z, ratios, far, tolerance, charts, rules)
                if _judge(node, highest, charts, rules):
                    confirmed = node
        _absorb(values[exam], stratum, base, charts, rules)
        if confirmed >= 0:
            return exam, confirmed
    return len(values) - 1, -1


@compiled
def _score(
    value: Floats, draw: Floats, ordered: Floats, size: Ints, clip: float, z: Floats
) -> None:
    """Rank each channel among its calibration: conformal p-values as normal scores."""
    for channel in range(len(value)):
        if not math.isfinite(value[channel]) or size[channel] == 0:
            z[channel] = math.nan
            continue
        below, ties = _place(ordered, channel, size[channel], value[channel])
        rank = (below + (1.0 - draw[channel]) * (ties + 1)) / (size[channel] + 1)
        z[channel] = min(max(quantile(rank), -clip), clip)


@compiled
def _place(ordered: Floats, channel: int, size: int, value: float) -> tuple[int, int]:
    """Return how many of a channel's values lie below ``value``, and how many equal it."""
    low, high = 0, size
    while low < high:
        middle = (low + high) >> 1
        if ordered[channel, middle] < value:
            low = middle + 1
        else:
            high = middle
    if low == size or ordered[channel, low] != value:
        return low, 0
    first, high = low, size
    while low < high:
        middle = (low + high) >> 1
        if ordered[channel, middle] <= value:
            low = middle + 1
        else:
            high = middle
    return first, low - first


@compiled
def _weigh(z: Floats, tolerance: Floats, smallest: float, ratios: Floats) -> None:
    """Fill what every bet wins on this exam before the node's fee, (C, 2, B).

    Each bet is twice the one before, its factor the square.
    """
    for channel in range(len(z)):
        if math.isnan(z[channel]):
            continue
        for side in range(2):
            excess = (z[channel] if side == 0 else -z[channel]) - tolerance[channel]
            power = math.exp(smallest * excess)
            for bet in range(ratios.shape[2]):
                ratios[channel, side, bet] = power
                power = power * power


@inlined
def _update(
    node: int, z: Floats, ratios: Floats, far: int, tolerance: Floats, charts: Charts, rules: Rules
) -> float:
    """Let one exam into the charts of a node; return the highest CUSUM as part of its height.

    ``z`` (C + 2,) and ``ratios`` (C + 2, 2, B) hold the blocks' distances at the end, NaN
    unless a block is full; a distance has no side but ``far``. Arrays are taken out of
    ``charts`` once: handing the whole on for every channel would cost more than the sums.
    """
    cusum, sr = charts.cusum[node], charts.sr[node]
    fees, mass = charts.fees[node], charts.mass[node]
    zero_exam, zero_clock = charts.zero_exam[node], charts.zero_clock[node]
    exam, clock = charts.exams[node], charts.clock[0]
    start, weight, peaks = charts.start[node], charts.weight, charts.peaks
    allowances, heights, highest = rules.allowances, rules.heights, 0.0
    for channel in range(len(z)):
        if math.isnan(z[channel]):
            continue
        sides = 2 if channel < far else 1
        allowed = charts.tolerance[node] + (tolerance[channel] if channel < far else 0.0)
        total = 0.0
        for side in range(sides):
            excess = (z[channel] if side == 0 else -z[channel]) - allowed
            for level in range(len(allowances)):
                risen = cusum[channel, side, level] + excess - allowances[level]
                if risen <= 0.0:
                    risen = 0.0  # the change, if there is one, lies after this exam
                    zero_exam[channel, side, level] = exam
                    zero_clock[channel, side, level] = clock
                cusum[channel, side, level] = risen
                peaks[level] = max(peaks[level], risen)
                if risen > highest * heights[level]:
                    highest = risen / heights[level]
                    charts.highest[node, 0], charts.highest[node, 1] = channel, side
            for bet in range(sr.shape[2]):
                ratio = ratios[channel, side, bet] * fees[bet]
                grown = min((1.0 + sr[channel, side, bet]) * ratio, LARGEST)
                sr[channel, side, bet] = grown
                total += grown
                if charts.known_start[node]:
                    start[channel, side, bet] += math.log(ratio)
        mass[channel] = total * weight[channel]
    return float(highest)


@inlined
def _judge(node: int, highest: float, charts: Charts, rules: Rules) -> bool:
    """Weigh the node's evidence and decide; True when this exam confirms it."""
    total = 0.0
    for channel in range(charts.mass.shape[1]):
        total += charts.mass[node, channel]
    charts.evidence[node] = _part(node, total, charts, rules)
    reached = math.log(max(total, 1e-300)) - charts.log_share[node]
    charts.peaks[-1] = max(charts.peaks[-1], reached)
    if charts.trace.shape[1] > 0:
        _draw(node, charts, rules)
    return _decide(node, highest, charts, rules)


@inlined
def _part(node: int, total: float, charts: Charts, rules: Rules) -> float:
    """Return the node's evidence as a part of its threshold: 1 confirms."""
    part = math.log(max(total, 1e-300)) / max(
        rules.log_budget + charts.log_share[node], rules.least_log
    )
    if charts.known_start[node]:
        part = max(part, _from_start(node, charts) / rules.log_start)
    return float(max(part, 0.0))


@inlined
def _from_start(node: int, charts: Charts) -> float:
    """Return the log of the mean product since the node's first exam."""
    highest, mass = charts.start[node, 0, 0, 0], 0.0
    scalar = charts.start.shape[1] - charts.nothing.shape[0]
    for value in charts.start[node].flat:
        highest = max(highest, value)
    for channel in range(charts.start.shape[1]):
        part = 0.0
        for side in range(2 if channel < scalar else 1):  # a distance has one
            for bet in range(charts.start.shape[3]):
                part += math.exp(charts.start[node, channel, side, bet] - highest)
        mass += part * charts.weight[channel]
    return float(highest + math.log(mass))


@inlined
def _draw(node: int, charts: Charts, rules: Rules) -> None:
    """Keep the newest levels for the picture: each channel's CUSUM, the evidence."""
    row = charts.exams[node] % charts.trace.shape[1]
    channels = charts.cusum.shape[1]
    charts.trace[node, row, 0] = charts.exams[node]
    for channel in range(channels):
        part = 0.0
        for side in range(2):
            for level in range(len(rules.allowances)):
                risen = charts.cusum[node, channel, side, level] / rules.heights[level]
                part = max(part, risen)
        charts.trace[node, row, 1 + channel] = part
    charts.trace[node, row, 1 + channels] = charts.evidence[node]


@inlined
def _decide(node: int, highest: float, charts: Charts, rules: Rules) -> bool:
    """Raise, drop or confirm the node's alert; True when it is confirmed by this exam."""
    if charts.state[node] == CONFIRMED:
        return False
    if charts.state[node] == ALERT:
        lead = charts.lead[node]
        channel, side, level = lead[0], lead[1], lead[2]
        if charts.cusum[node, channel, side, level] == 0.0:
            charts.state[node] = WATCHED  # the alert did not last
    if charts.state[node] == WATCHED:
        if highest < 1.0:
            return False
        _alert(node, charts, rules)
    if charts.evidence[node] < 1.0 and rules.confirms:
        return False
    charts.state[node] = CONFIRMED
    charts.confirmed_at[node] = charts.exams[node]
    return True


@inlined
def _alert(node: int, charts: Charts, rules: Rules) -> None:
    channel, side = charts.highest[node, 0], charts.highest[node, 1]
    level, most = 0, 0.0
    for one in range(len(rules.allowances)):
        part = charts.cusum[node, channel, side, one] / rules.heights[one]
        if part > most:
            level, most = one, part
    charts.lead[node, 0], charts.lead[node, 1], charts.lead[node, 2] = channel, side, level
    charts.state[node] = ALERT
    charts.alerts[node] += 1
    charts.alert_at[node] = charts.exams[node]
    charts.change_at[node] = charts.zero_exam[node, channel, side, level]
    charts.change_clock[node] = charts.zero_clock[node, channel, side, level]


@inlined
def _remember(node: int, value: Floats, z: Floats, charts: Charts, rules: Rules) -> None:
    """Count the exam; keep the newest one by one, older ones as sums of blocks."""
    charts.exams[node] += 1
    exam = charts.exams[node] - 1
    row = exam % charts.recent_z.shape[1]
    charts.recent_clock[node, row] = charts.clock[0]
    charts.recent_exam[node, row] = exam + 1
    block = (exam // rules.block_exams) % charts.block_sum.shape[1]
    if exam % rules.block_exams == 0:
        charts.block_clock[node, block] = charts.clock[0]
        charts.block_exam[node, block] = exam + 1
        for channel in range(len(value)):
            charts.block_sum[node, block, channel] = 0.0
            charts.block_count[node, block, channel] = 0.0
    for channel in range(len(value)):
        charts.recent_z[node, row, channel] = z[channel]
        charts.recent_value[node, row, channel] = value[channel]
        if not math.isnan(z[channel]):
            charts.block_sum[node, block, channel] += z[channel]
            charts.block_count[node, block, channel] += 1


@inlined
def _score_distance(node: int, z: float, charts: Charts) -> float:
    """Return the normal score of the KS distance of a full block of ranks, else NaN.

    Ranks among exchangeable exams are uniform: the two-sample test is a one-sample one.
    """
    if math.isnan(z):
        return math.nan
    size = charts.ranks.shape[1]
    ordered, place = charts.ranks[node], charts.ranked[node]
    rank = 0.5 * math.erfc(-z / math.sqrt(2.0))
    while place > 0 and ordered[place - 1] > rank:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = rank
    charts.ranked[node] += 1
    if charts.ranked[node] < size:
        return math.nan
    charts.ranked[node] = 0
    distance = 0.0
    for one in range(size):
        distance = max(distance, (one + 1) / size - ordered[one], ordered[one] - one / size)
    return min(-quantile(min(max(distance_p(distance, size), 1e-9), 1 - 1e-9)), 4.0)


@inlined
def _embedding_distance(
    node: int, phi: Floats, centre: Floats, charts: Charts, rules: Rules
) -> float:
    """Return the normal score of the MMD of a full block among its permutations, else NaN."""
    null = charts.null[node]
    if len(null) == 0 or null[-1] <= 0.0 or math.isnan(phi[0]):
        return math.nan
    charts.gathered[node] += 1
    for axis in range(len(phi)):
        charts.sums[node, axis] += phi[axis] - centre[axis]
    if charts.gathered[node] < rules.mmd_exams:
        return math.nan
    distance = 0.0
    for axis in range(len(phi)):
        distance += (charts.sums[node, axis] / rules.mmd_exams) ** 2
        charts.sums[node, axis] = 0.0
    charts.gathered[node] = 0
    below = 0
    for one in null:
        if one < distance:
            below += 1
    above = len(null) - below
    return -quantile((above + 0.5) / (len(null) + 1.0))


@inlined
def _absorb(value: Floats, stratum: int, base: Baselines, charts: Charts, rules: Rules) -> None:
    """Let the exam join its calibration, unless that is full or its stratum is in alert."""
    if base.rows[stratum] >= rules.cap:
        return
    if base.rows[stratum] >= base.least[stratum] and charts.state[base.parents[stratum, 0]] > 0:
        return
    base.rows[stratum] += 1
    for channel in range(len(value)):
        if not math.isfinite(value[channel]):
            continue
        size = base.size[stratum, channel]
        known = base.ordered[stratum, channel]
        at = size
        while at > 0 and known[at - 1] > value[channel]:
            known[at] = known[at - 1]
            at -= 1
        known[at] = value[channel]
        base.size[stratum, channel] = size + 1
