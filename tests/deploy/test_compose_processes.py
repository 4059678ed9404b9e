"""Every container of docker-compose.yml as a plain process: its command, its healthcheck.

Where no Docker engine is to be had, this is the next best: the commands, variables, secrets
and healthchecks of the file itself, in the order of its ``depends_on``, each process without
the modules that its image lacks, against a real PostgreSQL made by the init script. What is
not run here: the images' building, networks, limits and read-only roots; and Grafana.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bentos.screening.deployment import deploy_release
from bentos.screening.packaging import package_release
from flows.alerts_receivers import Receivers
from flows.demo_archive import Archive, round_trip, write_peers
from mammo.backup import read_manifest
from mammo.dicom.phantom import write_phantoms
from mammo.prediction_log import PredictionLog
from mammo.release import Release
from mammo.settings import Settings
from mammo.tokens import TokenStore
from tests.bentos.judging import permit
from tests.bentos.releases import write_release
from tests.deploy.compose import Here, waves
from tests.deploy.images import ROOT
from tests.deploy.scram import ScramCluster, bound_to
from tests.postgres import running_cluster

pytestmark = pytest.mark.stack
NOT_RUN = {"grafana": "no Debian package has it", "postgres": "the cluster of the tests is it"}
START_SECONDS, END_SECONDS = 200.0, {"worker": 300.0}
"""A worker of Prefect ends when the runs that it began have: here they take minutes together."""
OTHERS_END_SECONDS = 120.0
RELEASE = "r-20260301-aaaaaaaa"
WITH_THE_TESTS = ("env", "--default-signal=INT", "setpriv", "--pdeathsig", "TERM", "--")
"""Ends a container when the tests are killed; it becomes the command, under the same id.

An engine starts with no signal ignored; tests in the background of a shell ignore SIGINT, and
a worker of Prefect, which hands SIGTERM on to itself as SIGINT, would never end."""


class Containers:
    """The processes, by the names of their containers."""

    def __init__(self, here: Here) -> None:
        self.here, self.running = here, dict[str, subprocess.Popen[bytes]]()
        self.seconds: dict[str, float] = {}
        self.absent: list[str] = []

    def start(self, wave: list[str]) -> None:
        """Start containers that do not wait for each other; wait until all are healthy.

        What ends by itself must have ended well.
        """
        began = time.monotonic()
        for name in wave:
            self._launch(name)
        for name in [one for one in wave if one in self.running]:
            check = self.here.healthcheck(name)
            if check is None:
                assert self.running.pop(name).wait(START_SECONDS) == 0, self.told(name)
            else:
                self._wait_healthy(name, check)
            self.seconds[name] = round(time.monotonic() - began, 1)

    def _launch(self, name: str) -> None:
        command = self.here.command(name)
        if command is None:
            self.absent.append(name)
            return
        self.here.bind(name)
        with self.log(name).open("wb") as out:
            self.running[name] = subprocess.Popen(
                [*WITH_THE_TESTS, *command], env=self.here.environment(name), cwd=ROOT, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def _wait_healthy(self, name: str, check: list[str]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (failed := self.check(name, check)) is not None:
            assert self.running[name].poll() is None, f"{name} ended: {self.told(name)}"
            assert time.monotonic() < deadline, f"{name}: {failed}\n{self.told(name)}"
            time.sleep(0.5)

    def check(self, name: str, check: list[str]) -> str | None:
        """Run the healthcheck; return what it said if it failed."""
        done = subprocess.run(
            check, env=self.here.environment(name), cwd=ROOT, capture_output=True, check=False
        )
        return None if done.returncode == 0 else (done.stdout + done.stderr).decode()[-500:]

    def stop(self, name: str) -> float:
        """Ask a container to end as an engine does; return how long it took."""
        process, began = self.running.pop(name), time.monotonic()
        process.terminate()
        try:
            process.wait(END_SECONDS.get(name, OTHERS_END_SECONDS))
        finally:
            _kill_group(process.pid)
        return round(time.monotonic() - began, 1)

    def log(self, name: str) -> Path:
        """Return the file with what a container prints."""
        return self.here.folder / f"{name}.log"

    def told(self, name: str) -> str:
        """Return the end of it."""
        return self.log(name).read_text(errors="replace")[-3000:]

    def kill(self) -> None:
        """End what is left."""
        for process in self.running.values():
            _kill_group(process.pid)
            process.wait()


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # all of it has ended
        return


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    """A mailbox and a webhook of the team's."""
    with Receivers(tmp_path_factory.mktemp("messages")) as found:
        yield found


