"""`mammo drill`: every kind of drift is planted on a live stack, and must be named.

Real: the Prefect server and worker, MLflow, the service, every HTTP request, the
monitor's flow, its reports. Made for the drill: phantoms, and the pace: where outcomes
are needed two years pass in the log at once. The automation is paused, so that no
retraining changes what the next trial meets (`mammo demo` shows that it acts); between
trials log and monitor are emptied, as if each came alone.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flows import stack
from flows.automations import AUTOMATION
from flows.cli_terminal import stage_bars
from flows.demo import (
    CONFIG,
    DEMO_KEY,
    KNOWN_SCANNERS,
    put_into_service,
    run_deployment,
    train_release,
)
from flows.demo_checks import MARKER, always, own_settings, require_own
from flows.demo_report import Recorder
from flows.demo_stream import PhantomExam, Stream, list_exams
from flows.drill_report import Finding, finish_drill
from flows.drill_time import empty_log, let_time_pass
from mammo.dicom.phantom import write_phantoms
from mammo.dicom.phantom_inverted import invert_phantoms
from mammo.errors import SourceInvalid, StackUnhealthy, ValidationFailed
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from monitoring.closing import close_episode
from monitoring.config import WATERMARK, MonitorConfig
from monitoring.release_reference import read_reference

CANCER_RATE = 0.35
CHUNK_EXAMS = 20
"""Exams between two looks of the monitor."""
MATURE_DAYS = 800
"""Past two years, so that outcomes of every maturity are there."""


@dataclass(frozen=True)
class Trial:
    """One change that is planted; ``cause`` is what it has to be called, "" for nothing.

    ``exams`` may pass before it is found. With ``outcomes`` all are sent, two years pass
    in the log, and what became of every exam is told; otherwise nothing is ever told.
    """

    name: str
    planted: str
    cause: str
    seed: int
    scanners: tuple[str, ...] = KNOWN_SCANNERS
    exams: int = 60
    cancer_rate: float = CANCER_RATE
    conspicuity: float = 1.0
    inverted: bool = False
    outcomes: bool = False


TRAINING = Trial("train", "", "", 11, exams=180)
"""About half are held out; each scanner needs `MonitorConfig.min_reference` of them."""
TRIALS = (
    Trial("quiet", "nothing changes", "", 12, exams=45),
    Trial("scanner", "a scanner is replaced by a new one", "acquisition", 13, ("draco",)),
    Trial("inverted", "one scanner's images arrive inverted", "data_fault", 14,
          ("borealis",), exams=60, inverted=True),
    Trial("prevalence", "nearly every woman has a cancer", "prevalence", 15,
          exams=120, cancer_rate=0.95),
    Trial("concept", "cancers are hardly seen; outcomes tell", "concept", 16,
          exams=90, conspicuity=0.05, outcomes=True),
)  # fmt: skip


def run_drill(directory: Path, *, only: Sequence[str] = (), as_json: bool = False) -> int:
    """Run the trials in ``directory``; return 0 when each was named rightly, else 1."""
    trials = _chosen(only)
    require_own(directory)
    settings = own_settings(directory)
    stack.down(settings)
    shutil.rmtree(directory / "home", ignore_errors=True)
    settings.home.mkdir(parents=True)
    (directory / MARKER).write_text("`mammo drill` deletes home beside this file.\n")
    (settings.home / "pseudonym.key").write_bytes(DEMO_KEY)
    recorder = Recorder(directory, quiet=as_json)
    findings: list[Finding] = []
    with (
        always(lambda: stack.down(settings)),
        always(lambda: finish_drill(directory, recorder, findings, as_json=as_json)),
        recorder.noting_failure(),
    ):
        _run_trials(settings, directory, trials, recorder, findings)
    return 0 if all(one.is_right for one in findings) else 1


def _chosen(only: Sequence[str]) -> tuple[Trial, ...]:
    known = {one.name: one for one in TRIALS}
    if unknown := [name for name in only if name not in known]:
        raise SourceInvalid(f"No trial {', '.join(unknown)}; there are {', '.join(known)}.")
    return tuple(known[name] for name in only) or TRIALS


def _run_trials(
    settings: Settings,
    directory: Path,
    trials: Sequence[Trial],
    recorder: Recorder,
    findings: list[Finding],
) -> None:
    """A release in service first; then each trial, timed."""
    material = directory / "material"
    with recorder.stage("stack and material"):
        _prepare(settings, material, trials, recorder)
    with recorder.stage("train and put into service"):
        given = {"source": "rsna", "directory": str(material / "train"), "config": CONFIG}
        run_deployment(settings, "ingest/ingest", given, recorder)
        recorder.champion = train_release(settings, recorder)
        put_into_service(settings, recorder.champion["release"], recorder)
        _require_reference(settings)
    asyncio.run(_pause_automation())
    stream = recorder.stream = Stream(settings)
    for trial in trials:
        with recorder.stage(trial.name):
            _forget(settings)
            exams = list_exams(material / trial.name)
            findings.append(_run_trial(settings, trial, exams, stream, recorder))


def _require_reference(settings: Settings) -> None:
    """Raise ValidationFailed where a known scanner has too few reference exams.

    It would be learnt from its own exams first, and what is planted there not be tested.
    """
    reference = read_reference(read_pointer(settings.pointer_path) or {}, settings)
    counts = reference["scanner"].value_counts().to_dict()
    least = MonitorConfig().min_reference
    if thin := [f"{n} of {name}" for name, n in counts.items() if n < least]:
        raise ValidationFailed(
            f"The reference of the drill's release holds {', '.join(thin)}; each scanner needs "
            f"{least}. Train with more exams."
        )


def _prepare(
    settings: Settings, material: Path, trials: Sequence[Trial], recorder: Recorder
) -> None:
    """Start the stack while the phantoms are drawn."""
    with ThreadPoolExecutor(1) as background, stage_bars(quiet=recorder.quiet) as advance:
        starting = background.submit(stack.up, settings)
        for one in (TRAINING, *trials):
            draw(material / one.name, one, progress=partial(advance, f"{one.name} phantoms"))
        report = starting.result()
    if not report.healthy:
        raise StackUnhealthy("The stack did not become healthy; see `mammo status`.")


def draw(directory: Path, trial: Trial, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a trial's phantoms; those that an earlier drill drew with the same numbers stay."""
    order = json.dumps(asdict(trial), sort_keys=True)
    made = directory / "made.json"
    if made.is_file() and made.read_text() == order:
        return
    shutil.rmtree(directory, ignore_errors=True)
    write_phantoms(
        directory, exams=trial.exams, scanner=trial.scanners, seed=trial.seed,
        cancer_rate=trial.cancer_rate, conspicuity=trial.conspicuity, progress=progress,
    )  # fmt: skip
    if trial.inverted:
        invert_phantoms(directory)
    made.write_text(order)


