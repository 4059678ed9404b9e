"""What an episode asks for, step by step; each step can be run again after a kill.

The flow `retrain` calls these in order. State is in the episode's row: who
acts on it, which releases came out of it, how it ended.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mammo.changes.taken_back import brought_in, has_served
from mammo.continual.fit import train_release
from mammo.continual.judge import (
    choose_candidate,
    in_service,
    judge_candidates,
    read_run_config,
)
from mammo.continual.quarantine import changed_at
from mammo.continual.recalibrate import (
    calibrate_on_outcomes,
    due_refinements,
    recalibrate_release,
)
from mammo.continual.strategy import starts_from_parent
from mammo.continual.unfinished import begin, end, is_served, unfinished
from mammo.errors import ReleaseNotFound, TooFewLabels
from mammo.models.config import TrainConfig
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import MANIFEST, Release, find_release
from mammo.settings import Settings

RECALIBRATE = "recalibrate_and_retrain"


@dataclass(frozen=True)
class Assignment:
    """What a retraining run is to do. ``scanner`` is None without a drift episode.

    ``run`` names the work whose candidates are made once: the episode, or what was begun
    without one (`mammo.continual.unfinished`).
    ``flow_run`` is the run that took the episode on, and alone may write into it.
    """

    key: str | None
    action: str
    scanner: str | None
    champion: Path
    run: str = ""
    flow_run: str | None = None

    @property
    def recalibrates(self) -> bool:
        """True when the scanner's operating point is to be set first, from scores alone."""
        return self.action == RECALIBRATE and self.scanner is not None


