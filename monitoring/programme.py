"""Control of a whole programme, exam by exam: CUSUMs alert, an e-detector confirms.

Channels arrive as values and become conformal normal scores z (see
`monitoring.conformal`): each exam is ranked among its stratum's reference, so that z
is N(0, 1) while nothing has changed. The same z go to the charts of a **tree of
nodes**: the stratum itself (site x scanner x software version), its scanner, its
site, the programme. So a change at one scanner is seen at that scanner, one that
is everywhere is seen where most exams are, and strata too small to tell anything
alone count in the pool.

- **CUSUMs** (Page 1954, doi:10.1093/biomet/41.1-2.100), two-sided, per node and
  channel, with a small and a larger allowance: ``S = max(0, S + z - k)``. The *alert*
  is the first exam at which one reaches its height.
- **e-detector** (Shin, Ramdas & Rinaldo 2023, arXiv:2203.03532): per node, channel,
  side and bet ``d`` the Shiryaev-Roberts sum ``R = (1 + R) * exp(d * z - d * d / 2)``;
  their mean M has E[M] <= number of exams. An alert is *confirmed* when M is as
  high as the budget asks. A node's threshold is in proportion to its share of the
  exams: every node may err equally often.
- heights and threshold are set by a block bootstrap of the reference to a budget a
  year over all nodes and channels together (`monitoring.threshold`).
- **new strata**: where a stratum itself begins with a known change (a new scanner,
  a new version), the plain product of the same bets from its first exam counts, too;
  it ever reaches ``1 / error`` with probability ``error`` (Ville).
- **scope**: a node that confirms hands the alarm to those of its strata that carry
  the change, if not all do. Strata in alarm no longer feed the nodes above them.

A missing value changes nothing in its channel. Two channels come in blocks: the
KS distance of the score's ranks and the MMD of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from monitoring.chart_reader import ChartReader
from monitoring.charts import (
    Baselines,
    Charts,
    Sizes,
    Work,
    empty_baselines,
    empty_charts,
    from_text,
    more_baselines,
    more_charts,
    to_text,
)
from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.embedding import FEATURES, mmd_null
from monitoring.rules import rules_of, sizes_of, weights_of
from monitoring.start import Start, Thresholds
from monitoring.strata import Stratum
from monitoring.tree import LEVELS, Node, nodes_of, tree_of

__all__ = ["CONFIRMED", "STATES", "Confirmation", "Node", "ProgrammeControl", "Start", "Thresholds"]

EVIDENCE = ("cusum", "sr", "start", "evidence", "state", "sums", "gathered", "ranked")
"""Charts that are zero when nothing was seen."""
EVERY = len(LEVELS) - 1
"""The last place among a stratum's nodes: it feeds all of them."""
STATES = ("in_control", "alert", "confirmed")
CONFIRMED = 2


CENTRE_ERRORS = 2.0
"""Standard errors of the reference's centre that a block's distance is allowed for."""


@dataclass(frozen=True)
class Confirmation:
    """A node confirmed at ``exam`` (row of what was taken); ``leaves`` are its strata."""

    exam: int
    node: int
    leaves: tuple[int, ...]


