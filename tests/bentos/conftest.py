"""A fake screener: what the service does is tested apart from what a model says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from bentos.screening.app import create_app
from mammo.errors import MixedExams, NothingReadable, ParityError, ScoreNotFinite
from mammo.exam import OperatingPoint, Scanner
from mammo.patience import Patience
from mammo.pointer import write_pointer
from mammo.preprocess import Geometry, Prepared, PreprocessConfig
from mammo.release import Release
from mammo.scoring import Scoring
from mammo.screening import BreastScore, ExamReport, Refused, ViewScore
from mammo.settings import Settings


def make_release(release_id: str, parent: str | None = None, kind: str = "trained") -> Release:
    return Release(
        id=release_id,
        parent=parent,
        kind=kind,
        created_at="2026-03-01T09:00:00+00:00",
        target="cancer",
        architecture="fake",
        data_version="d1",
        trained_on="phantoms",
        preprocess=PreprocessConfig(),
        operating_points={"*": OperatingPoint("*", 1.0, 0.0, 0.5, 0.1)},
        metrics={"auc": 0.9},
        digest=hashlib.sha256(release_id.encode()).hexdigest(),
    )


@dataclass(frozen=True)
class FakeRead:
    """What the fake read: the exam, its views as (laterality, view), what was refused."""

    exam_id: str
    files: tuple[tuple[str, str], ...]
    refused: tuple[Refused, ...]
    views: tuple[Any, ...]


class FakeScreener:
    """Scores files of the form ``exam|laterality view``; ``refuse:CODE`` is refused.

    ``crash`` is an error that nobody expected, ``nan`` a score that is none.
    """

    def __init__(self, directory: Path, seconds: float = 0.0, logit: float = 0.5) -> None:
        self.release = make_release(directory.name)
        self.seconds, self.logit = seconds, logit
        self.familiarity_judged = True

    def same_preparation(self, other: FakeScreener) -> bool:
        return self.release.preprocess == other.release.preprocess

    def read_exam(
        self,
        files: Sequence[tuple[str, bytes]],
        *,
        key: bytes,
        site: str,
        patience: Patience | None = None,
        identity: bool = False,
    ) -> FakeRead:
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            time.sleep(0.005)
            if patience is not None:
                patience.require()
        refused = tuple(
            Refused(name, data.split(b":")[1].decode(), "It is not a mammogram.")
            for name, data in files
            if data.startswith(b"refuse:")
        )
        good = [data.decode() for _, data in files if not data.startswith(b"refuse:")]
        if any(text == "crash" for text in good):
            raise ValueError("Doe^Jane cannot be read")
        if not good:
            raise NothingReadable(f"None of the {len(files)} files could be read.", refused)
        exams = {text.split("|")[0] for text in good}
        if len(exams) > 1:
            raise MixedExams("The files belong to 2 exams; send one exam a request.")
        exam = exams.pop()
        pairs = tuple(tuple(text.split("|")[1].split()) for text in good)
        return FakeRead(exam, pairs, refused, (_view(exam),) * len(pairs))  # type: ignore[arg-type]

    def score_read(
        self, read: FakeRead, *, patience: Patience | None = None, side_by_side: bool = True
    ) -> Scoring:
        if read.exam_id == "nan" or self.logit != self.logit:
            raise ScoreNotFinite("The network's answer is no number.")
        views = [ViewScore("I-1", *pair, self.logit, ()) for pair in read.files]
        codes = {"MISSING_VIEW": len(views) < 4, "FILE_REFUSED": bool(read.refused)}
        sides = sorted({view.laterality for view in views})
        report = ExamReport(
            exam_id=read.exam_id,
            patient_id="P-1",
            scanner=Scanner("Phantom", "A1", "1.0"),
            site="site-1",
            acquired_on=date(2026, 2, 28),
            release_id=self.release.id,
            views=tuple(views),
            breasts=tuple(BreastScore(side, self.logit, 0.62, True) for side in sides),
            logit=self.logit,
            probability=0.62,
            recall=True,
            threshold=0.5,
            quality=tuple(code for code, holds in sorted(codes.items()) if holds),
            refused=read.refused,
            embedding=np.zeros(32, np.float32),
            features={"contrast": 0.2},
            latency_ms=1.0,
            scale=7,
            abstention=("OUT_OF_DISTRIBUTION",),
            familiarity_judged=self.familiarity_judged,
        )
        return Scoring(report, read.views, None, None)


def _view(exam: str) -> Any:
    prepared = Prepared(np.zeros((8, 4), np.uint16), Geometry(0, 0, 4, 8, 1.0, 0, 0, 8, 4), {}, ())
    return SimpleNamespace(
        mammogram=SimpleNamespace(exam_id=exam),
        prepared=prepared,
        original_ids=None,
        decode_seconds=0.02,
        prepare_seconds=0.01,
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
    home = tmp_path / "home"
    return Settings(home=home, max_file_mb=2, max_request_mb=5, image_days=0, _env_file=None)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    point_to(settings, "r-1")
    app = create_app(settings, load=load_fake)
    with open_client(app) as client:
        yield client


def open_client(app: Any) -> TestClient:
    """Return a client that asks from this machine, which needs no token."""
    return TestClient(
        app,
        base_url="http://127.0.0.1:3000",
        client=("127.0.0.1", 5000),
        raise_server_exceptions=False,
    )


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
