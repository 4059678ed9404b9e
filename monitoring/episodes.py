"""Episodes: however often an alarm repeats, it acts once.

The key is ``release:stratum:lane:number``. The lane is ``act`` for every action
that starts a run, ``act-data_fault`` for data faults, which people mend, ``ask`` for
questions to a person and ``note-<cause>`` for notes: so a stratum has at most one
retraining episode open under a release, whatever its cause is thought to be, and neither
a note, a question nor a fault that nobody has closed stands in its way. The number counts
the lane's closed episodes, so that trouble which comes back is a new one. Another
release starts anew, but waits for a run that already acts for the same scanner. The
database's unique constraint on the key decides between two monitors at the same time.

An episode is ``open``, then ``acting`` (a run has it), then ``closed``; a question that
something later answers is ``settled``. A run that ended without closing its episode gives
it back: ``open`` again, ``failed`` after `MAX_ATTEMPTS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mammo.prediction_log import PredictionLog
from monitoring.strata import Stratum
from monitoring.triage import Triage

OPEN, ACTING, CLOSED, FAILED = "open", "acting", "closed", "failed"
MAX_ATTEMPTS = 3
"""Runs that may end without closing an episode before it is left to people."""
ABANDONED = frozenset({"FAILED", "CRASHED", "CANCELLED"})
"""Prefect's state types of a run that is over and did not complete."""
FAULT_LANE, ASK_LANE = "act-data_fault", "ask"
SETTLED = "settled"
"""A question that later evidence answered: nobody has to."""


@dataclass(frozen=True)
class Proposal:
    """An episode that the monitor wants open."""

    release_id: str
    stratum: Stratum
    triage: Triage
    exams_to_alarm: int | None
    evidence: dict[str, Any]
    report_url: str

    @property
    def lane(self) -> str:
        """``act``, ``act-data_fault``, ``ask`` or ``note-<cause>``."""
        if self.triage.action == "note":
            return f"note-{self.triage.cause}"
        return {"quarantine": FAULT_LANE, "ask": ASK_LANE}.get(self.triage.action, "act")

    def key(self, episodes: Sequence[dict[str, Any]]) -> str:
        """Return the unique key, given all episodes known."""
        prefix = f"{self.release_id}:{self.stratum.slug}:{self.lane}:"
        over = [one for one in episodes if one["key"].startswith(prefix) and _is_over(one)]
        return f"{prefix}{len(over) + 1}"

    def columns(self) -> dict[str, Any]:
        """Return the columns of its episode; the key is not in it."""
        kept = {
            "reason": self.triage.reason,
            "triage": self.triage.to_dict(),
            "site": self.stratum.site,
            "scanner": self.stratum.scanner,
            "software_version": self.stratum.software_version,
        }
        return {
            "stratum": self.stratum.name,
            "cause": self.triage.cause,
            "action": self.triage.action,
            "release_id": self.release_id,
            "exams_to_alarm": self.exams_to_alarm,
            "evidence": self.evidence | kept,
            "report_url": self.report_url,
        }

    def to_dict(self, key: str) -> dict[str, Any]:
        """Return what the flow and its event hold."""
        return {
            "key": key,
            "cause": self.triage.cause,
            "action": self.triage.action,
            "reason": self.triage.reason,
            "stratum": self.stratum.name,
            "scanner": self.stratum.scanner,
            "exams_to_alarm": self.exams_to_alarm,
            "report_url": self.report_url,
        }


def open_episode(
    log: PredictionLog, proposal: Proposal, known: Sequence[dict[str, Any]] | None = None
) -> dict[str, Any] | None:
    """Open the proposed episode; None when it is open already or needs none.

    A retraining for more than one scanner waits while any of the same release is open,
    and any retraining while a run acts for the scanner under an earlier release: it would
    start what already runs. A question waits while something is done about the stratum.
    The alarm stays, so it is proposed again. What is opened settles an open question.
    ``known`` are the episodes that the alarm knew of, by default those there are: one
    that was closed since is this alarm's own, and the next run answers it.
    """
    episodes = log.episodes()
    key = proposal.key(episodes if known is None else known)
    if _waits(proposal, episodes):
        return None
    settles = () if proposal.lane == ASK_LANE else _questions(episodes, proposal)
    opened = log.open_episode(key, **proposal.columns(), settles=settles)
    return proposal.to_dict(key) if opened else None