@pytest.fixture(scope="module")
def containers(
    tmp_path_factory: pytest.TempPathFactory, receivers: Receivers
) -> Iterator[Containers]:
    """All of them, started in their order and healthy."""
    here = bound_to(tmp_path_factory.mktemp("compose"))
    here.given["alertmanager"] = {
        "MAMMO_SMTP_HOST": receivers.smtp_address,
        "MAMMO_SMTP_FROM": "mammo@hospital.example",
        "MAMMO_SMTP_TLS": "off",
        "MAMMO_ONCALL_MAIL": "on-call@hospital.example",
        "MAMMO_TEAM_MAIL": "team@hospital.example",
        "MAMMO_READERS_MAIL": "readers@hospital.example",
    }
    (here.secrets / "watchdog_url").write_text(f"{receivers.webhook_url}/watchdog\n")
    found = Containers(here)
    with running_cluster() as plain:
        cluster = ScramCluster(plain, here)
        cluster.init()
        cluster.start()
        try:
            cluster.run_init_script(here)
            assert found.check("postgres", here.healthcheck("postgres") or []) is None
            for wave in waves(here.compose["services"]):
                found.start([name for name in wave if name not in NOT_RUN])
            print(f"healthy after seconds: {found.seconds}; not run: {[*NOT_RUN, *found.absent]}")
            yield found
        finally:
            found.kill()
            cluster.stop("immediate")


@pytest.fixture(scope="module")
def settings(containers: Containers) -> Settings:
    """The installation as the worker's container sees it."""
    here = containers.here
    inside = here.environment("worker")
    return Settings(
        home=Path(inside["MAMMO_HOME"]),
        database_url=SecretStr((here.secrets / "mammo_database_url").read_text()),
        token=SecretStr((here.volume("tokens") / "flows").read_text().strip()),
        service_port=here.ports[3000],
        mlflow_port=here.ports[5000],
        dicom_port=here.ports[11112],
        auth="on",
        _env_file=None,
    )


def test_all_are_healthy(containers: Containers) -> None:
    services = set(containers.here.compose["services"])
    ended = {"first", "deployments"}
    assert set(containers.running) == services - set(NOT_RUN) - set(containers.absent) - ended
    for name in containers.running:
        check = containers.here.healthcheck(name)
        assert check and containers.check(name, check) is None, name


def test_an_exam_is_scored_through_the_service(
    settings: Settings, tmp_path: Path, containers: Containers
) -> None:
    directory = write_release(settings.releases_dir, RELEASE)
    package_release(directory, settings)
    permit(settings, Release.read(directory))
    deploy_release(RELEASE, settings)
    write_phantoms(tmp_path, exams=1, scanner="aurora", seed=1, processes=1)
    images = sorted((tmp_path / "train_images").rglob("*.dcm"))
    files = [("files", (path.name, path.read_bytes())) for path in images]
    token = TokenStore(settings.tokens_path).add("test", ["predict"])
    url = f"{settings.service_url}/v1/exams"
    assert httpx.post(url, files=files, timeout=60).status_code == 401
    allowed = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(url, files=files, headers=allowed, timeout=120)
    assert (answer.status_code, answer.json()["release"]) == (200, RELEASE), containers.told(
        "service"
    )
    log = PredictionLog(settings.log_url)
    assert len(log.exams()) == 1, "it is in PostgreSQL"
    log.close()