@contextmanager
def alone(settings: Settings, *, wait: bool) -> Iterator[bool]:
    """Yield True to the one run of this home that may make releases now; others wait for it.

    Not to ``wait`` yields False at once where another is at it. The lock dies with its
    process. Prefect's limit of one run a deployment holds over machines; this holds over
    deployments (``retrain`` and ``refine``).
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "retrain.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def on_trial(settings: Settings) -> str | None:
    """Return the release that the guard leads towards service over shadow and canary, or None."""
    challenger = (read_pointer(settings.pointer_path) or {}).get("challenger") or {}
    return str(challenger["release_id"]) if challenger.get("plan") else None


def claim(
    settings: Settings,
    key: str | None,
    run_id: str,
    started_by: str,
    work: str | None = None,
) -> Assignment | None:
    """Take an episode on; None when another run has it or it is closed.

    Without an episode, go on with ``work`` or what an earlier run has left unfinished; None
    when what that made has been in service or on trial.

    The same run that comes back after a kill gets its episode again. What is mended is the
    release in service when the work was first taken on, which may be another than the
    episode's: since then another scanner may have been given its point. Where that happens
    after a kill, the work begins anew (`_forget_outdated`), without setting the point again
    that the episode has set before.
    """
    champion = in_service(settings)
    if champion is None:
        raise ReleaseNotFound("No release is in service: run `mammo train` and `mammo deploy`.")
    if key is None:
        return _claim_unprompted(settings, run_id, work)
    log = PredictionLog(settings.log_url).create()
    episode = log.episode(key)
    if episode is None:
        raise ReleaseNotFound(f"No episode {key!r} is in the log; `mammo monitor` opens episodes.")
    facts = {"flow_run_id": run_id, "started_by": started_by}
    taken = log.update_episode(key, if_status="open", status="acting", **facts)
    if not taken:  # read anew: another run may have had it since
        episode = log.episode(key) or {}
        if episode.get("status") != "acting" or episode.get("flow_run_id") != run_id:
            return None
    _forget_outdated(settings, key, key)
    champion = _first_champion(settings, key)
    action = "retrain" if _has_set_its_point(settings, key) else _action(episode)
    return Assignment(key, action, scanner_of(episode), champion, key, run_id)


def _claim_unprompted(settings: Settings, run_id: str, work: str | None) -> Assignment | None:
    """Take a retraining without an episode on; `alone` has let nobody else be at one."""
    left = unfinished(settings)
    work = work or (run_id if left is None else left.work)
    if is_served(settings, work):
        return None
    begin(settings, work, run_id)
    _forget_outdated(settings, work)
    return Assignment(None, "retrain", None, _first_champion(settings, work), work)


def _forget_outdated(settings: Settings, work: str, key: str | None = None) -> None:
    """Let the work begin anew where another release serves: its candidates lack what that has.

    What the episode ``key`` itself has put into service over its champion is no other.
    """
    champion = in_service(settings)
    log, reader = PredictionLog(settings.log_url).create(), f"retrain:{work}"
    known = log.watermark(reader).state.get("champion")
    if champion is None or known is None:
        return
    own = {known} if key is None else brought_in(settings, known, key)
    if champion.name not in own:
        log.set_watermark(reader, 0, {})


def _has_set_its_point(settings: Settings, key: str) -> bool:
    """Say whether the episode had its point in service before its work began anew.

    What serves now has that point, or somebody took it away: neither is to be undone.
    """
    made = PredictionLog(settings.log_url).watermark(f"retrain:{key}").state
    return "recalibrated" not in made and has_served(settings, None, key)


def _first_champion(settings: Settings, run: str) -> Path:
    """Return the release that was in service when the work ``run`` was first taken on."""
    champion = in_service(settings)
    log, reader = PredictionLog(settings.log_url).create(), f"retrain:{run}"
    known = log.watermark(reader).state
    if "champion" not in known:
        assert champion is not None  # `claim` has looked
        known = known | {"champion": champion.name}
        log.set_watermark(reader, 0, known)
    return find_release(settings.releases_dir, known["champion"])


def _action(episode: dict[str, Any]) -> str:
    """Return what to do; a person who sends a question here has answered what its cause is."""
    if episode["action"] != "ask":
        return str(episode["action"])
    return RECALIBRATE if episode["cause"] == "acquisition" else "retrain"


def scanner_of(episode: dict[str, Any]) -> str | None:
    """Return the scanner key of an episode; None when it is about all scanners."""
    return (episode.get("evidence") or {}).get("scanner") or None


def recalibrated(settings: Settings, assignment: Assignment) -> dict[str, Any]:
    """Make the recalibrated release and judge it on the golden set: nothing else may change."""
    assert assignment.scanner is not None
    scanner = assignment.scanner

    def make() -> dict[str, Any]:
        log = PredictionLog(settings.log_url)
        episode = log.episode(assignment.key or "")
        since = None if episode is None else changed_at(log, episode)
        _, made = recalibrate_release(settings, assignment.champion, scanner, since=since)
        _note(settings, assignment, {"recalibrated": made.name})
        return {"release": made.name}

    directory = find_release(
        settings.releases_dir, _once(settings, assignment, "recalibrated", make)["release"]
    )
    decision = judge_candidates(settings, assignment.champion, [directory])[0]
    return {"release": directory.name, "gate": decision.to_dict()}


def refined(settings: Settings, scanner: str) -> dict[str, Any] | None:
    """Set the scanner's point anew from the exams that came since; None where none is due.

    As `recalibrated`, for the release in service and without an episode.
    """
    champion = in_service(settings)
    since = None if champion is None else due_refinements(settings, champion).get(scanner)
    if champion is None or since is None:
        return None
    _, directory = recalibrate_release(settings, champion, scanner, since=since)
    decision = judge_candidates(settings, champion, [directory])[0]
    return {"release": directory.name, "scanner": scanner, "gate": decision.to_dict()}


def scanners_to_refine(settings: Settings) -> list[str]:
    """Return the scanners of the release in service whose exams have doubled, sorted.

    None while a run acts on an episode: it brings a release of its own.
    """
    champion = in_service(settings)
    acting = PredictionLog(settings.log_url).create().episodes("acting")
    if champion is None or acting:
        return []
    return sorted(due_refinements(settings, champion))


def calibrated_on_outcomes(
    settings: Settings, assignment: Assignment, recalibrated: str | None
) -> dict[str, Any] | None:
    """Make the recalibrated release anew, by outcomes; None for an episode of all scanners.

    ``recalibrated`` is the one made from scores alone; without it the scanner's point is
    that of the champion, if it has one of its own.
    """
    name = recalibrated or assignment.champion.name
    aligned = find_release(settings.releases_dir, name)
    if assignment.scanner not in Release.read(aligned).operating_points:
        return None
    scanner = assignment.scanner
    assert scanner is not None  # a release has no operating point of nobody's

    def make() -> dict[str, Any]:
        _, made = calibrate_on_outcomes(settings, assignment.champion, aligned, scanner)
        return {"release": made.name}

    return _once(settings, assignment, "by_outcomes", make)


def from_scratch(
    settings: Settings, assignment: Assignment, progress: Any = None
) -> dict[str, Any]:
    """Train anew on every exam there is, keeping who is held out and who is sealed."""

    def make() -> dict[str, Any]:
        return train_release(
            settings,
            config=read_run_config(assignment.champion),
            split_as=assignment.champion,
            progress=progress,
        ).to_dict()

    return _once(settings, assignment, "scratch", make)


def _once(
    settings: Settings, assignment: Assignment, name: str, make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what ``make`` made for this work before, and is still there; else make it.

    A run that was killed after it had made a candidate does not make it a second time.
    """
    log, reader = PredictionLog(settings.log_url).create(), f"retrain:{assignment.run}"
    known = log.watermark(reader).state.get(name) if assignment.run else None
    if known and (settings.releases_dir / known["release"] / MANIFEST).is_file():
        return dict(known)
    made = make()
    if assignment.run:
        log.set_watermark(reader, 0, log.watermark(reader).state | {name: made})
    return made


