"""A small run from the years to the judged record: our own control beside the peers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.continual import ours
from benchmarks.continual.figures import OURS, confusion
from benchmarks.continual.simulate import Block, Judged, merge, run_blocks

SMALL = replace(ours.YEAR, streams=10, stream_exams=3000)
"""Thresholds from few short streams: too low for figures, enough to see that rules run."""


@pytest.fixture(scope="module")
def judged() -> Judged:
    scenarios = (("none",), ("none", "version_only"))
    blocks = [Block(at, at, 1, names, False, 0) for at, names in enumerate(scenarios)]
    ticks: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "YEAR", SMALL)
        merged = merge(list(run_blocks(blocks, 1, ticks.append))[::-1])
    assert ticks == [1, 1]
    return merged


@pytest.mark.slow
def test_every_rule_runs_on_every_year(judged: Judged) -> None:
    rules = {rule for rule, _ in judged}
    assert {OURS, "psi_daily", "ks_any", "evidently_policy", "psi@0.3"} <= rules
    assert {len(years) for (_, scenario), years in judged.items() if scenario == "none"} == {2}
    assert ("psi@0.3", "version_only") not in judged


@pytest.mark.slow
def test_a_daily_psi_is_wrong_on_most_days_and_ours_names_the_version(judged: Judged) -> None:
    psi, mine = judged["psi_daily", "none"], judged[OURS, "none"]
    assert min(year.false_confirmed for year in psi) > 100
    assert max(year.false_confirmed for year in mine) < 20
    events = [event for year in judged[OURS, "version_only"] for event in year.events]
    assert [event.named for event in events] == ["software_version"]
    assert all(event.alerted_days is not None for event in events)
    assert confusion(judged) == {"software_version": {"software_version": 1}}