def test_an_archive_sends_an_exam_and_gets_reports(settings: Settings, tmp_path: Path) -> None:
    """The gateway asks the service with its own token."""
    write_phantoms(tmp_path, exams=1, scanner="aurora", seed=2, processes=1)
    with closing(Archive(tmp_path / "back")) as archive:
        write_peers(settings, archive)
        images = sorted((tmp_path / "train_images").rglob("*.dcm"))
        study = round_trip(settings, archive, images, patience_seconds=90)
        assert (study.state, study.release) == ("scored", RELEASE)
        assert set(archive.reports) == {"cad", "report", "marks"}


def test_grafana_may_read_and_no_more(settings: Settings, containers: Containers) -> None:
    word = (containers.here.secrets / "grafana_reader_password").read_text()
    url = sa.make_url(settings.log_url).set(username="mammo_reader", password=word)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as reader:
        assert reader.execute(sa.text("SELECT count(*) FROM predictions")).scalar_one() >= 3
    with (
        engine.connect() as reader,
        pytest.raises(sa.exc.DBAPIError, match=r"read-only|permission"),
    ):
        reader.execute(sa.text("DELETE FROM predictions"))
    with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
        sa.create_engine(url.set(database="mlflow")).connect()


def test_prometheus_scrapes_with_its_token(containers: Containers) -> None:
    if "prometheus" in containers.absent:
        pytest.skip("no prometheus is installed")
    address = f"http://127.0.0.1:{containers.here.ports[9090]}/api/v1/query"
    deadline, up = time.monotonic() + 60, {}
    while set(up.values()) != {"1"} or len(up) < 3:
        assert time.monotonic() < deadline, up
        time.sleep(1)
        found: Any = httpx.get(address, params={"query": "up"}).json()["data"]["result"]
        up = {one["metric"]["job"]: one["value"][1] for one in found}
    assert set(up) == {"mammo-service", "mammo-loop", "alertmanager"}


def test_people_are_told(containers: Containers, receivers: Receivers) -> None:
    """Prometheus's word comes by webhook, and what is critical by mail to those of .env."""
    if {"prometheus", "alertmanager"} & set(containers.absent):
        pytest.skip("no prometheus and prometheus-alertmanager are installed")
    word = receivers.wait_for_call("firing", "MammoWatchdog", 90)
    assert word and word["receiver"] == "watchdog"
    labels = {"alertname": "MammoServiceDown", "severity": "critical", "component": "service"}
    alerts = f"http://127.0.0.1:{containers.here.ports[9093]}/api/v2/alerts"
    told = {"labels": labels, "annotations": {"summary": "a test of the way to people"}}
    assert httpx.post(alerts, json=[told]).status_code == 200
    mail = receivers.wait_for_mail("a test of the way to people", 60)
    assert mail is not None and mail["to"] == "on-call@hospital.example"


def test_the_worker_backs_up_all_three_databases(containers: Containers) -> None:
    inside = containers.here.environment("worker")
    to = containers.here.volume("backups") / "night"
    command = [containers.here.command("worker")[0], "-m", "flows.cli", "backup", str(to)]  # type: ignore[index]
    done = subprocess.run(
        command, env=inside, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kinds = {name: one["kind"] for name, one in read_manifest(to).databases.items()}
    servers = {name for name, kind in kinds.items() if kind == "postgresql"}
    assert servers == {"log", "mlflow", "prefect"}
    assert read_manifest(to).rows["log"]["predictions"] >= 3


def test_stopped_in_the_reverse_order(containers: Containers) -> None:
    """The last test: each ends by itself when it is asked to, before an engine would kill it."""
    took = {name: containers.stop(name) for name in reversed([*containers.running])}
    print(f"ended after seconds: {took}")
    late = {one: s for one, s in took.items() if s >= END_SECONDS.get(one, OTHERS_END_SECONDS)}
    assert late == {}
