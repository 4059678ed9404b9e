"""A person closes an episode: data were mended, or there was nothing to mend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mammo.errors import EpisodeUnknown
from mammo.prediction_log import PredictionLog
from monitoring.episodes import CLOSED, FAILED, OPEN


def close_episode(log: PredictionLog, key: str, reason: str) -> dict[str, Any]:
    """Close an episode that is open or failed, and keep why; return it.

    The monitor's next run starts the control of that part of the programme over: after a
    data fault against the release's reference, after anything else with what it learns
    from its own exams. An episode that a run acts on is that run's.

    Raises
    ------
    EpisodeUnknown
        There is no such episode, it is closed already, or a run has it.
    """
    episode = log.episode(key)
    if episode is None:
        raise EpisodeUnknown(f"There is no episode {key}; `mammo episodes` shows those there are.")
    evidence = (episode["evidence"] or {}) | {"closed_by": "person", "closing_reason": reason}
    values: dict[str, Any] = {
        "status": CLOSED,
        "closed_at": datetime.now(UTC),
        "evidence": evidence,
    }
    if not any(log.update_episode(key, if_status=one, **values) for one in (OPEN, FAILED)):
        raise EpisodeUnknown(
            f"Episode {key} is {episode['status']}; only an open or failed one can be closed. "
            "One that is acting is closed by its run."
        )
    return {"key": key, "cause": episode["cause"], "closed": True, "reason": reason}
