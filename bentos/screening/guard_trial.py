"""What the log tells of a release on trial, as counts for the checks.

A trial is read anew at each look, from the pointer's instants and the log: whoever is
killed between two looks has lost nothing. Exams count once, by their first scoring.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bentos.screening.guard_checks import (
    Check,
    Count,
    check_loads,
    check_share,
    recall_limits,
)
from bentos.screening.rollout_policy import RolloutPolicy
from bentos.screening.workers import FOLDER, live_workers
from mammo.prediction_log import PredictionLog
from mammo.release import DEFAULT_SCANNER, Release
from mammo.settings import Settings

ROLES = {"shadow": "shadow", "canary": "canary", "probation": "champion"}
"""Stage -> role in the log of the exams that the release scores in it."""
NEIGHBOURS, LEAST_NEIGHBOURS = 50, 5
"""A canary's time is laid beside the median of so many exams of the champion before it."""
NOTHING_MS = 5.0
"""So much more harms nobody, whatever the ratio is."""
LAST_ANSWERS = 200
"""A new champion's time is laid beside the median of so many of its predecessor."""


@dataclass(frozen=True)
class Trial:
    """A release on trial: since when in which stage, the exams it was asked, and the checks."""

    release: str
    stage: str
    percent: int
    since: str
    exams: int
    checks: tuple[Check, ...]

    @property
    def harmful(self) -> bool:
        """True when a check found harm."""
        return any(one.verdict == "harm" for one in self.checks)

    @property
    def cleared(self) -> bool:
        """True when every check is cleared."""
        return all(one.verdict == "cleared" for one in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the evidence of a change."""
        return {
            "release": self.release,
            "stage": self.stage,
            "percent": self.percent,
            "since": self.since,
            "exams": self.exams,
            "checks": [one.to_dict() for one in self.checks],
        }


@dataclass(frozen=True)
class _Exams:
    """Exams that the release scored and failed on: in the stage, and in the whole trial."""

    here: pd.DataFrame
    whole: pd.DataFrame
    failed_here: int
    failed: int


def watch_challenger(
    challenger: dict[str, Any], settings: Settings, policy: RolloutPolicy, log: PredictionLog
) -> Trial:
    """Return the trial of the pointer's challenger."""
    stage, since = challenger["stage"], challenger["since"]
    began = (challenger.get("plan") or {}).get("began", since)
    return _watch(challenger, stage, since, began, settings, policy, log)


def watch_champion(
    pointer: dict[str, Any], settings: Settings, policy: RolloutPolicy, log: PredictionLog
) -> Trial:
    """Return the trial of a champion on probation."""
    since = pointer["probation"]["since"]
    return _watch(pointer, "probation", since, since, settings, policy, log)


def _watch(
    entry: dict[str, Any],
    stage: str,
    since: str,
    began: str,
    settings: Settings,
    policy: RolloutPolicy,
    log: PredictionLog,
) -> Trial:
    release_id = entry["release_id"]
    seen = _read(log, release_id, stage, *(datetime.fromisoformat(at) for at in (since, began)))
    release = Release.read(Path(entry["release_dir"]))
    checks = [
        _loads(release_id, stage, since, settings),
        _errors(seen, policy),
        _latency(log, entry, stage, since, seen, policy),
        *(_agreement(log, since, seen, policy) if stage == "shadow" else ()),
        _recall(release, seen, policy),
    ]
    exams = len(seen.here) + seen.failed_here
    percent = entry["percent"] if stage == "canary" else 0
    return Trial(release_id, stage, percent, since, exams, tuple(checks))


def _read(
    log: PredictionLog, release_id: str, stage: str, since: datetime, began: datetime
) -> _Exams:
    role = ROLES[stage]
    trial = (role,) if stage == "probation" else ("shadow", "canary")
    here = log.trial_exams(release_id, [role], since)
    whole = here if began == since else log.trial_exams(release_id, trial, began)
    failed = [one for one in log.failures(release_id, began) if one["role"] in trial]
    failed_here = [one for one in failed if one["role"] == role and one["at"] >= since]
    return _Exams(here, whole, _requests(failed_here), _requests(failed))


def _requests(failures: list[dict[str, Any]]) -> int:
    """Count failed exams: a request that is sent again fails once; without an id, each does."""
    return len({one["request_id"] or one["id"] for one in failures})


def _loads(release_id: str, stage: str, since: str, settings: Settings) -> Check:
    workers = live_workers(settings.home / FOLDER)
    said = [one.refused if stage == "probation" else one.challenger_refused for one in workers]
    refusing = [one for one in said if one and one["release"] == release_id and one["at"] >= since]
    return check_loads(len(refusing), len(workers))


def _errors(seen: _Exams, policy: RolloutPolicy) -> Check:
    here, whole = len(seen.here) + seen.failed_here, len(seen.whole) + seen.failed
    count = Count(seen.failed_here, here, seen.failed, whole)
    return check_share("errors", count, policy, high=policy.errors_share)


def _recall(release: Release, seen: _Exams, policy: RolloutPolicy) -> Check:
    """Judge the recall rate on the scanners that the release has an operating point for.

    What it says of a scanner that it does not know is the monitor's to find, and no
    fault of the release; one that knows none is judged on all.
    """
    own = set(release.operating_points) - {DEFAULT_SCANNER}
    frames = [one[one["scanner"].isin(own)] if own else one for one in (seen.here, seen.whole)]
    scanners = set(frames[1]["scanner"]) or {DEFAULT_SCANNER}
    targets = [release.operating_point(one).target_recall_rate for one in scanners]
    low, high = recall_limits(targets, policy.recall_times)
    count = Count.of(*(one["recall"].to_numpy() for one in frames))
    return check_share("recall", count, policy, high=high, low=low)


def _agreement(
    log: PredictionLog, since: str, seen: _Exams, policy: RolloutPolicy
) -> tuple[Check, Check]:
    """Judge how often the two decide, and rank, the same exam otherwise."""
    answered = log.trial_exams(None, ["champion"], datetime.fromisoformat(since))
    wanted = ["request_id", "recall", "logit"]
    both = seen.here.merge(answered[wanted], on="request_id", suffixes=("", "_champion"))
    otherwise = (both["recall"] != both["recall_champion"]).to_numpy()
    logits = both[["logit", "logit_champion"]].to_numpy()
    return (
        check_share("disagreement", Count.of(otherwise), policy, high=policy.disagree_share),
        check_share("rank", Count.of(reordered(logits)), policy, high=policy.reorder_share),
    )


def reordered(logits: np.ndarray) -> np.ndarray:
    """Say of each two neighbouring exams whether the second column ranks them otherwise.

    ``logits`` is (n, 2); the exams are taken in disjoint pairs, in the log's order, and a
    pair that the second release, the champion, cannot tell apart is left out. One that
    only the first cannot tell apart counts as ranked otherwise.
    """
    pairs = logits[: len(logits) // 2 * 2].reshape(-1, 2, 2)
    steps = pairs[:, 1] - pairs[:, 0]
    steps = steps[steps[:, 1] != 0]
    return np.asarray(steps[:, 0] * steps[:, 1] <= 0)


def _latency(
    log: PredictionLog,
    entry: dict[str, Any],
    stage: str,
    since: str,
    seen: _Exams,
    policy: RolloutPolicy,
) -> Check:
    """Judge how often the release takes far longer than the other one."""
    at = datetime.fromisoformat(since)
    if stage == "shadow":
        reference = seen.here["paired_ms"].to_numpy()
    elif stage == "canary":
        reference = _neighbours(seen.here, log.trial_exams(None, ["champion"], at))
    else:
        previous = (entry.get("previous") or {}).get("release_id", "")
        last = log.last_latencies(previous, at, LAST_ANSWERS)
        usual = np.median(last) if len(last) >= LEAST_NEIGHBOURS else np.nan
        reference = np.full(len(seen.here), usual)
    known = np.isfinite(reference)
    took, usual_ms = seen.here["latency_ms"].to_numpy()[known], reference[known]
    slow = (took > policy.slow_times * usual_ms) & (took > usual_ms + NOTHING_MS)
    return check_share("latency", Count.of(slow), policy, high=policy.slow_share)


def _neighbours(canary: pd.DataFrame, champion: pd.DataFrame) -> np.ndarray:
    """Return for each exam the median time of the champion's exams just before it, in ms, (n,)."""
    if canary.empty or champion.empty:
        return np.full(len(canary), np.nan)
    usual = champion["latency_ms"].rolling(NEIGHBOURS, min_periods=LEAST_NEIGHBOURS).median()
    beside = pd.DataFrame({"id": champion["id"], "usual": usual})
    found = pd.merge_asof(canary[["id"]], beside, on="id", direction="backward")
    return found["usual"].to_numpy(dtype=float)
