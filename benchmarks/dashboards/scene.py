"""An installation in which everything has happened once that a dashboard tells of.

Real: PostgreSQL, the served release and every HTTP request, the DICOM gateway and an archive, an
ingest as a flow of Prefect, the monitor's run and its episode, the outcomes, shadow, canary and
swaps, Prometheus and what it scrapes. Made: the women are phantoms, the releases tell
brightness, the gate's verdicts and the approvals are written as a gate and a person leave them,
and two years pass in the log at once, so that outcomes are old.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
from pydantic import SecretStr

from benchmarks.chaos.releases import write_good, write_nan
from benchmarks.chaos.rollout import lay_bento
from benchmarks.chaos.served import make_home, serve
from benchmarks.dashboards.servers import (
    ingest_as_flow,
    starting_prefect,
    starting_prometheus,
    starting_reports,
    wait_until_well,
)
from benchmarks.dashboards.women import Woman, draw_women
from benchmarks.gateway.running import running as running_gateway
from bentos.screening.change_record import Why
from bentos.screening.deployment import deploy_release, stop_challenger
from flows.demo_archive import Archive, round_trip, write_peers
from flows.drill_log import let_time_pass
from flows.servers import free_port
from mammo.dicom.phantom_bad import write_bad_files
from mammo.prediction_log import PredictionLog
from mammo.release import Release
from mammo.settings import Settings
from monitoring.config import MonitorConfig
from monitoring.run import run_monitor
from tests.bentos.judging import judge, permit

FIRST, SECOND, FAULTY, THIRD = (f"r-2026030{number}-{letter * 8}" for number, letter in
                                enumerate("abcd", 1))  # fmt: skip
KNOWN, NEW = ("aurora", "borealis", "cygnus"), ("draco",)
REFERENCE_EXAMS, STEADY_EXAMS, DRIFT_EXAMS, TRIAL_EXAMS = 90, 45, 60, 8
CLIENTS = 3
RECALL_RATE = 0.15
YEARS_PASS_DAYS = 760
SETTLE_SECONDS = 20
"""The reports process counts the quarantine and asks Prefect every 15 seconds at most."""
QUIET = MonitorConfig(evidently_on="never", streams=150, stream_exams=1000)
"""Evidently's report takes seconds; short simulated streams are enough to set a threshold."""


