"""A fake screener: what the service does is tested apart from what a model says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from bentos.screening.app import create_app
from mammo.errors import EmptyRequest, MixedExams, NothingReadable, ParityError
from mammo.exam import OperatingPoint, Scanner
from mammo.pointer import write_pointer
from mammo.preprocess import PreprocessConfig
from mammo.release import Release
from mammo.screening import BreastScore, ExamReport, Refused, ViewScore
from mammo.settings import Settings


def make_release(release_id: str, parent: str | None = None) -> Release:
    return Release(
        id=release_id,
        parent=parent,
        kind="trained",
        created_at="2026-03-01T09:00:00+00:00",
        target="cancer",
        architecture="fake",
        data_version="d1",
        trained_on="phantoms",
        preprocess=PreprocessConfig(),
        operating_points={"*": OperatingPoint("*", 1.0, 0.0, 0.5, 0.1)},
        metrics={"auc": 0.9},
    )


class FakeScreener:
    """Scores files of the form ``exam|laterality view``; ``refuse:CODE`` is refused."""

    def __init__(self, directory: Path, seconds: float = 0.0) -> None:
        self.release = make_release(directory.name)
        self.seconds = seconds

    def score_files(
        self, files: Sequence[tuple[str, bytes]], *, key: bytes, site: str
    ) -> ExamReport:
        time.sleep(self.seconds)
        if not files:
            raise EmptyRequest("No file came with the request.")
        refused = [
            Refused(name, data.split(b":")[1].decode(), "It is not a mammogram.")
            for name, data in files
            if data.startswith(b"refuse:")
        ]
        good = [data.decode() for _, data in files if not data.startswith(b"refuse:")]
        if any(text == "crash" for text in good):
            raise ValueError("Doe^Jane cannot be read")
        if not good:
            raise NothingReadable(f"None of the {len(files)} files could be read.", refused)
        exams = {text.split("|")[0] for text in good}
        if len(exams) > 1:
            raise MixedExams("The files belong to 2 exams; send one exam a request.")
        views = [ViewScore("I-1", *text.split("|")[1].split(), 0.5, ()) for text in good]
        sides = sorted({view.laterality for view in views})
        return ExamReport(
            exam_id=exams.pop(),
            patient_id="P-1",
            scanner=Scanner("Phantom", "A1", "1.0"),
            site=site,
            acquired_on=date(2026, 2, 28),
            release_id=self.release.id,
            views=tuple(views),
            breasts=tuple(BreastScore(side, 0.5, 0.62, True) for side in sides),
            logit=0.5,
            probability=0.62,
            recall=True,
            threshold=0.5,
            quality=("MISSING_VIEW",) if len(views) < 4 else (),
            refused=tuple(refused),
            embedding=np.zeros(32, np.float32),
            features={"contrast": 0.2},
            latency_ms=1.0,
        )


def load_fake(directory: Path) -> FakeScreener:
    if directory.name.endswith("-bad"):
        raise ParityError("The golden image scores 1.0 here, 2.0 where it was made.")
    return FakeScreener(directory)


def point_to(settings: Settings, release_id: str, **more: object) -> None:
    pointer = {
        "release_id": release_id,
        "bento_tag": f"screening:{release_id}",
        "release_dir": f"/nowhere/{release_id}",
        "previous": None,
        "changed_at": str(time.time()),
    }
    write_pointer(settings.pointer_path, pointer | more)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", max_file_mb=2, max_request_mb=5, _env_file=None)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    point_to(settings, "r-1")
    app = create_app(settings, load=load_fake)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


class Hammer:
    """Sends one request after another from several threads until told to stop."""

    def __init__(self, send: object, threads: int = 4) -> None:
        self.statuses: list[int] = []
        self.releases: list[str] = []
        self._send = send
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        while not self._stop.is_set():
            response = self._send()
            self.statuses.append(response.status_code)
            self.releases.append(response.json().get("release", ""))

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