@dataclass
class ProgrammeControl(ChartReader):
    """The running control; strata are rows of ``base``, nodes rows of ``charts``."""

    @classmethod
    def start(
        cls,
        channels: Sequence[str],
        starts: Sequence[Start],
        thresholds: Thresholds,
        config: MonitorConfig,
        *,
        trace: bool = True,
    ) -> Self:
        """Start the control of the strata known; others join by `join`."""
        sizes = sizes_of(channels, config, trace=trace)
        room = max([config.calibration_cap, *(len(one.values) for one in starts)]) + 1
        base = empty_baselines(len(channels), FEATURES, room)
        control = cls(tuple(channels), config, thresholds, base, empty_charts(0, sizes))
        control.sizes = sizes
        control.charts.weight[:] = weights_of(channels, config)
        for one in starts:
            control._add_stratum(one)
        control._grow_tree()
        return control

    sizes: Sizes = field(init=False, repr=False)

    def join(self, start: Start) -> int:
        """Begin to watch a stratum that was not known; return its row."""
        self._add_stratum(start)
        self._grow_tree()
        return len(self.strata) - 1

    def take(
        self,
        values: Floats,
        phi: Floats | None,
        strata: np.ndarray,
        draws: Floats,
        *,
        begin: int = 0,
        once: bool = False,
    ) -> list[Confirmation]:
        """Take exams in the order in which they were scored; return what they confirmed.

        With ``once`` the first exam that confirms anything is the last one taken.

        ``values`` (n, C) with NaN where missing, ``phi`` (n, D) or None, ``strata`` (n,) rows of
        strata that joined, ``draws`` (n, C) uniforms in (0, 1) that break ties.
        """
        from monitoring.kernel import advance  # the first call compiles or loads it

        values = np.ascontiguousarray(values, np.float64)
        features = np.full((len(values), 0), np.nan) if phi is None else phi
        features = np.ascontiguousarray(features, np.float64)
        rows = np.ascontiguousarray(strata, np.int64)
        self._refuse_misfit(values, features, rows, draws)
        rules, found = (
            rules_of(self.channels, self.thresholds, self.config, follow=self.follow),
            list[Confirmation](),
        )
        work = Work.of(values.shape[1], len(rules.shifts))
        while begin < len(values) and not (once and found):
            exam, node = advance(
                values, features, rows, draws, begin, self.base, self.charts, rules, work
            )
            if node >= 0:
                found += self._settle(exam)
            begin = exam + 1
        return found

    def _refuse_misfit(self, values: Floats, phi: Floats, rows: np.ndarray, draws: Floats) -> None:
        """Raise ValueError where arrays do not fit: the machine code looks at no bounds."""
        count, known = len(values), len(self.strata)
        width = (count, len(self.channels))
        fits = values.shape == draws.shape == width and rows.shape == (count,)
        fits = fits and phi.shape in ((count, 0), (count, FEATURES))
        if not fits or (count and not 0 <= rows.min() <= rows.max() < known):
            raise ValueError(
                f"Arrays of exams do not fit: values {values.shape}, draws {draws.shape}, "
                f"embedding features {phi.shape}, strata {rows.shape}; wanted {width} of "
                f"{known} strata, and {FEATURES} features or none."
            )

    # alarms: whose they are, and how they end

    def _settle(self, exam: int) -> list[Confirmation]:
        """Give new confirmations to the nodes that carry the change."""
        fresh = [
            node
            for node in range(len(self.nodes))
            if self.charts.state[node] == 2 and node not in self.under
        ]
        fresh.sort(key=lambda node: len(self.nodes[node].leaves))
        found = list[Confirmation]()
        for node in fresh:
            if node in self.under or self.charts.state[node] != 2:
                continue  # settled with one below it
            for owner in self._owners(node):
                found.append(self._hold(owner, exam))
        return found

    def _hold(self, node: int, exam: int) -> Confirmation:
        """Keep a node in alarm: its strata feed nothing above it, which begins anew.

        It goes on itself: what follows tells more of the change, or that it is over.
        """
        leaves, place = self.nodes[node].leaves, LEVELS.index(self.nodes[node].level)
        for leaf in leaves:
            self.base.feeds[leaf] = place
        for other, one in enumerate(self.nodes):
            if other == node:
                continue
            if set(one.leaves) <= set(leaves):
                self.under[other] = node
            elif set(leaves) & set(one.leaves) and other not in self.under:
                self.restart(other)
        self.under[node] = node
        return Confirmation(exam, node, leaves)

    def _owners(self, node: int) -> list[int]:
        """Return the nodes that carry the change of ``node``: itself, or some below it."""
        owners = [one for one in self.carriers(node) if one not in self.under]
        if node in owners or not owners:
            return [node]
        for owner in owners:
            self._confirm_with(owner, node)
        self.restart(node)
        return owners

    def _confirm_with(self, owner: int, node: int) -> None:
        """Let a node below take over the alarm of ``node``."""
        charts = self.charts
        clock = int(charts.change_clock[node])
        charts.state[owner] = 2
        charts.lead[owner] = charts.lead[node]
        charts.change_clock[owner] = clock
        after = int(self.sums_since(owner, clock)[1].max(initial=0))  # the ring forgets
        charts.change_at[owner] = max(0, charts.exams[owner] - after)
        charts.confirmed_at[owner] = charts.exams[owner]
        charts.alert_at[owner] = charts.exams[owner]

    def restart(self, node: int) -> None:
        """Forget alert and evidence of a node, keep the calibration."""
        charts = self.charts
        for name in EVIDENCE:
            getattr(charts, name)[node] = 0
        charts.known_start[node] = 0
        charts.zero_exam[node] = charts.exams[node]
        charts.zero_clock[node] = charts.clock[0]
        charts.alert_at[node] = charts.change_at[node] = charts.confirmed_at[node] = 0

    def close(self, node: int, *, learn: bool) -> None:
        """End an alarm: with ``learn`` the strata's next exams become their baseline.

        Without, they meet the reference again, as after mended data.
        """
        for leaf in self.nodes[node].leaves:
            self.base.feeds[leaf] = EVERY
            self._rebase(leaf, learn=learn)
        for other in [one for one, top in self.under.items() if top == node]:
            del self.under[other]
            self.restart(other)

    def _rebase(self, leaf: int, *, learn: bool) -> None:
        start = self.starts[leaf]
        known = np.zeros((0, len(self.channels))) if learn else start.values
        self.base.least[leaf] = self.config.learn_exams if learn else 0
        self.base.tolerance[leaf] = 0.0 if learn else start.tolerance
        self.fill(leaf, known)
        # the centre is the reference's: embeddings that moved once would stay moved
        self.base.embeds[leaf] = not learn

    # the tree

    def _add_stratum(self, start: Start) -> None:
        short, width = len(start.values) + 1 - self.base.ordered.shape[2], len(self.channels)
        if short > 0:  # a new scanner is compared with all others together
            wider = np.pad(self.base.ordered, ((0, 0), (0, 0), (0, short)))
            self.base = self.base._replace(ordered=wider)
        self.base = more_baselines(
            self.base,
            ordered=np.zeros((width, self.base.ordered.shape[2])),
            size=np.zeros(width),
            rows=0,
            least=self.config.learn_exams if start.learn_first else 0,
            tolerance=start.tolerance,
            centre=start.centre,
            parents=np.full(4, -1),
            feeds=EVERY,
            taken=0,
            embeds=not start.learn_first,
        )
        self.strata.append(start.stratum)
        self.starts.append(start)
        if not start.learn_first:
            self.fill(len(self.strata) - 1, start.values)

    def fill(self, leaf: int, values: Floats) -> None:
        """Make values (n, C) the calibration of a stratum."""
        ordered = np.sort(values, axis=0)  # NaN come last
        self.base.ordered[leaf, :, : len(values)] = ordered.T
        self.base.size[leaf] = np.isfinite(values).sum(axis=0)
        self.base.rows[leaf] = len(values)

    def _grow_tree(self) -> None:
        """Add the nodes that the strata known now call for; those there keep their charts."""
        wanted = tree_of(self.strata, self.config.levels)
        self.base.parents[:] = -1
        known = {(one.stratum, one.level): at for at, one in enumerate(self.nodes)}
        for one in wanted:
            at = known.get((one.stratum, one.level))
            if at is None:
                at = len(self.nodes)
                self.nodes.append(one)
                self.charts = more_charts(self.charts, self._fresh(one))
                self.charts.zero_clock[at] = self.charts.clock[0]
            else:
                self.nodes[at] = one
            share = sum(self.starts[leaf].share for leaf in one.leaves)
            self.charts.log_share[at] = np.log(min(max(share, 1e-4), 1.0))
            self._allow(at)
            for leaf in one.leaves:
                self.base.parents[leaf, LEVELS.index(one.level)] = at
        for row in self.base.parents[self.base.parents[:, 0] < 0]:  # pooled only
            place = int(np.flatnonzero(row >= 0)[0])
            self.base.parents[self.base.parents[:, place] == row[place], 0] = row[place]
            self.base.parents[self.base.parents[:, place] == row[place], place] = -1

    def _allow(self, node: int) -> None:
        """Set a node's tolerance: the reference's own sampling error must not add up."""
        starts = [self.starts[leaf] for leaf in self.nodes[node].leaves]
        # of what a stratum began with, not has by now: a batch must not decide
        learn = self.config.learn_exams
        exams = sum(learn if one.learn_first else max(len(one.values), 1) for one in starts)
        tolerance = self.config.tolerance + self.config.reference_errors / np.sqrt(exams)
        bets = np.array(self.config.bets)
        self.charts.tolerance[node] = tolerance
        self.charts.fees[node] = np.exp(-(bets**2) / 2 - bets * tolerance)

    def _fresh(self, node: Node) -> Charts:
        charts = empty_charts(1, self.sizes)
        only = self.starts[node.leaves[0]] if len(node.leaves) == 1 else None
        charts.known_start[0] = bool(only and only.known_start and not only.learn_first)
        null = self._null(node)
        if len(null):
            charts.null[0] = null
        return charts

    def _null(self, node: Node) -> Floats:
        if "embedding" in self.config.channel_groups_off:
            return np.empty(0)
        parts = [self.starts[leaf] for leaf in node.leaves if not self.starts[leaf].learn_first]
        phi = [one.phi for one in parts if len(one.phi)]
        if not phi:
            return np.empty(0)
        patients = np.concatenate([one.patients for one in parts if len(one.phi)])
        rng, block = np.random.default_rng(self.config.seed), self.config.mmd_exams
        features = np.vstack(phi)
        null = mmd_null(features, patients, block, self.config.mmd_draws, rng)
        if not len(null):
            return null
        # the centre errs once and for every block alike: by block / n SD of a block's distance
        known = int(np.isfinite(features).all(axis=1).sum())
        return np.asarray(null + CENTRE_ERRORS * null.std() * block / known)

    # state

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able state; the strata's starts come from the release again."""
        return {
            "channels": list(self.channels),
            "heights": list(self.thresholds.heights),
            "log_budget": self.thresholds.log_budget,
            "strata": [[one.site, one.scanner, one.software_version] for one in self.strata],
            "charts": to_text(self.charts),
            "base": to_text(self.base),
            "under": {str(node): top for node, top in self.under.items()},
        }

    @classmethod
    def from_dict(
        cls, data: dict[str, Any], start_of: Callable[[Stratum], Start], config: MonitorConfig
    ) -> Self:
        """Build from `to_dict`'s data; ``start_of`` gives what a stratum began with."""
        channels = tuple(data["channels"])
        thresholds = Thresholds(tuple(data["heights"]), float(data["log_budget"]))
        starts = [start_of(Stratum(*one)) for one in data["strata"]]
        charts, base = from_text(Charts, data["charts"]), from_text(Baselines, data["base"])
        control = cls(channels, config, thresholds, base, charts)
        control.sizes = sizes_of(channels, config, trace=True)
        control.strata, control.starts = [one.stratum for one in starts], starts
        control.nodes = nodes_of(control.base.parents, control.strata, config.levels)
        control.under = {int(node): top for node, top in data["under"].items()}
        return control