def _note(settings: Settings, assignment: Assignment, facts: dict[str, Any], **values: Any) -> None:
    """Add facts to the episode's evidence and change its columns, while it is this run's."""
    if assignment.key is None:
        return
    log = PredictionLog(settings.log_url)
    evidence = (log.episode(assignment.key) or {}).get("evidence") or {}
    owner = assignment.flow_run
    log.update_episode(assignment.key, if_run=owner, evidence=evidence | facts, **values)


def require_labelled(settings: Settings, assignment: Assignment, minimum: int) -> int:
    """Return how many scored exams of the scanner have an outcome; TooFewLabels below ``minimum``.

    Outcomes come late; the flow tries again until they are there. Without a
    scanner nothing is required: training itself refuses too few labels.
    """
    if assignment.scanner is None:
        return 0
    exams = PredictionLog(settings.log_url).create().labelled("exam")
    count = int((exams["scanner"] == assignment.scanner).sum())
    if count < minimum:
        raise TooFewLabels(
            f"{count} exams of {assignment.scanner} have an outcome; "
            f"retraining needs {minimum}. It is tried again when more have arrived."
        )
    return count


def fine_tuned(
    settings: Settings, assignment: Assignment, progress: Any = None, strategy: str | None = None
) -> dict[str, Any]:
    """Train the champion further on the scanner's exams, by ``strategy`` or the champion's own.

    By default it replays the other scanners' exams (docs/strategies.md).
    """
    settled = read_run_config(assignment.champion)
    if strategy is not None:
        settled = TrainConfig.from_dict(settled.to_dict() | {"retraining": strategy})
    if starts_from_parent(settled):  # from scratch takes the epochs of a first training
        settled = replace(settled, epochs=settled.fine_tune_epochs)

    def make() -> dict[str, Any]:
        return train_release(
            settings,
            config=settled,
            parent=assignment.champion,
            focus=assignment.scanner,
            progress=progress,
        ).to_dict()

    return _once(settings, assignment, f"tuned:{strategy or ''}", make)


def choose(settings: Settings, assignment: Assignment, candidates: list[str]) -> dict[str, Any]:
    """Judge the candidates, least invasive first, on the same exams; pick what mends the loss."""
    directories = [find_release(settings.releases_dir, one) for one in candidates]
    decisions, choice = choose_candidate(
        settings, assignment.champion, directories, focus=assignment.scanner
    )
    return {
        "chosen": choice.chosen,
        "choice": choice.to_dict(),
        "decisions": [one.to_dict() for one in decisions],
    }


def close(settings: Settings, assignment: Assignment, result: dict[str, Any]) -> None:
    """Close the episode with what came of it; without one, end the work."""
    if assignment.key is None:
        end(settings, assignment.run)
    _note(settings, assignment, {"result": result}, status="closed", closed_at=datetime.now(UTC))
