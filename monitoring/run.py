"""One run of the monitor: read on, decide, report, open episodes, save the watermark.

A run that is killed anywhere is made good by the next: everything before the
last step is either written under a name of its own or under a unique key, and
the watermark moves last, with the state that belongs to it. What was read again
gives the same scores (ties are broken by the exam's id), hence the same alarms
and the same keys. The pages are in place before an episode links to them. An episode
keeps how far its run had read: where it was answered before its exams are read again,
the answer counts from there on, so that its drift is not opened once more and what
came after is not missed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog, Watermark
from mammo.settings import Settings
from monitoring.config import WATERMARK, MonitorConfig
from monitoring.distances import numbers_only, shift_nodes
from monitoring.episodes import (
    Proposal,
    answered_beyond,
    answered_outcomes,
    close_notes,
    closed_acting,
    open_episode,
    read_by,
    waiting_episodes,
    will_open,
)
from monitoring.evidence_page import write_episode_pages
from monitoring.input_codes import codes_of_input
from monitoring.outcomes import OutcomeReport, measure_outcomes
from monitoring.pages import draft_folder, write_index, write_run_page
from monitoring.performance import measure_performance
from monitoring.plot import plot_control
from monitoring.proposals import PROGRAMME, compare_strata, propose
from monitoring.release_reference import read_reference
from monitoring.strata import strata_of
from monitoring.watch import Watch

__all__ = ["MonitorConfig", "MonitorReport", "run_monitor"]

BATCH = 20_000
DEFAULT_CONFIG = MonitorConfig()


@dataclass
class MonitorReport:
    """What one run found and did.

    ``read`` counts new exams of the release in service, ``skipped`` exams of other
    releases or repeated ones. ``episodes_opened`` is what this run opened,
    ``episodes_waiting`` every acting episode that nobody has taken up yet.
    """

    release_id: str | None = None
    stamp: str = ""
    read: int = 0
    skipped: int = 0
    last_id: int = 0
    strata: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    episodes_opened: list[dict[str, Any]] = field(default_factory=list)
    episodes_waiting: list[dict[str, Any]] = field(default_factory=list)
    performance: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, Any] = field(default_factory=dict)
    codes: list[dict[str, Any]] = field(default_factory=list)
    distances: dict[str, Any] = field(default_factory=dict)
    drift: dict[str, dict[str, Any]] = field(default_factory=dict)
    policy: str = "control"
    false_alarms_a_year: float = DEFAULT_CONFIG.false_alarms_a_year
    report_url: str | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return dict(vars(self))


def run_monitor(settings: Settings, *, config: MonitorConfig = DEFAULT_CONFIG) -> MonitorReport:
    """Read the log since the watermark and decide for every stratum.

    Without a release in service nothing is read, and the report says so. Raises
    ReleaseNotFound when the release in service has no reference to compare with.
    """
    began = time.perf_counter()
    log = PredictionLog(settings.log_url).create()
    pointer = read_pointer(settings.pointer_path)
    if pointer is None:
        return MonitorReport(notes=["No release is in service: nothing to compare with."])
    report = _run(settings, log, pointer, config)
    report.seconds = round(time.perf_counter() - began, 3)
    return report


def _run(
    settings: Settings, log: PredictionLog, pointer: dict[str, Any], config: MonitorConfig
) -> MonitorReport:
    release_id = str(pointer["release_id"])
    mark, episodes = log.watermark(WATERMARK), log.episodes()
    reference = read_reference(pointer, settings)
    left = _left_at(mark)
    begin = _begin_at(log, mark, release_id, left)
    known = read_by(episodes, begin)
    watch = Watch.resume(release_id, reference, mark.state, known, config)
    report = MonitorReport(release_id, _stamp(), last_id=begin, policy=config.policy)
    report.false_alarms_a_year = config.false_alarms_a_year
    _read_on(log, watch, report, episodes)
    outcomes, looks = _look_at_outcomes(log, watch, report, mark, episodes)
    report.strata = {one.name: one.summary() for one in watch.nodes()}
    last_url = mark.state.get("report_url")
    proposing = _Proposing(watch, outcomes, episodes, looks)
    report.report_url = _report_and_open(settings, log, proposing, report) or last_url
    report.episodes_waiting = waiting_episodes(log.episodes())
    state = _state(watch, outcomes, report) | {"left": left, "looks": looks}
    log.set_watermark(WATERMARK, report.last_id, state)
    return report


def _look_at_outcomes(
    log: PredictionLog,
    watch: Watch,
    report: MonitorReport,
    mark: Watermark,
    episodes: list[dict[str, Any]],
) -> tuple[OutcomeReport, dict[str, int]]:
    """Take the outcomes that have come; note codes of exams and outcomes in the report."""
    same = mark.state.get("release_id") == watch.release_id
    state = mark.state if same else {}
    outcomes = measure_outcomes(
        log,
        watch.release_id,
        watch.reference,
        state.get("outcomes", {}),
        watch.config,
        datetime.now(UTC),
        left_reference=watch.left_reference(),
        answered=answered_outcomes(closed_acting(episodes, watch.release_id, PROGRAMME)),
    )
    performance = measure_performance(
        log.labelled(release_id=watch.release_id),
        watch.reference,
        _looks_taken(state.get("looks", {}), watch.release_id, episodes),
        watch.config,
        log.scored_exams(watch.release_id),
    )
    report.performance, report.outcomes = performance.to_dict(), outcomes.to_dict()
    watch.count_whole_run(report.read)
    codes = [*codes_of_input(watch.counts), *(one.to_dict() for one in outcomes.codes)]
    report.codes = codes
    return outcomes, performance.looks


def _looks_taken(
    kept: dict[str, int], release_id: str, episodes: list[dict[str, Any]]
) -> dict[str, int]:
    """Return the newest look at the AUC: a killed run has left its own with what it opened."""
    looks = [
        (one["evidence"] or {}).get("looks", {})
        for one in episodes
        if one["release_id"] == release_id
    ]
    return max([kept, *looks], key=lambda one: one.get("looks", 0))


def _left_at(mark: Watermark) -> dict[str, int]:
    """Return how far the log was read when each release was last watched."""
    left = {str(name): int(at) for name, at in mark.state.get("left", {}).items()}
    watched = mark.state.get("release_id")
    return left | {str(watched): mark.last_id} if watched else left


def _begin_at(log: PredictionLog, mark: Watermark, release_id: str, left: dict[str, int]) -> int:
    """Return the id after which to read.

    The service takes a release over while a run reads the log for the one before:
    exams of the new release lie before the watermark then. A release that comes back
    is read on from where it was left, or its answered drift would alarm once more.
    """
    if release_id in left:
        return min(mark.last_id, left[release_id])
    if not left:
        return mark.last_id
    ids = log.exams(release_id=release_id)["id"]
    return mark.last_id if ids.empty else min(mark.last_id, int(ids.min()) - 1)


def _state(watch: Watch, outcomes: OutcomeReport, report: MonitorReport) -> dict[str, Any]:
    """Return what the next run goes on from, and what the metrics page shows of this one."""
    shown = {
        "finished_at": datetime.now(UTC).isoformat(),
        "strata": report.strata,
        "performance": report.performance,
        "outcomes": report.outcomes,
        "codes": report.codes,
        "distances": numbers_only(report.distances),
    }
    return watch.to_state() | {
        "outcomes": outcomes.state,
        "report_url": report.report_url,
        "report": shown,
    }


def _read_on(
    log: PredictionLog, watch: Watch, report: MonitorReport, episodes: list[dict[str, Any]]
) -> None:
    for stop in answered_beyond(episodes, watch.release_id, report.last_id):
        _read_to(stop, log, watch, report, episodes)
        watch.answer(read_by(episodes, stop))
    _read_to(None, log, watch, report, episodes)


def _read_to(
    stop: int | None,
    log: PredictionLog,
    watch: Watch,
    report: MonitorReport,
    episodes: list[dict[str, Any]],
) -> None:
    """Take the exams up to the id ``stop``; without one all there are."""
    while len(frame := log.read_since(report.last_id, limit=BATCH)):
        frame = frame if stop is None else frame[frame["id"] <= stop]
        if frame.empty:
            return
        report.last_id = int(frame["id"].iloc[-1])
        ours = frame[frame["release_id"] == watch.release_id].reset_index(drop=True)
        taken = watch.take(ours, episodes)
        report.read += taken
        report.skipped += len(frame) - taken


@dataclass(frozen=True)
class _Proposing:
    """What a run proposes from; ``episodes`` are those that it knew of when it began."""

    watch: Watch
    outcomes: OutcomeReport
    episodes: list[dict[str, Any]]
    looks: dict[str, int]

    def propose(self, report: MonitorReport, verdicts: dict[str, Any], url: str) -> list[Proposal]:
        """Return what should be open; each keeps how far was read, and the look it rests on."""
        auc_loss = bool(report.performance["loss"])
        found = propose(self.watch, self.outcomes, verdicts, url, auc_loss=auc_loss)
        return [
            replace(one, evidence=one.evidence | self._reach(one, report.last_id))
            for one in self.watch.without_fault_tails(found)
        ]

    def _reach(self, proposal: Proposal, last_id: int) -> dict[str, Any]:
        if "outcomes" not in proposal.evidence:
            return {"read_to": last_id}
        day = self.outcomes.state["now_day"]
        return {"read_to": last_id, "looks": self.looks, "outcomes_day": day}


def _report_and_open(
    settings: Settings, log: PredictionLog, proposing: _Proposing, report: MonitorReport
) -> str | None:
    """Write the run's pages and open what they show; None when there is nothing new."""
    watch, outcomes = proposing.watch, proposing.outcomes
    auc_loss = bool(report.performance["loss"])
    if not report.read and not outcomes.findings.confirmed and not auc_loss:
        return None
    root = settings.reports_dir / "drift"
    url = f"{settings.reports_url}/drift/{report.stamp}/"
    with draft_folder(root, report.stamp) as draft:
        recent = _recent(log, watch, report)
        verdicts = compare_strata(recent, watch, draft)
        report.drift = {name: one.to_dict() for name, one in verdicts.items()}
        report.distances = _distances(recent, watch)
        proposals = proposing.propose(report, verdicts, url)
        told = [(one, one.key(proposing.episodes)) for one in proposals]
        report.alarms = [one.to_dict(key) for one, key in told]
        report.episodes_opened = will_open(proposals, log.episodes(), proposing.episodes)
        report.report_url = url
        _write_pages(draft, watch, report, told)
        draft.replace(root / report.stamp)
    _open(log, proposing, proposals, report)
    linked = [one["report_url"] or "" for one in log.episodes()]
    write_index(root, keep=watch.config.keep_reports, linked=linked)
    return url


