"""A node of the programme as reports, pictures and metrics see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.conformal import Floats
from monitoring.features import BLOCKS
from monitoring.programme import STATES, ProgrammeControl
from monitoring.reference import KNOWN_START
from monitoring.strata import Stratum


@dataclass(frozen=True)
class WatchedNode:
    """One node: a version, a scanner, a site, or the programme.

    ``alert_at``, ``change_at`` and ``confirmed_at`` count the node's exams: exam i is its
    i-th, the change lies after ``change_at``. ``cusum`` is the highest CUSUM as a part of its
    height (1 alerts), ``evidence`` the e-detector's as a part of its threshold (1
    confirms). ``trace`` (m, 2 + C) has the exam's number, each channel's CUSUM part and
    the evidence of the newest exams.
    """

    index: int
    stratum: Stratum
    level: str
    codes: tuple[str, ...]
    state: str
    exams: int
    reference_exams: int
    channels: tuple[str, ...]
    lead: str | None
    highest: str
    cusum: float
    evidence: float
    alert_at: int | None
    change_at: int | None
    confirmed_at: int | None
    trace: Floats
    answered_by: str | None = None

    @property
    def name(self) -> str:
        """What people read."""
        return self.stratum.name

    @property
    def slug(self) -> str:
        """What keys and file names hold."""
        return self.stratum.slug

    @property
    def starts_new(self) -> bool:
        """True when the stratum itself began with the change: count from its first exam."""
        return bool(KNOWN_START & set(self.codes))

    @property
    def exams_to_alarm(self) -> int | None:
        """Exams from the change (or the stratum's first exam) to the confirmation."""
        if self.confirmed_at is None:
            return None
        return self.confirmed_at - (0 if self.starts_new else int(self.change_at or 0))

    @property
    def parts(self) -> dict[str, float]:
        """Return each channel's highest CUSUM as a part of its height, after the newest exam."""
        if not len(self.trace):
            return {}
        newest = np.round(self.trace[-1, 1:-1], 3).tolist()
        return dict(zip(self.channels, newest, strict=True))

    def summary(self) -> dict[str, Any]:
        """Return the node's line in the report."""
        return {
            "level": self.level,
            "scanner": self.stratum.scanner,
            "site": self.stratum.site,
            "software_version": self.stratum.software_version,
            "exams": self.exams,
            "state": self.state,
            "codes": list(self.codes),
            "reference_exams": self.reference_exams,
            "cusum": round(self.cusum, 3),
            "channel": self.highest,
            "parts": self.parts,
            "threshold": 1.0,
            "evidence": round(self.evidence, 3),
            "alert_at": self.alert_at,
            "confirmed_at": self.confirmed_at,
            "change_at": self.change_at,
            "exams_to_alarm": self.exams_to_alarm,
            "answered_by": self.answered_by,
        }


def view_node(control: ProgrammeControl, node: int, codes: tuple[str, ...]) -> WatchedNode:
    """Return the node as it stands."""
    charts, one = control.charts, control.nodes[node]
    names = (*control.channels, *BLOCKS)
    parts = (charts.cusum[node] / np.array(control.thresholds.heights)[:, None]).max(axis=0)
    parts = parts.reshape(2, -1).max(axis=0)
    state = STATES[int(charts.state[node])]
    alarmed = charts.state[node] > 0
    starts = [control.starts[leaf] for leaf in one.leaves]
    top = control.under.get(node)
    learning = not alarmed and control.is_learning(node)
    leaves = list(one.leaves)
    return WatchedNode(
        index=node,
        stratum=one.stratum,
        level=one.level,
        codes=codes,
        state="learning" if learning else state,
        exams=int(control.base.taken[leaves].sum() if learning else charts.exams[node]),
        reference_exams=sum(len(start.values) for start in starts),
        channels=names,
        lead=names[int(charts.lead[node, 0])] if alarmed else None,
        highest=names[int(parts.argmax())],
        cusum=float(parts.max()),
        evidence=float(charts.evidence[node]),
        alert_at=int(charts.alert_at[node]) if alarmed else None,
        change_at=int(charts.change_at[node]) if alarmed else None,
        confirmed_at=int(charts.confirmed_at[node]) if state == "confirmed" else None,
        trace=_trace(control, node),
        answered_by=None if top is None or top == node else control.nodes[top].stratum.name,
    )


def _trace(control: ProgrammeControl, node: int) -> Floats:
    rows = control.charts.trace[node]
    rows = rows[rows[:, 0] > 0]
    return np.asarray(rows[np.argsort(rows[:, 0], kind="stable")])
