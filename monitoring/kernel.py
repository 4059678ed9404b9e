"""The control's arithmetic, one exam at a time, as machine code (Numba).

One pass, constant memory: nothing here grows with the number of exams. Production
and the simulated years run these very functions. What they mean is said in
`monitoring.control`; the arrays they change are made in `monitoring.charts`.
"""

from __future__ import annotations

import math

import numpy as np

from monitoring.charts import Baselines, Charts, Ints, Rules, Work
from monitoring.conformal import Floats
from monitoring.machine_code import compiled, inlined, summed
from monitoring.normal import distance_p, quantile

WATCHED, ALERT, CONFIRMED = 0, 1, 2
"""States of a node."""
LARGEST = 1e280
"""Where a sum of evidence is held, far above any threshold, so that it stays finite."""
THIN = 8
"""Of a node with many exams every eighth is drawn."""


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
    work: Work,
) -> tuple[int, int]:
    """Take exams from ``begin`` on until a node confirms; return (exam, node), node -1 at the end.

    ``values`` (n, C) are channels, NaN where missing; ``phi`` (n, D) embedding features,
    ``draws`` (n, C) uniforms that break ties, ``strata`` (n,) rows of ``base``; ``work`` is
    written over. Exams up
    to and with the returned one are taken; several nodes may have confirmed with it.
    """
    far, wide = values.shape[1], charts.weight.shape[0] // 2
    for exam in range(begin, len(values)):
        stratum = strata[exam]
        charts.clock[0] += 1
        base.taken[stratum] += 1
        confirmed = -1
        if base.rows[stratum] >= base.least[stratum]:
            _rank(values[exam], draws[exam], base.ordered[stratum], base.size[stratum], work.z)
            _scores(work.z, rules.clip)
            _spread(work.z, base.tolerance[stratum], wide, rules.shifts[0], work)
            for place in range(base.parents.shape[1]):
                node = base.parents[stratum, place]
                if node < 0 or place > base.feeds[stratum]:
                    continue
                _remember(node, values[exam], work.z, charts, rules)
                ks, mmd = math.nan, math.nan
                if rules.score >= 0:
                    ks = _score_distance(node, work.z[rules.score], charts)
                if phi.shape[1] > 0 and base.embeds[stratum] > 0:
                    mmd = _embedding_distance(node, phi[exam], base.centre[stratum], charts, rules)
                _set_lane(far, ks, rules.shifts[0], work)
                _set_lane(far + 1, mmd, rules.shifts[0], work)
                over = _climb(node, work, charts, rules)
                total = _bet(node, work, charts)
                if _judge(node, over, total, charts, rules):
                    confirmed = node
        _absorb(values[exam], stratum, base, charts, rules)
        if confirmed >= 0:
            return exam, confirmed
    return len(values) - 1, -1


@compiled
def _rank(value: Floats, draw: Floats, ordered: Floats, size: Ints, z: Floats) -> None:
    """Fill each channel's place among its calibration, in (0, 1): a conformal p-value."""
    for channel in range(len(value)):
        count = size[channel]
        if not math.isfinite(value[channel]) or count == 0:
            z[channel] = math.nan
            continue
        below, ties = _place(ordered, channel, count, value[channel])
        z[channel] = (below + (1.0 - draw[channel]) * (ties + 1)) / (count + 1)


@compiled
def _place(ordered: Floats, channel: int, size: int, value: float) -> tuple[int, int]:
    """Return how many of a channel's values lie below ``value``, and how many equal it."""
    low, left = 0, size
    while left > 1:  # no branch to guess wrong: half of the time of the usual search
        half = left >> 1
        low += half if ordered[channel, low + half - 1] < value else 0
        left -= half
    low += 1 if ordered[channel, low] < value else 0
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
def _scores(z: Floats, clip: float) -> None:
    """Turn places into normal scores, bounded by ``clip``; NaN stay."""
    for channel in range(len(z)):
        if not math.isnan(z[channel]):
            z[channel] = min(max(quantile(z[channel]), -clip), clip)


@inlined
def _spread(z: Floats, tolerance: Floats, wide: int, smallest: float, work: Work) -> None:
    """Lay the scores onto the lanes: first all channels' up sides, then all down sides."""
    for channel in range(len(z)):
        known = not math.isnan(z[channel])
        for side in range(2):
            lane = channel + side * wide
            excess = (z[channel] if side == 0 else -z[channel]) - tolerance[channel]
            work.valid[lane] = 1.0 if known else 0.0
            work.excess[lane] = excess if known else 0.0
            work.ratios[0, lane] = math.exp(smallest * excess) if known else 1.0
    for bet in range(1, work.ratios.shape[0]):  # each bet is twice the one before
        for lane in range(work.ratios.shape[1]):
            work.ratios[bet, lane] = work.ratios[bet - 1, lane] * work.ratios[bet - 1, lane]


@inlined
def _set_lane(lane: int, far: float, smallest: float, work: Work) -> None:
    """Put a full block's distance on its lane; it has no side but up. NaN empties the lane."""
    known = not math.isnan(far)
    work.valid[lane] = 1.0 if known else 0.0
    work.excess[lane] = far if known else 0.0
    power = math.exp(smallest * far) if known else 1.0
    for bet in range(work.ratios.shape[0]):
        work.ratios[bet, lane] = power
        power = power * power