class Scene:
    """One installation, a client of its service, and the Prometheus that watches both."""

    def __init__(self, settings: Settings, prometheus: str) -> None:
        self.settings, self.prometheus = settings, prometheus
        self.client = httpx.Client(base_url=settings.service_url, timeout=120)
        self.log = PredictionLog(settings.log_url).create()

    def send(self, women: Iterable[Woman]) -> list[tuple[str, bool]]:
        """Send exams; return each exam's pseudonym and whether there is a cancer."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            return list(clients.map(self._send, women))

    def _send(self, one: Woman) -> tuple[str, bool]:
        answer = self.client.post("/v1/exams", files=one.parts).raise_for_status().json()
        return answer["exam"], one.cancer

    def tell(self, known: Iterable[tuple[str, bool]], source: str = "biopsy") -> None:
        """Tell the service what became of exams."""
        now = datetime.now(UTC).isoformat()
        outcomes = [
            {"exam": exam, "cancer": cancer, "known_at": now, "source": source}
            for exam, cancer in known
        ]
        self.client.post("/v1/outcomes", json=outcomes).raise_for_status()

    def send_bad_requests(self) -> list[int]:
        """Send what is refused: no DICOM, a broken file, none at all; return the statuses."""
        whole = next(draw_women(1, KNOWN, 90)).files[0]
        bodies: tuple[dict[str, Any], ...] = (
            {"files": [("files", ("a.dcm", b"no DICOM"))]},
            {"files": [("files", ("a.dcm", whole[: len(whole) // 2]))]},
            {"json": {}},
        )
        return [self.client.post("/v1/exams", **body).status_code for body in bodies]

    def add_release(self, release_id: str, number: int, bias: float, reference: Any = None) -> None:
        """Write a release, permitted by gate and person, and its Bento."""
        directory = write_good(self.settings, release_id, bias)
        if reference is not None:
            reference.to_parquet(directory / "reference.parquet")
            Release.read(directory).seal(directory, self.settings.keys_dir)
        permit(self.settings, Release.read(directory))
        lay_bento(self.settings, directory, number)


def play(scene: Scene, folder: Path, tell: Any) -> None:
    """Let everything happen once, in the order in which it does in a hospital."""
    tell("an ingest with bad files begins; a first release, exams of three scanners")
    ingesting = ingest_as_flow(scene.settings, _lay_landed(folder / "landed"))
    scene.add_release(FIRST, 1, bias=0.0)
    deploy_release(FIRST, scene.settings)
    first = scene.send(draw_women(REFERENCE_EXAMS, KNOWN, 1))
    scene.send_bad_requests()
    tell("a second one, whose reference they are: shadow, then service")
    bias, reference = reference_of(scene.log, dict(first))
    scene.add_release(SECOND, 2, bias, reference)
    deploy_release(SECOND, scene.settings, stage="shadow")
    scene.send(draw_women(TRIAL_EXAMS, KNOWN, 2))
    deploy_release(SECOND, scene.settings)
    tell("a steady stream, its outcomes, and two years that pass")
    steady = scene.send(draw_women(STEADY_EXAMS, KNOWN, 3))
    scene.tell(first + steady)
    let_time_pass(scene.settings.log_url, YEARS_PASS_DAYS)
    tell("a new scanner, exams without a view, an exam by DICOM")
    moved = scene.send(draw_women(DRIFT_EXAMS, NEW, 4, lose_every=5))
    scene.tell(moved[:10], "follow-up")
    _send_by_dicom(scene, folder)
    tell("the monitor names the drift; a canary fails; a release answers the episode")
    _drift_to_release(scene, bias, reference)
    if ingesting.wait(180):
        raise RuntimeError("the flow that ingests failed; see ingest.log")


def _lay_landed(folder: Path) -> Path:
    """Lay the files of some exams, and one of each fault, where an ingest looks."""
    write_bad_files(folder, seed=1)
    for number, woman in enumerate(draw_women(4, KNOWN, 8)):
        for place, data in enumerate(woman.files):
            (folder / f"{number}-{place}.dcm").write_bytes(data)
    return folder


def reference_of(log: PredictionLog, cancers: dict[str, bool]) -> tuple[float, pd.DataFrame]:
    """Return the bias with which `RECALL_RATE` of the exams are recalled, and they as reference.

    The releases' logit is the light plus the bias: what the first release scored tells what
    another bias gives.
    """
    frame = log.exams()
    bias = -float(frame["logit"].quantile(1 - RECALL_RATE))
    logit = frame["logit"] + bias
    known = pd.array([int(cancers[exam]) for exam in frame["exam_id"]], dtype="Int8")
    return bias, frame.assign(
        logit=logit, probability=1 / (1 + np.exp(-logit)), recall=logit >= 0, cancer=known
    )


def _send_by_dicom(scene: Scene, folder: Path) -> None:
    archive = Archive(folder / "archive")
    write_peers(scene.settings, archive)
    files = []
    for place, data in enumerate(next(draw_women(1, NEW, 5)).files):
        files.append(folder / f"sent-{place}.dcm")
        files[-1].write_bytes(data)
    with running_gateway(scene.settings):
        round_trip(scene.settings, archive, files, 120)
        time.sleep(5)  # Prometheus sees it up, and the delivery done
    archive.close()


def _drift_to_release(scene: Scene, bias: float, reference: pd.DataFrame) -> None:
    settings = scene.settings
    report = run_monitor(settings, config=QUIET)
    episode = report.episodes_opened[0]["key"]
    faulty = write_nan(settings, FAULTY)
    permit(settings, Release.read(faulty))
    lay_bento(settings, faulty, 3)
    # all exams: of a share, the site's key could send it none
    deploy_release(FAULTY, settings, stage="canary", percent=100)
    scene.send(draw_women(TRIAL_EXAMS, KNOWN, 6))
    stop_challenger(settings)
    judge(settings, "r-20260305-eeeeeeee", "e" * 64, passed=False, champion=SECOND)
    scene.add_release(THIRD, 4, bias + 0.05, reference)
    deploy_release(THIRD, settings, why=Why(reason="drift", episode_key=episode))
    scene.send(draw_women(TRIAL_EXAMS, NEW, 7))


@contextmanager
def running_scene(folder: Path, database_url: str, tell: Any) -> Iterator[Scene]:
    """Play the scene in a folder and a database; give it while everything still runs."""
    settings = make_home(
        folder / "home",
        database_url=SecretStr(database_url),
        reports_port=free_port(),
        dicom_port=free_port(),
        dicom_quiet_seconds=0.5,
        dicom_free_mb=1,
        prefect_port=free_port(),
        image_days=0.0,
    )
    jobs = {
        "mammo-service": f"127.0.0.1:{settings.service_port}",
        "mammo-loop": f"127.0.0.1:{settings.reports_port}",
    }
    tell("Prefect, service, reports, Prometheus")
    PredictionLog(settings.log_url).create()
    with (
        starting_prefect(settings) as prefect,
        starting_reports(settings) as reports,
        starting_prometheus(folder / "prometheus", jobs) as (prometheus, address),
        serve(settings, ready=False),
    ):
        wait_until_well(prefect, reports, prometheus)
        scene = Scene(settings, address)
        play(scene, folder, tell)
        time.sleep(SETTLE_SECONDS)
        yield scene