def _forget(settings: Settings) -> None:
    """Close every episode, empty the log, and let the monitor begin anew."""
    log = PredictionLog(settings.log_url).create()
    for one in log.episodes("open"):
        close_episode(log, one["key"], "the drill's trial is over")
    empty_log(settings.log_url)
    log.set_watermark(WATERMARK, 0, {})


async def _pause_automation() -> None:
    """Let no event start the retraining, which would put another release into service."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        for one in await client.read_automations_by_name(AUTOMATION):
            await client.pause_automation(one.id)


def _run_trial(
    settings: Settings, trial: Trial, exams: list[PhantomExam], stream: Stream, recorder: Recorder
) -> Finding:
    """Send exams until the monitor names a cause, or all were sent."""
    log = PredictionLog(settings.log_url)
    before, sent = {one["key"] for one in log.episodes()}, 0
    opened: list[dict[str, Any]] = []
    while sent < len(exams) and not _is_over(trial, opened):
        chunk = exams[sent : None if trial.outcomes else sent + CHUNK_EXAMS]
        for exam in chunk:
            stream.send_one(exam)
        sent += len(chunk)
        if trial.outcomes:
            stream.post_remaining_outcomes()
            let_time_pass(settings.log_url, MATURE_DAYS)
        run_deployment(settings, "monitor/monitor", {}, recorder)
        opened = [one for one in log.episodes() if one["key"] not in before]
    stream.pending.clear()
    return Finding.of(trial.name, trial.planted, trial.cause, sent, opened, settings)


def _is_over(trial: Trial, opened: Sequence[dict[str, Any]]) -> bool:
    """True when the cause was named, or something else that acts; a mere note is waited out."""
    return any(one["cause"] == trial.cause or one["action"] != "note" for one in opened)
