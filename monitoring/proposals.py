"""From alarms to proposed episodes, by the policy that decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.drift import Verdict, compare
from monitoring.episodes import Proposal
from monitoring.evidence import Evidence
from monitoring.outcomes import OutcomeReport
from monitoring.reference import KNOWN_START
from monitoring.strata import Stratum, strata_of
from monitoring.triage import Triage, decide
from monitoring.watch import Watch, WatchedNode

PROGRAMME = Stratum("", "", "")
"""All exams together: what outcomes speak of."""


def compare_strata(recent: pd.DataFrame, watch: Watch, directory: Path) -> dict[str, Verdict]:
    """Let Evidently compare the programme, strata in alarm, and every stratum if it decides."""
    config = watch.config
    held = {leaf for one in watch.confirmed() for leaf in watch.control.nodes[one.index].leaves}
    wanted = config.evidently_on == "always" or (bool(held) and config.evidently_on == "alarm")
    if not wanted and config.policy != "evidently":
        note = f"Evidently's report is not made in this run (evidently_on: {config.evidently_on})."
        return {PROGRAMME.name: Verdict(note=note)}
    names = list(watch.known.channels.names)
    current = pd.DataFrame(watch.known.channels.values(recent), columns=names)
    stratum = pd.Series([one.name for one in strata_of(recent, config)], dtype=object)
    everything = pd.DataFrame(watch.known.values, columns=names)
    verdicts = {PROGRAMME.name: compare(current, everything, config, directory)}
    for leaf, one in enumerate(watch.control.strata):
        if not watch.control.base.taken[leaf] or (leaf not in held and config.policy == "control"):
            continue
        reference = pd.DataFrame(watch.known.baseline(one).values, columns=names)
        page = f"evidently-{one.slug}"
        now = current[stratum == one.name]
        verdicts[one.name] = compare(now, reference, config, directory, page)
    return verdicts


def propose(
    watch: Watch,
    outcomes: OutcomeReport,
    verdicts: Mapping[str, Verdict],
    url: str,
    *,
    auc_loss: bool = False,
) -> list[Proposal]:
    """Return the episodes that should be open; those that are will not open again.

    ``auc_loss`` is what a look at all known outcomes says (`monitoring.performance`): where
    strata are too small for the control of outcomes to place a cancer, it alone tells.
    """
    proposals = []
    for node in watch.nodes():
        for evidence, exams in _alarms(watch, node, outcomes, verdicts.get(node.name)):
            triage = decide(evidence)
            if triage is not None:
                record = _record(watch, node, evidence, verdicts.get(node.name))
                proposals.append(
                    Proposal(watch.release_id, node.stratum, triage, exams, record, url)
                )
    if outcomes.findings.confirmed or auc_loss:
        proposals += _from_outcomes(watch, outcomes, verdicts, url, auc_loss=auc_loss)
    return proposals


def _alarms(
    watch: Watch, node: WatchedNode, outcomes: OutcomeReport, verdict: Verdict | None
) -> Iterator[tuple[Evidence, int | None]]:
    config = watch.config
    alone = len(watch.control.nodes[node.index].leaves) == 1
    if alone and "VERSION_NEW" in node.codes:
        yield Evidence(version_new=True), None
    if alone and (absent := watch.absent_rate(node)) >= config.refusal_rate:
        # a missing value cannot be ranked: no other channel would tell
        yield Evidence(absent_rate=absent, exams=config.min_current), config.min_current
    if config.policy == "evidently":
        if alone and verdict is not None and verdict.drifted:
            yield watch.evidence(node, moved=verdict.moved), node.exams
    elif watch.control.under.get(node.index) == node.index:
        known = outcomes.findings if outcomes.findings.confirmed else None
        seen = watch.evidence(node)
        codes = (*seen.codes, *(one.code for one in outcomes.codes))
        yield replace(seen, outcome=known, codes=codes), node.exams_to_alarm


def _record(
    watch: Watch, node: WatchedNode, evidence: Evidence, verdict: Verdict | None
) -> dict[str, Any]:
    return {
        **_told(evidence),
        "policy": watch.config.policy,
        "control": node.summary(),
        "new": sorted(KNOWN_START & set(node.codes)),
        "evidently": verdict.to_dict() if verdict else None,
    }


def _told(evidence: Evidence) -> dict[str, Any]:
    found = evidence.outcome
    told = asdict(replace(evidence, outcome=None))
    return told | {"outcome": found.to_dict() if found is not None else None}


def _from_outcomes(
    watch: Watch,
    outcomes: OutcomeReport,
    verdicts: Mapping[str, Verdict],
    url: str,
    *,
    auc_loss: bool,
) -> Iterator[Proposal]:
    """Propose what the outcomes alone say of the programme."""
    evidence = Evidence(
        auc_loss=outcomes.findings.rank_confirmed or auc_loss,
        exams=outcomes.findings.exams_taken,
        outcome=outcomes.findings,
        level="programme",
    )
    triage = decide(evidence)
    assert isinstance(triage, Triage)  # the table has a row for it
    verdict = verdicts.get(PROGRAMME.name)
    record = {
        **_told(evidence),
        "policy": watch.config.policy,
        "outcomes": outcomes.to_dict(),
        "evidently": verdict.to_dict() if verdict else None,
    }
    yield Proposal(watch.release_id, PROGRAMME, triage, None, record, url)
