"""The service as it is served: real Bentos, a real server, mammograms over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bentos.screening.deployment import deploy_release, rollback
from bentos.screening.packaging import find_packaged, package_release
from flows.servers import free_port
from mammo.dicom.phantom import write_phantoms
from mammo.prediction_log import PredictionLog
from mammo.release import Release
from mammo.settings import Settings
from tests.bentos.conftest import Hammer
from tests.bentos.judging import permit
from tests.bentos.releases import write_release

ROOT = Path(__file__).parents[2]
FIRST, SECOND = "r-20260301-aaaaaaaa", "r-20260302-bbbbbbbb"
pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with two releases and their Bentos."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, service_port=free_port(), mlflow_port=1, _env_file=None)
    for release_id, bias in ((FIRST, 0.0), (SECOND, 1.0)):
        directory = write_release(settings.releases_dir, release_id, bias)
        package_release(directory, settings)
        permit(settings, Release.read(directory))
    return settings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The four views of a phantom exam, as parts of a request."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, exams=1, scanner="aurora", seed=1, processes=1)
    found = sorted((folder / "train_images").rglob("*.dcm"))
    return [("files", (path.name, path.read_bytes())) for path in found]


@contextmanager
def serve(settings: Settings, what: str, *options: str) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "bentoml", "serve", what, "--host", "127.0.0.1"]
    environment = settings.child_environment() | {"MAMMO_MLFLOW_PORT": "1"}
    with (settings.home / "service.log").open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(settings.service_port), *options],
            env=environment,
            cwd=settings.home,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: answers(settings, "/healthz"))
            yield psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(30)


def answers(settings: Settings, path: str) -> bool:
    try:
        return httpx.get(f"{settings.service_url}{path}", timeout=5).is_success
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the service did not come up"
        time.sleep(0.2)


def test_swaps_roll_back_and_a_killed_worker(settings: Settings, files: list[Any]) -> None:
    service = "bentos.screening.service:Screening"
    log = PredictionLog(settings.log_url)
    with serve(settings, service, "--working-dir", str(ROOT)) as server:
        assert httpx.get(f"{settings.service_url}/readyz").json()["code"] == "NOT_READY"
        deploy_release(FIRST, settings)
        with (
            httpx.Client(base_url=settings.service_url, timeout=60) as client,
            Hammer(lambda: client.post("/v1/exams", files=files), threads=2) as hammer,
        ):
            assert deploy_release(SECOND, settings).previous == FIRST
            wait_until(lambda: SECOND in hammer.releases)
            assert rollback(settings).release == FIRST
        assert set(hammer.statuses) == {200}
        assert set(hammer.releases) == {FIRST, SECOND}
        scores = log.exams().groupby("release_id")["logit"].agg(["min", "max"])
        assert (scores["min"] == scores["max"]).all(), "a release gives one score to one exam"

        worker = server.children()[0]
        os.kill(worker.pid, signal.SIGKILL)
        assert len(log.exams()) == len(hammer.statuses), "nothing answered is lost"
        worker.wait(10)
        wait_until(lambda: answers(settings, "/readyz"))
        answer = httpx.post(f"{settings.service_url}/v1/exams", files=files[:1], timeout=60)
        assert (answer.json()["release"], answer.status_code) == (FIRST, 200)
        assert "MISSING_VIEW" in answer.json()["quality"]
    said = (settings.home / "service.log").read_text()
    assert "POST /v1/exams 200" in said
    assert not any(part[1][0] in said for part in files), "no file name is in the log"


def test_bento_alone_serves_the_release_inside(
    settings: Settings, files: list[Any], tmp_path: Path
) -> None:
    tag = find_packaged(settings, SECOND).tag
    alone = settings.model_copy(update={"home": tmp_path, "service_port": free_port()})
    (tmp_path / "bentoml").symlink_to(settings.bentoml_home)
    with serve(alone, tag):
        release = httpx.get(f"{alone.service_url}/v1/release").json()
        assert (release["release"], release["bento_tag"]) == (SECOND, None)
        answer = httpx.post(f"{alone.service_url}/v1/exams", files=files, timeout=60)
        assert (answer.status_code, len(answer.json()["views"])) == (200, 4)
    assert len(PredictionLog(alone.log_url).exams()) == 1


def test_packaging_again_builds_nothing(settings: Settings) -> None:
    directory = settings.releases_dir / FIRST
    tag = package_release(directory, settings)
    built = find_packaged(settings, tag).created_at
    assert package_release(directory, settings) == tag
    assert find_packaged(settings, tag).created_at == built
    embedded = find_packaged(settings, tag).release_dir
    assert (embedded / "model.onnx").read_bytes() == (directory / "model.onnx").read_bytes()
