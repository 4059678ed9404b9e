"""What the charts tell: who has moved, since when, and which nodes carry a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitoring.charts import Baselines, Charts, Ints
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.start import Start, Thresholds
from monitoring.strata import Stratum
from monitoring.tree import Node

CLOSE, BESIDE, WIDER = 3.0, 8.0, 1.25
"""Nats of gain: how much worse a wider node may explain a change, what a second one needs;
and how many times the exams make a node wider."""


@dataclass
class ChartReader:
    """Strata (rows of ``base``), nodes (rows of ``charts``), and what each stratum began with.

    ``under`` tells which node in alarm answers for a node.
    """

    channels: tuple[str, ...]
    config: MonitorConfig
    thresholds: Thresholds
    base: Baselines
    charts: Charts
    strata: list[Stratum] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    under: dict[int, int] = field(default_factory=dict)
    follow: bool = False

    def own(self, leaf: int) -> int:
        """Return the node of a stratum alone (or the smallest that it has)."""
        return int(self.base.parents[leaf, 0])

    def has_met(self, node: int) -> bool:
        """True when an exam of the node's strata was taken."""
        return bool(self.base.taken[list(self.nodes[node].leaves)].any())

    def is_learning(self, node: int) -> bool:
        """True while every stratum of the node learns its own baseline."""
        leaves = list(self.nodes[node].leaves)
        return bool((self.base.rows[leaves] < self.base.least[leaves]).all())

    def lead_of(self, node: int) -> tuple[int, int]:
        """Return the scalar channel and side that led; of a block's distance, what moved most."""
        channel, side = int(self.charts.lead[node, 0]), int(self.charts.lead[node, 1])
        if channel < len(self.channels):
            return channel, side
        total, count = self.sums_since(node, int(self.charts.change_clock[node]))
        weight = np.abs(total) / np.sqrt(np.maximum(count, 1))
        channel = int(weight.argmax())
        return channel, int(total[channel] < 0)

    def sums_since(self, node: int, clock: int) -> tuple[Floats, Floats]:
        """Return each channel's sum of scores after a moment, and the exams in it, (C,) both."""
        charts = self.charts
        rows = charts.recent_exam[node] > 0
        if charts.exams[node] > rows.sum() and charts.recent_clock[node].min() > clock:
            after = charts.block_clock[node] > clock
            return charts.block_sum[node, after].sum(0), charts.block_count[node, after].sum(0)
        scores = self.since(node, clock)
        return np.nansum(scores, axis=0), np.isfinite(scores).sum(axis=0).astype(float)

    def since(self, node: int, clock: int) -> Floats:
        """Return the scores of a node's newest exams after a moment, (m, C), oldest first."""
        return np.asarray(self.charts.recent_z[node, self.kept_rows(node, clock)])

    def newest_values(self, node: int) -> Floats:
        """Return the channels of a node's newest exams, (m, C), oldest first."""
        return np.asarray(self.charts.recent_value[node, self.kept_rows(node)])

    def kept_rows(self, node: int, clock: int = -1) -> Ints:
        """Return where a node's newest exams after a moment are kept one by one, oldest first."""
        rows = np.argsort(self.charts.recent_exam[node], kind="stable")
        rows = rows[self.charts.recent_exam[node, rows] > 0]
        return np.asarray(rows[self.charts.recent_clock[node, rows] > clock])

    def carriers(self, node: int) -> list[int]:
        """Return the nodes, ``node`` or below, whose own shift explains the change best.

        The gain of a node is the log likelihood ratio of a shift of its own mean, on
        the channel that led, over none: half its exams times the mean squared. The
        highest gain carries, a larger node where it is as good to within `CLOSE`;
        what lies beside it carries too where it gains `BESIDE`. Of a block's distance, where no
        channel that counts exams moved, it is the log of its own highest sum of evidence.
        """
        mine = set(self.nodes[node].leaves)
        below = [at for at, one in enumerate(self.nodes) if set(one.leaves) <= mine]
        clock, lead = int(self.charts.change_clock[node]), int(self.charts.lead[node, 0])
        channel, side = self.lead_of(node)
        gains = {at: self._gain(at, clock, channel, side) for at in below}
        if lead != channel and max(gains.values()) < BESIDE:  # blocks alone tell
            gains = {at: float(np.log1p(self.charts.sr[at, :, lead].max())) for at in below}
        counts = {at: float(self.sums_since(at, clock)[1][channel]) for at in below}
        chosen: list[int] = []
        left = set(mine)
        while left:
            open_nodes = [at for at in below if set(self.nodes[at].leaves) <= left]
            best = max((gains[at] for at in open_nodes), default=0.0)
            if chosen and best < BESIDE:
                break
            one = self._widest(open_nodes, gains, counts, 0.0 if chosen else CLOSE)
            chosen.append(one)
            left -= set(self.nodes[one].leaves)
        return chosen

    def _widest(
        self, nodes: Sequence[int], gains: Mapping[int, float], counts: Mapping[int, float],
        slack: float,
    ) -> int:  # fmt: skip
        """Return the node of the highest gain, or one with clearly more exams that is as good."""
        best = max(nodes, key=lambda at: (gains[at], -len(self.nodes[at].leaves)))
        wider = [
            at
            for at in nodes
            if gains[at] >= gains[best] - slack and counts[at] >= WIDER * counts[best]
        ]
        return max(wider, key=lambda at: counts[at], default=best)

    def _gain(self, node: int, clock: int, channel: int, side: int) -> float:
        total, count = self.sums_since(node, clock)
        moved = total[channel] if side == 0 else -total[channel]
        return max(float(moved), 0.0) ** 2 / (2 * max(float(count[channel]), 1.0))