def will_open(
    proposals: Iterable[Proposal],
    episodes: Sequence[dict[str, Any]],
    known: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return what `open_episode` will open of the proposals, one after another, if alone."""
    there, found = list(episodes), []
    for one in proposals:
        key = one.key(known)
        if any(old["key"] == key for old in there) or _waits(one, there):
            continue
        there.append({"key": key, "status": OPEN, **one.columns()})
        found.append(one.to_dict(key))
    return found


def _waits(proposal: Proposal, episodes: Sequence[dict[str, Any]]) -> bool:
    if proposal.lane == ASK_LANE:
        done = _in_lanes(episodes, proposal, ("act", FAULT_LANE))
        return any(one["status"] in (OPEN, ACTING) for one in done)
    if not proposal.triage.starts_run:
        return False
    release_id, scanner = proposal.release_id, proposal.stratum.scanner
    everybody = proposal.triage.cause == "concept" or not scanner
    return acting_elsewhere(episodes, release_id, scanner) or (
        everybody and retraining(episodes, release_id)
    )


def _questions(episodes: Sequence[dict[str, Any]], proposal: Proposal) -> list[str]:
    return [one["key"] for one in _in_lanes(episodes, proposal, (ASK_LANE,))]


def _in_lanes(
    episodes: Sequence[dict[str, Any]], proposal: Proposal, lanes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the episodes of the proposal's release and stratum in these lanes."""
    start = f"{proposal.release_id}:{proposal.stratum.slug}:"
    prefixes = tuple(f"{start}{lane}:" for lane in lanes)
    return [one for one in episodes if one["key"].startswith(prefixes)]


def close_notes(log: PredictionLog, release_id: str, names: Iterable[str]) -> None:
    """Close the notes of strata whose noted change has become their baseline."""
    wanted = set(names)
    for one in log.episodes(OPEN):
        noted = one["action"] == "note" and one["cause"] != "software_version"
        if noted and one["release_id"] == release_id and one["stratum"] in wanted:
            log.update_episode(
                one["key"], if_status=OPEN, status=CLOSED, closed_at=datetime.now(UTC)
            )


def retraining(episodes: Sequence[dict[str, Any]], release_id: str) -> bool:
    """True when an episode that retrains is open or acting under this release."""
    return any(
        one["release_id"] == release_id
        and "retrain" in one["action"]
        and one["status"] in (OPEN, ACTING)
        for one in episodes
    )


def waiting_episodes(episodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return acting episodes that nobody has taken up: an event may have been lost."""
    return [
        {name: one[name] for name in ("key", "cause", "action", "stratum", "report_url")}
        for one in episodes
        if one["status"] == OPEN and one["action"] != "note"
    ]


def closed_acting(
    episodes: Sequence[dict[str, Any]], release_id: str, stratum: Stratum
) -> list[dict[str, Any]]:
    """Return the stratum's closed acting episodes under this release, first closed first."""
    lanes = tuple(f"{release_id}:{stratum.slug}:{lane}:" for lane in ("act", FAULT_LANE, ASK_LANE))
    closed = [one for one in episodes if one["key"].startswith(lanes) and _is_closed(one)]
    return sorted(closed, key=lambda one: one["closed_at"] or one["opened_at"])


def read_by(episodes: Sequence[dict[str, Any]], last_id: int) -> list[dict[str, Any]]:
    """Return the episodes whose exams the log holds up to ``last_id``.

    The others were opened by a run that was killed before its watermark: their exams are
    read again, and an answer to them counts from where that run had read to.
    """
    return [one for one in episodes if _read_to(one) <= last_id]


def answered_beyond(episodes: Sequence[dict[str, Any]], release_id: str, last_id: int) -> list[int]:
    """Return, in order, up to where killed runs had read whose episodes were closed since."""
    closed = [one for one in episodes if one["release_id"] == release_id and _is_closed(one)]
    return sorted({at for one in closed if (at := _read_to(one)) > last_id})


def answered_outcomes(closed: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return, by key, up to which day outcomes were taken, of those episodes that rest on them.

    ``closed`` are what `closed_acting` returns of the programme; the day is that of the run
    that opened an episode, 0 where that did not keep it.
    """
    told = {one["key"]: one["evidence"] or {} for one in closed}
    return {
        key: float(evidence.get("outcomes_day", 0.0))
        for key, evidence in told.items()
        if "outcomes" in evidence
    }


def _read_to(episode: dict[str, Any]) -> int:
    return int((episode["evidence"] or {}).get("read_to", 0))


def answered_before(episodes: Sequence[dict[str, Any]], release_id: str, scanner: str) -> bool:
    """True when an earlier release was, or is being, recalibrated or retrained for this scanner.

    An episode that nobody has taken up, or whose runs failed, answers nothing.
    """
    return any(
        one["status"] == ACTING or (_is_closed(one) and bool(one["evidence"].get("result")))
        for one in _retrains_elsewhere(episodes, release_id, scanner)
    )


def acting_elsewhere(episodes: Sequence[dict[str, Any]], release_id: str, scanner: str) -> bool:
    """True while a run acts on an episode of this scanner that another release opened."""
    return any(
        one["status"] == ACTING for one in _retrains_elsewhere(episodes, release_id, scanner)
    )


def abandoned_updates(
    episodes: Sequence[Mapping[str, Any]], states: Mapping[str, str | None]
) -> dict[str, dict[str, Any]]:
    """Return, by key, how to free acting episodes whose run ended without closing them.

    ``states`` maps flow run ids to Prefect's state type, None for a run that does not
    exist; a run that is not in it is left alone. The episode is open again, for the
    next run; after `MAX_ATTEMPTS` it has ``failed`` and keeps its last run's id.
    """
    updates: dict[str, dict[str, Any]] = {}
    for one in episodes:
        run_id = one["flow_run_id"]
        over = run_id in states and (states[run_id] is None or states[run_id] in ABANDONED)
        if one["status"] != ACTING or not over:
            continue
        evidence = one["evidence"] or {}
        attempts = int(evidence.get("attempts", 0)) + 1
        values: dict[str, Any] = {"evidence": evidence | {"attempts": attempts}}
        if attempts < MAX_ATTEMPTS:
            values |= {"status": OPEN, "flow_run_id": None, "started_by": None}
        else:
            values["status"] = FAILED
        updates[one["key"]] = values
    return updates


def _retrains_elsewhere(
    episodes: Sequence[dict[str, Any]], release_id: str, scanner: str
) -> list[dict[str, Any]]:
    return [
        one
        for one in episodes
        if one["release_id"] != release_id
        and "retrain" in one["action"]
        and (one["evidence"] or {}).get("scanner") == scanner
    ]


def _is_over(episode: dict[str, Any]) -> bool:
    return episode["status"] in (CLOSED, SETTLED)


def _is_closed(episode: dict[str, Any]) -> bool:
    return bool(episode["status"] == CLOSED)