def _open(
    log: PredictionLog, proposing: _Proposing, proposals: list[Proposal], report: MonitorReport
) -> None:
    opened = [open_episode(log, one, proposing.episodes) for one in proposals]
    report.episodes_opened = [one for one in opened if one is not None]
    watch = proposing.watch
    notes = [one for one in proposals if not one.triage.acts]
    close_notes(log, watch.release_id, watch.end_notes({one.stratum.name for one in notes}))


def _write_pages(
    draft: Path, watch: Watch, report: MonitorReport, told: list[tuple[Proposal, str]]
) -> None:
    plot_control(watch, draft / "control.svg")
    alarms = [(one.to_dict(key), one) for one, key in told]
    write_episode_pages(draft, report.to_dict(), alarms, watch.nodes())
    write_run_page(draft, report.to_dict())


def _distances(recent: pd.DataFrame, watch: Watch) -> dict[str, Any]:
    """Return PSI, Wasserstein distance and histograms of every node's channels: shown only."""
    known, config = watch.known, watch.config
    return shift_nodes(
        known.channels.values(recent),
        strata_of(recent, config),
        known.values,
        strata_of(known.who, config),
        known.channels.names,
        [one.stratum for one in watch.nodes()],
    )


def _recent(log: PredictionLog, watch: Watch, report: MonitorReport) -> pd.DataFrame:
    """Return the newest exams of the release, at most ``window_exams``."""
    window = watch.config.window_exams
    # an exam takes up to three rows of the log: itself and two breasts
    frame = log.read_since(max(0, report.last_id - 3 * window))
    return frame[frame["release_id"] == watch.release_id].tail(window).reset_index(drop=True)


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S-%f")[:-3]
