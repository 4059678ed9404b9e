"""The arrays behind the control: calibrations of strata, charts of nodes, fixed rules.

S strata, K nodes, C scalar channels and two distances after them (KS of the score,
MMD of the embedding), L allowances, B bets. Sizes do not grow with exams, only with
strata; everything goes through JSON as text.
"""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from monitoring.conformal import Floats

Ints = NDArray[np.int64]
DISTANCES = 2
"""Channels after the scalar ones: the score's KS distance, the embedding's MMD."""
NODES_OF_A_STRATUM = 4
"""Its own, its scanner's, its site's, the programme's."""


class Baselines(NamedTuple):
    """What exams of each stratum are ranked among.

    ``ordered`` (S, C, M) holds the calibration values in rising order, the first
    ``size`` (S, C) of them valid; ``rows`` (S,) counts the exams in it, ``least`` (S,)
    is how many it needs before anything is tested. ``tolerance`` (S, C) in SD,
    ``centre`` (S, D) the reference's mean embedding features, ``parents`` (S, 4) the
    nodes that the stratum feeds, its own first, -1 for none; ``feeds`` (S,) is the last of
    them that it feeds now, ``taken`` (S,) counts all its exams, ``embeds`` (S,) is 0 where the
    embedding has no centre to be measured from.
    """

    ordered: Floats
    size: Ints
    rows: Ints
    least: Ints
    tolerance: Floats
    centre: Floats
    parents: Ints
    feeds: Ints
    taken: Ints
    embeds: Ints


class Charts(NamedTuple):
    """The charts of every node; arrays begin with the node's axis, K.

    W = 2 * (C + 2) lanes: all channels' up sides, then all down sides, so that the processor
    takes several at a time. ``cusum`` and the exam (of the node) and clock (of the
    programme) of its last zero are (K, L, W), ``sr`` and ``start`` (K, B, W).
    ``fees`` (K, B) are exp(-bet²/2 - bet * tolerance), with the node's own ``tolerance``
    (K,) in SD; ``weight`` (W,) is what one sum weighs in the mean over all. ``lead`` (K, 3)
    has channel, side and allowance of the alert, ``evidence`` is a part of the threshold.
    Rings hold the newest exams one by one and blocks of older ones; ``trace`` is what
    is drawn. ``peaks`` (L + 1,) are the highest levels reached by the CUSUMs and by the log
    evidence, where the rules ask for them.
    """

    cusum: Floats
    zero_exam: Floats
    zero_clock: Floats
    sr: Floats
    start: Floats
    known_start: Ints
    fees: Floats
    tolerance: Floats
    weight: Floats
    evidence: Floats
    log_share: Floats
    exams: Ints
    state: Ints
    alerts: Ints
    lead: Ints
    alert_at: Ints
    change_at: Ints
    change_clock: Ints
    confirmed_at: Ints
    recent_z: Floats
    recent_value: Floats
    recent_exam: Ints
    recent_clock: Ints
    block_sum: Floats
    block_count: Floats
    block_exam: Ints
    block_clock: Ints
    ranks: Floats
    ranked: Ints
    sums: Floats
    gathered: Ints
    null: Floats
    trace: Floats
    traced: Ints
    clock: Ints
    peaks: Floats


class Rules(NamedTuple):
    """What does not change: allowances (L,) and heights (L,) of the CUSUMs, bets (B,).

    ``log_budget`` and ``log_start`` the log thresholds of the
    evidence, ``least_log`` the lowest that a small node may have. ``score`` is the place of
    the score's channel or -1, ``cap`` the most exams a calibration learns, ``confirms``
    0 where the CUSUM decides alone, ``follow`` 1 where the highest levels are wanted.
    """

    allowances: Floats
    heights: Floats
    shifts: Floats
    log_budget: float
    log_start: float
    least_log: float
    clip: float
    cap: int
    score: int
    confirms: int
    follow: int
    block_exams: int
    mmd_exams: int


class Work(NamedTuple):
    """Room for one exam: ``z`` (C,), ``excess``, ``valid``, ``fallen`` (W,), ``ratios`` (B, W)."""

    z: Floats
    excess: Floats
    valid: Floats
    fallen: Floats
    ratios: Floats

    @classmethod
    def of(cls, channels: int, bets: int) -> Self:
        """Return room for exams of so many channels."""
        lanes = 2 * (channels + DISTANCES)
        zeros = np.zeros(lanes)
        return cls(np.zeros(channels), zeros, zeros.copy(), zeros.copy(), np.ones((bets, lanes)))


