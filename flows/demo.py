"""`mammo demo`: the whole loop on real mammograms and phantoms, with everything measured.

Real: the Prefect server and worker, MLflow, the service, the DICOM files of
CBIS-DDSM, every HTTP request, the automation. Made for the demo: the phantoms,
whose truth stands in for biopsies, and the pace, in which months pass in minutes.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bentos.screening.change_record import id_of
from flows import stack
from flows.automations import ACTING
from flows.cli_terminal import stage_bars
from flows.demo_archive import Archive, round_trip, write_peers
from flows.demo_checks import (
    always,
    clear_own,
    own_settings,
    require_closed_loop,
    require_own,
    require_planted,
)
from flows.demo_report import Recorder, finish, show_summary
from flows.demo_rollout import approve_what_waits, require_true_records, wait_until_served
from flows.demo_stream import Background, Stream, list_exams
from flows.follow import run_and_follow, run_has_failed
from flows.stack_services import ROOT
from mammo.data.sources.dicom_folder import copy_cbis_sample
from mammo.dicom.phantom import write_phantoms
from mammo.dicom.phantom_bad import write_bad_files
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.errors import DeployFailed, FlowRunFailed, StackUnhealthy, ValidationFailed
from mammo.exam import Scanner
from mammo.models.config import read_config
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

CONFIG = "demo"
ROLLOUT = ROOT / "configs" / "rollout" / "demo.yaml"
KNOWN_SCANNERS = ("aurora", "borealis", "cygnus")
NEW_SCANNER = "draco"
TRAINING_EXAMS = 150
STEADY_EXAMS = 45
DRIFT_EXAMS = 120
AFTER_EXAMS = 45
CANCER_RATE = 0.35
SECONDS_PER_EXAM = 0.9
"""Pace of the stream while the loop acts; a slower machine falls behind, and nothing breaks."""
SECONDS_PER_REPEAT = 3.0
"""Pace of exams sent again: they teach nothing, and answering takes a core from the retraining."""
PATIENCE_SECONDS = 900.0
"""How long a step may take; the slowest machine seen needed a third of it."""
DEMO_KEY = bytes.fromhex("86d3e1d057fa734aa530dadae00f042172764d1ca66a26b798cdb68db1450d54")
"""No secret: phantoms and a public sample. Fixed, since who is golden follows from it."""
FAILURE_POLLS = 5
"""Seconds between two looks at the state of the retraining run."""


def run_demo(directory: Path, *, as_json: bool = False, keep_up: bool | None = None) -> int:
    """Run the loop in ``directory``; return the exit status, 0 when every stage passed.

    A demo that was interrupted is ended and begun anew. The stack stays up at
    the end where a person looks (a terminal), or as ``keep_up`` says.
    """
    require_own(directory)
    settings = own_settings(directory)
    stack.down(settings)
    clear_own(directory)
    settings.home.mkdir(parents=True)
    (settings.home / "pseudonym.key").write_bytes(DEMO_KEY)
    shutil.copy(ROLLOUT, settings.home / "rollout.yaml")
    target = read_config(CONFIG).target_recall_rate
    recorder = Recorder(directory, quiet=as_json, target_recall_rate=target)
    stay = recorder.is_terminal if keep_up is None else keep_up

    def tell() -> None:
        summary = finish(recorder, settings)
        show_summary(summary, settings, recorder, up=stay, as_json=as_json)

    with (
        always(lambda: None if stay else stack.down(settings)),
        always(tell),
        recorder.noting_failure(),
        recorder.watching_memory(),
    ):
        _run_stages(settings, directory, recorder)
    return 0


def _run_stages(settings: Settings, directory: Path, recorder: Recorder) -> None:
    """Every stage in order; each is timed, and the first that fails ends the demo."""
    material = directory / "material"
    with recorder.stage("stack and material"):
        _prepare(settings, material, recorder)
    with recorder.stage("ingest"):
        _ingest(settings, material, recorder)
    with recorder.stage("validate"):
        run_deployment(settings, "validate/validate", {}, recorder)
    with recorder.stage("train and gate"):
        recorder.champion = train_release(settings, recorder)
    with recorder.stage("package and deploy"):
        put_into_service(settings, recorder.champion["release"], recorder)
    stream = recorder.stream = Stream(settings)
    with recorder.stage("score and ingest real exams"):
        _score_real(settings, stream, material, recorder)
    with recorder.stage("an exam by DICOM, reports back"):
        _send_by_dicom(settings, directory, recorder)
    with recorder.stage("steady stream"):
        stream.send(list_exams(material / "steady"))
        steady = run_deployment(settings, "monitor/monitor", {}, recorder)
        recorder.false_alarms = len(steady["episodes_opened"])
    with recorder.stage("refuse a worse release"):
        recorder.refused = _refuse(settings, recorder)
    _drift(settings, stream, material, recorder)
    with recorder.stage("check"):
        require_closed_loop(recorder, settings)
        require_true_records(settings, recorder)


def _prepare(settings: Settings, material: Path, recorder: Recorder) -> None:
    """Start the stack while the phantoms are drawn."""
    sets = {
        "train": (TRAINING_EXAMS, KNOWN_SCANNERS, 11),
        "steady": (STEADY_EXAMS, KNOWN_SCANNERS, 12),
        "drift": (DRIFT_EXAMS + AFTER_EXAMS, NEW_SCANNER, 13),
    }
    with ThreadPoolExecutor(1) as background, stage_bars(quiet=recorder.quiet) as advance:
        starting = background.submit(stack.up, settings)
        for name, (exams, scanner, seed) in sets.items():
            write_phantoms(
                material / name, exams=exams, scanner=scanner, seed=seed,
                cancer_rate=CANCER_RATE,
                progress=partial(advance, f"{name} phantoms"),
            )  # fmt: skip
        report = starting.result()
    if not report.healthy:
        raise StackUnhealthy("The stack did not become healthy; see `mammo status`.")
    copy_cbis_sample(material / "real")
    recorder.planted = write_bad_files(material / "bad", seed=1)
    for name in recorder.planted:
        digest = hashlib.sha256((material / "bad" / name).read_bytes()).hexdigest()
        recorder.digests[digest] = name


def _ingest(settings: Settings, material: Path, recorder: Recorder) -> None:
    """Labelled phantoms and the planted bad files; all through Prefect."""
    for source, folder in (("rsna", "train"), ("dicom", "bad")):
        given = {"source": source, "directory": str(material / folder), "config": CONFIG}
        report = run_deployment(settings, "ingest/ingest", given, recorder)
        recorder.refuse(report["quarantined"])
    require_planted(recorder)


def train_release(settings: Settings, recorder: Recorder, config: str = CONFIG) -> dict[str, Any]:
    """Train by a file of `configs/`; return the flow's report: release, metrics, the gate."""
    return dict(run_deployment(settings, "train/train", {"config": config}, recorder))


