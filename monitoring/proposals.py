"""From alarms to proposed episodes, by the policy that decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.config import MonitorConfig
from monitoring.drift import Verdict, compare
from monitoring.episodes import Proposal
from monitoring.performance import Performance
from monitoring.strata import Stratum, strata_of
from monitoring.triage import Evidence, Triage, decide
from monitoring.watch import Watch, WatchedStratum

PROGRAMME = Stratum("", "", "")
"""All exams together: what outcomes speak of."""


def compare_strata(recent: pd.DataFrame, watch: Watch, directory: Path) -> dict[str, Verdict]:
    """Let Evidently compare the programme, strata in alarm, and every stratum if it decides."""
    config = watch.config
    alarm = any(one.control.confirmed_at is not None for one in watch.strata.values())
    wanted = config.evidently_on == "always" or (alarm and config.evidently_on == "alarm")
    if not wanted and config.policy != "evidently":
        note = f"Evidently's report is not made in this run (evidently_on: {config.evidently_on})."
        return {PROGRAMME.name: Verdict(note=note)}
    names = list(watch.channels.names)
    current = pd.DataFrame(watch.channels.values(recent), columns=names)
    stratum = pd.Series([one.name for one in strata_of(recent, config)], dtype=object)
    everything = pd.DataFrame(watch.values, columns=names)
    verdicts = {PROGRAMME.name: compare(current, everything, config, directory)}
    for name, one in watch.strata.items():
        if one.control.confirmed_at is None and config.policy != "evidently":
            continue
        reference = pd.DataFrame(one.baseline.values, columns=names)
        page = f"evidently-{one.stratum.slug}"
        verdicts[name] = compare(current[stratum == name], reference, config, directory, page)
    return verdicts


def propose(
    watch: Watch, performance: Performance, verdicts: Mapping[str, Verdict], url: str
) -> list[Proposal]:
    """Return the episodes that should be open; those that are will not open again."""
    proposals = []
    for name, one in watch.strata.items():
        for evidence, exams in _alarms(one, verdicts.get(name), watch.config):
            triage = decide(evidence)
            if triage is not None:
                record = _record(one, evidence, verdicts.get(name), watch.config)
                proposals.append(
                    Proposal(watch.release_id, one.stratum, triage, exams, record, url)
                )
    if performance.loss:
        proposals.append(_concept(watch, performance, verdicts, url))
    return proposals


def _alarms(
    one: WatchedStratum, verdict: Verdict | None, config: MonitorConfig
) -> Iterator[tuple[Evidence, int | None]]:
    if "VERSION_NEW" in one.codes:
        yield Evidence(version_new=True), None
    if (absent := one.absent_rate(config)) >= config.refusal_rate:
        # a missing value cannot be ranked: no other channel would tell
        yield Evidence(absent_rate=absent, exams=config.min_current), config.min_current
    if config.policy == "evidently":
        if verdict is not None and verdict.drifted:
            yield one.evidence(config, moved=verdict.moved), one.control.exams
    elif one.control.confirmed_at is not None:
        yield one.evidence(config), one.exams_to_alarm


def _record(
    one: WatchedStratum, evidence: Evidence, verdict: Verdict | None, config: MonitorConfig
) -> dict[str, Any]:
    return {
        **asdict(evidence),
        "policy": config.policy,
        "control": one.summary(config),
        "evidently": verdict.to_dict() if verdict else None,
    }


def _concept(
    watch: Watch, performance: Performance, verdicts: Mapping[str, Verdict], url: str
) -> Proposal:
    evidence = Evidence(auc_loss=True, exams=performance.exams)
    triage = decide(evidence)
    assert isinstance(triage, Triage)  # the table has a row for it
    verdict = verdicts.get(PROGRAMME.name)
    record = {
        **asdict(evidence),
        "policy": watch.config.policy,
        "performance": performance.to_dict(),
        "evidently": verdict.to_dict() if verdict else None,
    }
    return Proposal(watch.release_id, PROGRAMME, triage, None, record, url)
