"""Which expectation notices which fault: evaluate broken copies of one sound table at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from data_checks.evaluate import Suite, evaluate, raised
from data_checks.index_facts import chunks_of
from data_checks.suites.index import index_suite
from mammo.data.query import query_frame

Caught = tuple[str, str]
"""The expectation in words, and its reason."""


def who_notices_rows(
    sound: pd.DataFrame, faults: Sequence[Callable[[pd.DataFrame], None]]
) -> tuple[list[list[Caught]], list[Caught]]:
    """Return by fault in the index who notices it, and what the sound index breaks."""
    frames = [_with_facts(sound)]
    for fault in faults:
        broken = sound.copy()
        fault(broken)
        frames.append(_with_facts(broken))
    return who_notices(index_suite(), frames)


def who_notices(
    suite: Suite, frames: Sequence[pd.DataFrame]
) -> tuple[list[list[Caught]], list[Caught]]:
    """Return by broken frame the expectations that notice it, and those that the sound one breaks.

    ``frames`` are the sound one and, after it, the broken ones, with their facts. They are
    evaluated together, since starting the engine costs more than evaluating.
    """
    whole = pd.concat(frames, ignore_index=True)
    owner = pd.Series(range(len(frames))).repeat([len(one) for one in frames]).to_numpy()
    results = evaluate(suite, [whole], rows_too=True).result.results
    noticed: list[list[Caught]] = [[] for _ in frames]
    for result in results:
        config = result.expectation_config
        if raised(result.exception_info):
            raise ValueError(f"{config.type} on {config.kwargs.get('column')} cannot be evaluated")
        counts = pd.Series(owner[result.result.get("unexpected_index_list") or []]).value_counts()
        if counts.empty:
            continue
        present = whole[config.kwargs["column"]].notna().groupby(owner).sum()
        allowed = (1 - (config.kwargs.get("mostly") or 1.0)) * present
        for number in counts.index[counts > allowed.reindex(counts.index)]:
            noticed[int(number)].append((config.meta["words"], config.meta["reason"]))
    return noticed[1:], noticed[0]


def _with_facts(frame: pd.DataFrame) -> pd.DataFrame:
    with query_frame(frame) as query:
        return pd.concat(list(chunks_of(query)), ignore_index=True)