def put_into_service(settings: Settings, release_id: str, recorder: Recorder) -> None:
    """Package and deploy the recorder's champion; raise DeployFailed where the gate refused it."""
    if not recorder.champion["gate"]["passed"]:
        raise DeployFailed(recorder.champion["gate"]["summary"])
    run_deployment(settings, "package/package", {"release_id": release_id}, recorder)
    deployed = run_deployment(settings, "deploy/deploy", {"release_id": release_id}, recorder)
    recorder.champion["bento_tag"] = deployed["bento_tag"]


def _score_real(settings: Settings, stream: Stream, material: Path, recorder: Recorder) -> None:
    """Score first, ingest then: the release has not seen these exams or their outcomes."""
    for folder in sorted(path for path in (material / "real").iterdir() if path.is_dir()):
        answer = stream.post_files(sorted(folder.rglob("*.dcm")))
        if answer is not None:
            recorder.real_exams.append(answer | {"source": f"CBIS-DDSM {folder.name}"})
    given = {"source": "dicom", "directory": str(material / "real")}
    recorder.refuse(run_deployment(settings, "ingest/ingest", given, recorder)["quarantined"])


def _send_by_dicom(settings: Settings, directory: Path, recorder: Recorder) -> None:
    """Let an archive send a real exam to the gateway, and get its reports by DICOM."""
    folders = (path for path in (directory / "material" / "real").iterdir() if path.is_dir())
    archive = Archive(directory / "reports_by_dicom")
    try:
        write_peers(settings, archive)
        files = sorted(min(folders).rglob("*.dcm"))
        study = round_trip(settings, archive, files, PATIENCE_SECONDS)
    finally:
        archive.close()
    reports = {kind: str(path) for kind, path in sorted(archive.reports.items())}
    recorder.by_dicom = {"exam": study.exam, "state": study.state, "reports": reports}
    recorder.event("an exam by DICOM")