@inlined
def _climb(node: int, work: Work, charts: Charts, rules: Rules) -> int:
    """Page's step of every CUSUM; return how many stand at their height or above.

    Where one returns to zero the change, if there is one, lies after this exam.
    """
    valid, excess, fallen = work.valid, work.excess, work.fallen
    exam, clock = float(charts.exams[node]), float(charts.clock[0])
    over = 0
    for level in range(len(rules.allowances)):
        row = charts.cusum[node, level]
        zero_exam, zero_clock = charts.zero_exam[node, level], charts.zero_clock[node, level]
        allowed = rules.allowances[level] + charts.tolerance[node]
        for lane in range(len(row)):
            risen = row[lane] + excess[lane] - allowed
            kept = row[lane] if valid[lane] <= 0.0 else risen
            fallen[lane] = 1.0 if kept <= 0.0 and valid[lane] > 0.0 else 0.0
            row[lane] = kept if kept > 0.0 else 0.0
        for lane in range(len(row)):  # loops of few arrays each: the compiler takes lanes together
            zero_exam[lane] = exam if fallen[lane] > 0.0 else zero_exam[lane]
        for lane in range(len(row)):
            zero_clock[lane] = clock if fallen[lane] > 0.0 else zero_clock[lane]
        height = rules.heights[level]
        for lane in range(len(row)):
            over += 1 if row[lane] >= height else 0
        if rules.follow:
            for lane in range(len(row)):
                charts.peaks[level] = max(charts.peaks[level], row[lane])
    return over


@summed
def _dot(values: Floats, weights: Floats) -> float:
    total = 0.0
    for lane in range(len(values)):
        total += values[lane] * weights[lane]
    return total


@inlined
def _bet(node: int, work: Work, charts: Charts) -> float:
    """Advance every sum of evidence; return their weighted mean."""
    valid, weight, total = work.valid, charts.weight, 0.0
    for bet in range(work.ratios.shape[0]):
        row, ratios, fee = charts.sr[node, bet], work.ratios[bet], charts.fees[node, bet]
        for lane in range(len(row)):
            grown = (1.0 + row[lane]) * (ratios[lane] * fee)
            grown = grown if grown < LARGEST else LARGEST
            row[lane] = grown if valid[lane] > 0.0 else row[lane]
        total += _dot(row, weight)
    if charts.known_start[node]:
        for bet in range(work.ratios.shape[0]):
            for lane in range(charts.start.shape[2]):
                if valid[lane] > 0.0:
                    ratio = work.ratios[bet, lane] * charts.fees[node, bet]
                    charts.start[node, bet, lane] += math.log(ratio)
    return total


@inlined
def _judge(node: int, over: int, total: float, charts: Charts, rules: Rules) -> bool:
    """Weigh the node's evidence and decide; True when this exam confirms it."""
    charts.evidence[node] = _part(node, total, charts, rules)
    if rules.follow:
        reached = math.log(max(total, 1e-300)) - charts.log_share[node]
        charts.peaks[-1] = max(charts.peaks[-1], reached)
    length = charts.trace.shape[1]
    if length > 0 and (charts.exams[node] <= length or charts.exams[node] % THIN == 0):
        _draw(node, charts, rules)
    return _decide(node, over, charts, rules)


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
    highest, mass = charts.start[node, 0, 0], 0.0
    for bet in range(charts.start.shape[1]):
        for lane in range(charts.start.shape[2]):
            highest = max(highest, charts.start[node, bet, lane])
    for bet in range(charts.start.shape[1]):
        for lane in range(charts.start.shape[2]):
            mass += math.exp(charts.start[node, bet, lane] - highest) * charts.weight[lane]
    return float(highest + math.log(mass))


@inlined
def _draw(node: int, charts: Charts, rules: Rules) -> None:
    """Keep the newest levels for the picture: each channel's CUSUM, the evidence."""
    row = charts.traced[node] % charts.trace.shape[1]
    charts.traced[node] += 1
    wide = charts.cusum.shape[2] // 2
    charts.trace[node, row, 0] = charts.exams[node]
    for channel in range(wide):
        part = 0.0
        for level in range(len(rules.allowances)):
            for side in range(2):
                risen = charts.cusum[node, level, channel + side * wide] / rules.heights[level]
                part = max(part, risen)
        charts.trace[node, row, 1 + channel] = part
    charts.trace[node, row, 1 + wide] = charts.evidence[node]


@inlined
def _decide(node: int, over: int, charts: Charts, rules: Rules) -> bool:
    """Raise, drop or confirm the node's alert; True when it is confirmed by this exam."""
    if charts.state[node] == CONFIRMED:
        return False
    if charts.state[node] == ALERT:
        wide, level = charts.cusum.shape[2] // 2, charts.lead[node, 2]
        lane = charts.lead[node, 0] + charts.lead[node, 1] * wide
        if charts.cusum[node, level, lane] == 0.0:
            charts.state[node] = WATCHED  # the alert did not last
    if charts.state[node] == WATCHED:
        if over == 0:
            return False
        _alert(node, charts, rules)
    if charts.evidence[node] < 1.0 and rules.confirms:
        return False
    charts.state[node] = CONFIRMED
    charts.confirmed_at[node] = charts.exams[node]
    return True


@inlined
def _alert(node: int, charts: Charts, rules: Rules) -> None:
    """Note which CUSUM stands highest over its height, and where it last was zero."""
    wide = charts.cusum.shape[2] // 2
    lane, level, most = 0, 0, 0.0
    for one in range(len(rules.allowances)):
        for at in range(2 * wide):
            part = charts.cusum[node, one, at] / rules.heights[one]
            if part > most:
                lane, level, most = at, one, part
    side = 1 if lane >= wide else 0
    charts.lead[node, 0], charts.lead[node, 1] = lane - side * wide, side
    charts.lead[node, 2] = level
    charts.state[node] = ALERT
    charts.alerts[node] += 1
    charts.alert_at[node] = charts.exams[node]
    charts.change_at[node] = int(charts.zero_exam[node, level, lane])
    charts.change_clock[node] = int(charts.zero_clock[node, level, lane])


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
