"""All strata of one release under watch: the monitor's state, resumed and saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pandas as pd

from monitoring.config import MonitorConfig
from monitoring.conformal import tie_breakers
from monitoring.episodes import Proposal, answered_before, closed_acting
from monitoring.evidence import Evidence
from monitoring.features import embeddings
from monitoring.input_codes import constant_channels, input_counts
from monitoring.programme import CONFIRMED, ProgrammeControl, Start, Thresholds
from monitoring.reference import ControlReference
from monitoring.sightings import absent_rate, evidence_at
from monitoring.strata import Stratum, group_strata
from monitoring.threshold import set_thresholds
from monitoring.watched_node import WatchedNode, view_node

Episodes = Sequence[dict[str, Any]]
SEEN_EXAMS = 512
"""Newest exams that are known again when they are sent once more."""


@dataclass
class Watch:
    """Every stratum of the release in service.

    ``codes`` tell, by stratum's name, what is special about what it is compared with;
    ``closed`` counts the closed acting episodes of a node that were answered to;
    ``fault_at`` is the confirmation of a node that was a data fault.
    """

    release_id: str
    reference: pd.DataFrame
    known: ControlReference
    control: ProgrammeControl
    config: MonitorConfig
    codes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    fault_at: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def resume(
        cls,
        release_id: str,
        reference: pd.DataFrame,
        state: dict[str, Any],
        episodes: Episodes,
        config: MonitorConfig,
    ) -> Self:
        """Go on from saved state; another release, reference or settings start anew."""
        known = ControlReference.of(reference, config)
        same = state.get("release_id") == release_id
        if same and state.get("reference") == known.digest:
            watch = cls._go_on(release_id, reference, known, state, episodes, config)
            watch.answer(episodes)
            return watch
        control = _begin(known, config, _thresholds_of(state, known))
        watch = cls(release_id, reference, known, control, config)
        if same and "reference" in state:
            watch.counts["REFERENCE_CHANGED"] = 1
        return watch

    @classmethod
    def _go_on(
        cls,
        release_id: str,
        reference: pd.DataFrame,
        known: ControlReference,
        state: dict[str, Any],
        episodes: Episodes,
        config: MonitorConfig,
    ) -> Self:
        codes = {name: tuple(given) for name, given in state["codes"].items()}

        def start_of(stratum: Stratum) -> Start:
            learnt = "BASELINE_LEARNT" in codes.get(stratum.name, ())
            return known.start(stratum, learn_first=learnt)

        control = ProgrammeControl.from_dict(state["control"], start_of, config)
        kept = {name: state[name] for name in ("closed", "fault_at", "seen")}
        return cls(release_id, reference, known, control, config, codes, **kept)

    # answers: what a closed episode changes

    def answer(self, episodes: Episodes) -> None:
        """Start over where an episode was closed: mended data meet the reference again.

        A change that was answered and stays under the same release becomes the
        strata's baseline; otherwise it would alarm again every few exams.
        """
        for node, one in enumerate(self.control.nodes):
            closed = closed_acting(episodes, self.release_id, one.stratum)
            before = self.closed.get(one.stratum.name, 0)
            if len(closed) <= before:
                continue
            self.closed[one.stratum.name] = len(closed)
            learn = any(done["cause"] != "data_fault" for done in closed[before:])
            if self.control.under.get(node, node) == node:
                self._start_over(node, learn=learn)

    def _start_over(self, node: int, *, learn: bool) -> None:
        held = node in self.control.under
        if learn and not held:
            return  # outcomes were answered: the images are as they were
        self.control.close(node, learn=learn)
        for leaf in self.control.nodes[node].leaves:
            name = self.control.strata[leaf].name
            codes = [one for one in self.codes.get(name, ()) if one != "BASELINE_LEARNT"]
            self.codes[name] = (*codes, "BASELINE_LEARNT") if learn else tuple(codes)

    # exams

    def take(self, frame: pd.DataFrame, episodes: Episodes) -> int:
        """Take exams in the order of the log; return how many were new to the watch.

        An exam that is sent again soon after is not counted twice.
        """
        fresh = self._first_time(frame["exam_id"].astype(str))
        self.counts["EXAM_REPEATED"] += int((~fresh).sum())
        frame = frame[fresh].reset_index(drop=True)
        if frame.empty:
            return 0
        place, found = group_strata(frame, self.config)
        values = self.known.channels.values(frame)
        phi = self.known.channels.phi(embeddings(frame))
        draws = tie_breakers(frame["exam_id"], self.config.seed, values.shape[1])
        self.counts.update(input_counts(values, phi, self.known))
        # a new stratum joins with its first exam: how large the batch is must not decide
        known = set(self.control.strata)
        joins = [int(np.argmax(place == at)) for at, one in enumerate(found) if one not in known]
        for begin, end in pairwise([*sorted({0, *joins}), len(place)]):
            part = slice(begin, end)
            here, which = np.unique(place[part], return_inverse=True)
            rows = self._rows([found[at] for at in here], episodes)[which]
            self.control.take(values[part], phi[part], rows, draws[part])
        return len(frame)

    def count_whole_run(self, exams: int) -> None:
        """Note what is known only when all exams of a run were taken."""
        self.counts["NO_NEW_EXAMS"] = int(exams == 0)
        self.counts["CHANNEL_CONSTANT"] = len(constant_channels(self.known))

    def _first_time(self, exam_ids: pd.Series) -> np.ndarray:
        fresh = ~exam_ids.isin(self.seen).to_numpy() & ~exam_ids.duplicated().to_numpy()
        self.seen = [*self.seen, *exam_ids[fresh]][-SEEN_EXAMS:]
        return np.asarray(fresh)

    def _rows(self, strata: Sequence[Stratum], episodes: Episodes) -> np.ndarray:
        """Return the strata's rows in the control; those that are new join it."""
        known = {one: at for at, one in enumerate(self.control.strata)}
        rows = [known[one] if one in known else self._join(one, episodes) for one in strata]
        return np.array(rows, dtype=np.int64)

    def _join(self, stratum: Stratum, episodes: Episodes) -> int:
        """Start to watch a stratum that was not seen under this release."""
        codes = self.known.baseline(stratum).codes
        answered = answered_before(episodes, self.release_id, stratum.scanner)
        learn = "SCANNER_NEW" in codes and answered
        self.codes[stratum.name] = (*codes, "BASELINE_LEARNT") if learn else codes
        return self.control.join(self.known.start(stratum, learn_first=learn))

    # what is seen

    def nodes(self) -> list[WatchedNode]:
        """Return every node that has met an exam, the programme first."""
        met = [at for at in range(len(self.control.nodes)) if self.control.has_met(at)]
        met.sort(key=lambda at: -len(self.control.nodes[at].leaves))
        return [view_node(self.control, at, self.node_codes(at)) for at in met]

    def node_codes(self, node: int) -> tuple[str, ...]:
        """Return the codes of a node that is one stratum; a pool has none of its own."""
        leaves = self.control.nodes[node].leaves
        return self.codes.get(self.control.strata[leaves[0]].name, ()) if len(leaves) == 1 else ()

    def confirmed(self) -> list[WatchedNode]:
        """Return the nodes in alarm that no other answers for."""
        return [one for one in self.nodes() if self.control.under.get(one.index) == one.index]

    def evidence(self, node: WatchedNode, *, moved: Sequence[str] | None = None) -> Evidence:
        """Return what is known of a node since its change; see `sightings.evidence_at`."""
        return evidence_at(self.control, node.index, node.codes, moved=moved)

    def absent_rate(self, node: WatchedNode) -> float:
        """Return how often the newest exams lack the channel that is lacking most, in [0, 1]."""
        return absent_rate(self.control, node.index)

    def left_reference(self) -> bool:
        """True while a node is in alarm by its embeddings."""
        return any(
            "embedding" in self.evidence(one).moved or one.starts_new for one in self.confirmed()
        )

    def end_notes(self, names: Collection[str]) -> list[str]:
        """Let what was only noted become the baseline, once enough exams have followed.

        ``names`` are nodes whose alarm is a note: it starts nothing and nobody closes it.
        For ``note_exams`` exams it is looked at again, should more move; then the node
        would be blind. Return the nodes that begin anew.
        """
        least = self.config.note_exams
        ended = [
            one
            for one in self.confirmed()
            if one.name in names and one.exams - int(one.confirmed_at or 0) >= least
        ]
        for one in ended:
            self._start_over(one.index, learn=True)
        return [one.name for one in ended]

    def without_fault_tails(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the proposals less those that only a data fault now over has left behind.

        Once the data are mended the confirmation that was a fault looks like moved
        images. Its control starts over, and a change of the images confirms anew.
        """
        by_name = {one.name: one for one in self.nodes()}
        kept = []
        for one in proposals:
            node = by_name.get(one.stratum.name)
            if node is not None and self._is_fault_tail(one, node):
                self.control.close(node.index, learn=False)
                continue
            kept.append(one)
            if node is not None and one.triage.cause == "data_fault" and node.confirmed_at:
                self.fault_at[node.name] = int(node.confirmed_at)
        return kept

    def _is_fault_tail(self, proposal: Proposal, node: WatchedNode) -> bool:
        at = self.fault_at.get(node.name)
        return proposal.triage.cause == "acquisition" and at is not None and at == node.confirmed_at

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able state for the watermark."""
        return {
            "release_id": self.release_id,
            "reference": self.known.digest,
            "channels": list(self.known.channels.names),
            "control": self.control.to_dict(),
            "codes": {name: list(given) for name, given in self.codes.items()},
            "closed": self.closed,
            "fault_at": self.fault_at,
            "seen": self.seen,
        }


def _begin(
    known: ControlReference, config: MonitorConfig, thresholds: Thresholds | None
) -> ProgrammeControl:
    """Start the control of the reference's strata, with thresholds set for them."""
    starts = [known.start(one) for one in known.strata]
    if thresholds is None:
        thresholds = set_thresholds(known.channels.names, starts, config)
    return ProgrammeControl.start(known.channels.names, starts, thresholds, config)


def _thresholds_of(state: dict[str, Any], known: ControlReference) -> Thresholds | None:
    """Return those that another release with this very reference has, as a recalibrated one."""
    saved = state.get("control", {})
    if state.get("reference") != known.digest or "heights" not in saved:
        return None
    return Thresholds(tuple(saved["heights"]), float(saved["log_budget"]))


__all__ = ["CONFIRMED", "Watch", "WatchedNode"]