def _refuse(settings: Settings, recorder: Recorder) -> dict[str, Any]:
    """Train a challenger that cannot be good; the gate must refuse it by name."""
    planted = train_release(settings, recorder, config="planted_worse")
    if planted["gate"]["passed"]:
        raise ValidationFailed("The gate passed the release that was planted as worse.")
    return {"release": planted["release"], "clauses": planted["gate"]["failed"]}


def _drift(settings: Settings, stream: Stream, material: Path, recorder: Recorder) -> None:
    """The new scanner: the stream goes on while the loop notices and mends.

    Exams that are used up before the loop is done are sent again, more slowly.
    """
    exams = list_exams(material / "drift")
    recorder.event("new scanner")
    began, serving = len(stream.scored), read_pointer(settings.pointer_path)
    with Background(stream, exams[:DRIFT_EXAMS], SECONDS_PER_EXAM, SECONDS_PER_REPEAT):
        with recorder.stage("notice the new scanner"):
            episode = _wait_for_episode(settings, recorder)
        with recorder.stage("recalibrate and retrain"):
            _wait_until_closed(settings, episode["key"], serving, recorder)
    with (
        Background(stream, exams[:DRIFT_EXAMS], SECONDS_PER_EXAM, SECONDS_PER_EXAM),
        recorder.stage("shadow, canary, champion"),
    ):
        serving = read_pointer(settings.pointer_path)
        wait_until_served(settings, recorder, _chosen(recorder), PATIENCE_SECONDS)
        _note_swap(settings, serving, recorder)
    recorder.live = (began, len(stream.scored))
    with recorder.stage("after the swap"):
        stream.send(exams[DRIFT_EXAMS:])
        stream.post_remaining_outcomes()
        run_deployment(settings, "monitor/monitor", {}, recorder)


def _wait_for_episode(settings: Settings, recorder: Recorder) -> dict[str, Any]:
    """Run the monitor until it opens an episode of the new scanner that calls for action."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    profile = SCANNER_PROFILES[NEW_SCANNER]
    scanner = Scanner(profile.manufacturer, profile.model).key
    while time.monotonic() < deadline:
        run_deployment(settings, "monitor/monitor", {}, recorder)
        episodes = PredictionLog(settings.log_url).episodes()
        acting = [
            one
            for one in episodes
            if one["action"] in ACTING and (one["evidence"] or {}).get("scanner") == scanner
        ]
        if acting:
            recorder.event("episode", "alarm")
            return acting[0]
    raise StackUnhealthy("The monitor found nothing; see the drift report in the Prefect UI.")


def _wait_until_closed(
    settings: Settings, key: str, serving: dict[str, Any] | None, recorder: Recorder
) -> None:
    """Follow the episode that the automation's run has taken on, noting each swap.

    ``serving`` is the pointer before the drift began: the run may have moved it
    before anybody waited.
    """
    log, deadline = PredictionLog(settings.log_url), time.monotonic() + PATIENCE_SECONDS
    for poll in itertools.count():
        if time.monotonic() >= deadline:
            break
        serving = _note_swap(settings, serving, recorder)
        approve_what_waits(settings, recorder)
        episode = log.episode(key)
        if episode is not None and episode["status"] == "closed":
            recorder.episode = episode
            return
        run_id = episode and episode["flow_run_id"]
        if run_id and poll % FAILURE_POLLS == 0 and (told := run_has_failed(settings, run_id)):
            raise FlowRunFailed(f"Episode {key} was not closed: {told}")
        time.sleep(1)
    raise StackUnhealthy(f"Episode {key} was not closed; see its flow run in the Prefect UI.")


def _note_swap(
    settings: Settings, serving: dict[str, Any] | None, recorder: Recorder
) -> dict[str, Any] | None:
    """Note another release in service than in the pointer ``serving``; return the pointer now."""
    pointer = read_pointer(settings.pointer_path)
    if id_of(pointer) != id_of(serving):
        recorder.swap(pointer)
    return pointer


def _chosen(recorder: Recorder) -> str | None:
    result = (recorder.episode.get("evidence") or {}).get("result") or {}
    chosen: str | None = result.get("chosen")
    return chosen


def run_deployment(
    settings: Settings, deployment: str, parameters: dict[str, Any], recorder: Recorder
) -> dict[str, Any]:
    """Run a deployment on the stack's worker and wait for what it returns."""
    recorder.say(f"  prefect: {deployment}")
    return dict(run_and_follow(settings, deployment, parameters, timeout=PATIENCE_SECONDS))
