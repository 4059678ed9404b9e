"""Exams that nothing is learnt from: those scored while their scanner's data were at fault.

    quarantined_exams(log)        # ids, of every episode whose action is quarantine
    changed_at(log, episode)      # when the first exam since the change was scored

The episode says of which part of the programme it is (site, scanner, software version)
and how many exams there had been since the change; it ends when a person closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import to_utc

QUARANTINE = "quarantine"
PARTS = ("site", "scanner", "software_version")


def quarantined_exams(log: PredictionLog) -> set[str]:
    """Return the ids of exams scored during a data fault, from its change until it was closed."""
    found: set[str] = set()
    for episode in log.episodes():
        if episode["action"] != QUARANTINE:
            continue
        since = changed_at(log, episode) or to_utc(episode["opened_at"])
        closed = episode["closed_at"]
        until = None if closed is None else to_utc(closed)
        found |= set(_exams_of(log, episode, since=since, until=until)["exam_id"])
    return found


def changed_at(log: PredictionLog, episode: Mapping[str, Any]) -> datetime | None:
    """Return when the first exam since an episode's change was scored; None if not known."""
    count = exams_since_change(episode)
    if not count:
        return None
    opened = to_utc(episode["opened_at"]) + timedelta(microseconds=1)
    exams = _exams_of(log, episode, until=opened).drop_duplicates("exam_id", keep="last")
    since = exams.tail(count)
    return None if since.empty else to_utc(since["scored_at"].iloc[0].to_pydatetime())


def exams_since_change(episode: Mapping[str, Any]) -> int:
    """Return how many exams there were since the change (all of a new scanner's); 0 if unknown."""
    control = (episode.get("evidence") or {}).get("control") or {}
    if not control.get("exams"):
        return 0
    new = {"SCANNER_NEW", "VERSION_NEW"} & set(control.get("codes") or ())
    return int(control["exams"]) - (0 if new else int(control.get("change_at") or 0))


def _exams_of(
    log: PredictionLog,
    episode: Mapping[str, Any],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pd.DataFrame:
    """Return the exams of the part of the programme that an episode is of."""
    evidence = episode.get("evidence") or {}
    scanner = evidence.get("scanner") or None
    exams = log.exams(role="champion", scanner=scanner, since=since, until=until)
    for name in PARTS:
        if evidence.get(name):
            exams = exams[exams[name] == evidence[name]]
    return exams