class Sizes(NamedTuple):
    """Lengths of the axes that every node shares."""

    channels: int
    allowances: int
    bets: int
    recent: int
    blocks: int
    ks_exams: int
    features: int
    draws: int
    trace: int


def empty_baselines(channels: int, features: int, room: int) -> Baselines:
    """Return baselines of no stratum; ``room`` is the most values a calibration holds."""
    return Baselines(
        np.zeros((0, channels, room)),
        np.zeros((0, channels), np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros((0, channels)),
        np.zeros((0, features)),
        np.zeros((0, NODES_OF_A_STRATUM), np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
    )


def empty_charts(nodes: int, sizes: Sizes) -> Charts:
    """Return fresh charts of ``nodes`` nodes."""
    width = sizes.channels + DISTANCES
    level, bet = (nodes, sizes.allowances, 2 * width), (nodes, sizes.bets, 2 * width)

    def ints(*shape: int) -> Ints:
        return np.zeros(shape, np.int64)

    return Charts(
        cusum=np.zeros(level),
        zero_exam=np.zeros(level),
        zero_clock=np.zeros(level),
        sr=np.zeros(bet),
        start=np.zeros(bet),
        known_start=ints(nodes),
        fees=np.ones((nodes, sizes.bets)),
        tolerance=np.zeros(nodes),
        weight=np.full(2 * width, 1 / (width * 2 * sizes.bets)),
        evidence=np.zeros(nodes),
        log_share=np.zeros(nodes),
        exams=ints(nodes),
        state=ints(nodes),
        alerts=ints(nodes),
        lead=ints(nodes, 3),
        alert_at=ints(nodes),
        change_at=ints(nodes),
        change_clock=ints(nodes),
        confirmed_at=ints(nodes),
        recent_z=np.full((nodes, sizes.recent, sizes.channels), np.nan),
        recent_value=np.full((nodes, sizes.recent, sizes.channels), np.nan),
        recent_exam=ints(nodes, sizes.recent),
        recent_clock=ints(nodes, sizes.recent),
        block_sum=np.zeros((nodes, sizes.blocks, sizes.channels)),
        block_count=np.zeros((nodes, sizes.blocks, sizes.channels)),
        block_exam=ints(nodes, sizes.blocks),
        block_clock=ints(nodes, sizes.blocks),
        ranks=np.zeros((nodes, sizes.ks_exams)),
        ranked=ints(nodes),
        sums=np.zeros((nodes, sizes.features)),
        gathered=ints(nodes),
        null=np.zeros((nodes, sizes.draws)),
        trace=np.zeros((nodes, sizes.trace, width + 2 if sizes.trace else 0)),
        traced=ints(nodes),
        clock=ints(1),
        peaks=np.full(sizes.allowances + 1, -np.inf),
    )


_OF_THE_PROGRAMME = ("clock", "peaks", "weight")


def more_charts(charts: Charts, fresh: Charts) -> Charts:
    """Return the charts with the nodes of ``fresh`` after them."""
    values = {
        name: value if name in _OF_THE_PROGRAMME else np.concatenate([value, getattr(fresh, name)])
        for name, value in charts._asdict().items()
    }
    return Charts(**values)


def lanes_of(array: Floats) -> Floats:
    """Return an array (..., n, W) of the charts by channel and side, (..., C + 2, 2, n)."""
    split = array.reshape(*array.shape[:-1], 2, -1)
    return np.asarray(np.swapaxes(split, -3, -1))


def copied(charts: Charts) -> Charts:
    """Return charts of their own arrays."""
    return charts._replace(**{name: value.copy() for name, value in charts._asdict().items()})


def more_baselines(base: Baselines, **row: Any) -> Baselines:
    """Return the baselines with one stratum after them; ``row`` has every field of it."""
    return Baselines(
        *(
            np.concatenate([value, np.asarray(row[name], value.dtype)[None]])
            for name, value in base._asdict().items()
        )
    )


Arrays = TypeVar("Arrays", Baselines, Charts)


def to_text(arrays: Arrays) -> str:
    """Return the arrays as compressed text, exact to the bit."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays._asdict())
    return base64.b85encode(stream.getvalue()).decode()


def from_text(kind: type[Arrays], text: str) -> Arrays:
    """Return what `to_text` wrote; ValueError or KeyError where it is something else."""
    try:
        with np.load(io.BytesIO(base64.b85decode(text)), allow_pickle=False) as found:
            return kind(**{name: found[name] for name in kind._fields})
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError("The saved charts are cut short.") from error
