"""Episodes: however often an alarm repeats, it acts once.

The key is ``release:stratum:lane:number``. The lane is ``act`` for every action
that starts something, and ``note-<cause>`` for notes: so a stratum has at most one
acting episode open under a release, whatever its cause is thought to be, and a
note never stands in the way of an action. The number counts the closed acting
episodes, so that trouble which comes back is a new one; a note is made once a
release. Another release starts anew. The database's unique constraint on the key decides between
two monitors that run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mammo.prediction_log import PredictionLog
from monitoring.strata import Stratum
from monitoring.triage import Triage

CLOSED = "closed"


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
        """``act``, or ``note-<cause>``."""
        return "act" if self.triage.acts else f"note-{self.triage.cause}"

    def key(self, episodes: Sequence[dict[str, Any]]) -> str:
        """Return the unique key, given all episodes known."""
        prefix = f"{self.release_id}:{self.stratum.slug}:{self.lane}:"
        if not self.triage.acts:
            return f"{prefix}1"
        closed = [one for one in episodes if one["key"].startswith(prefix) and _is_closed(one)]
        return f"{prefix}{len(closed) + 1}"

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


def open_episode(log: PredictionLog, proposal: Proposal) -> dict[str, Any] | None:
    """Open the proposed episode; None when it is open already or needs none.

    A concept episode waits while any retraining of the same release is open: it
    would start what already runs.
    """
    episodes = log.episodes()
    if proposal.triage.cause == "concept" and retraining(episodes, proposal.release_id):
        return None
    key = proposal.key(episodes)
    opened = log.open_episode(
        key,
        stratum=proposal.stratum.name,
        cause=proposal.triage.cause,
        action=proposal.triage.action,
        release_id=proposal.release_id,
        exams_to_alarm=proposal.exams_to_alarm,
        evidence=proposal.evidence
        | {
            "reason": proposal.triage.reason,
            "site": proposal.stratum.site,
            "scanner": proposal.stratum.scanner,
            "software_version": proposal.stratum.software_version,
        },
        report_url=proposal.report_url,
    )
    return proposal.to_dict(key) if opened else None


def retraining(episodes: Sequence[dict[str, Any]], release_id: str) -> bool:
    """True when an episode that retrains is open under this release."""
    return any(
        one["release_id"] == release_id and "retrain" in one["action"] and not _is_closed(one)
        for one in episodes
    )


def waiting_episodes(episodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return acting episodes that nobody has taken up: an event may have been lost."""
    return [
        {name: one[name] for name in ("key", "cause", "action", "stratum", "report_url")}
        for one in episodes
        if one["status"] == "open" and one["action"] != "note"
    ]


def closed_acting(
    episodes: Sequence[dict[str, Any]], release_id: str, stratum: Stratum
) -> list[dict[str, Any]]:
    """Return the stratum's closed acting episodes under this release, oldest first."""
    prefix = f"{release_id}:{stratum.slug}:act:"
    return [one for one in episodes if one["key"].startswith(prefix) and _is_closed(one)]


def answered_before(episodes: Sequence[dict[str, Any]], release_id: str, scanner: str) -> bool:
    """True when an earlier release was already recalibrated or retrained for this scanner."""
    return any(
        one["release_id"] != release_id
        and "retrain" in one["action"]
        and (one["evidence"] or {}).get("scanner") == scanner
        for one in episodes
    )


def _is_closed(episode: dict[str, Any]) -> bool:
    return bool(episode["status"] == CLOSED)
