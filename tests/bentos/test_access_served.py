"""The client and the tokens against a real server: an open door, then a shut one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.servers import free_port
from mammo.client import Screening
from mammo.contract import OutcomeIn
from mammo.dicom.phantom import write_phantoms
from mammo.errors import ResultUnknown, RoleMissing, TokenInvalid, TokenMissing
from mammo.pointer import write_pointer
from mammo.settings import Settings
from mammo.tokens import ROLES, TokenStore
from tests.bentos.releases import write_release
from tests.bentos.test_served import ROOT, answers, serve, wait_until

RELEASE = "r-20260301-aaaaaaaa"
pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A service with a tiny release."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, service_port=free_port(), mlflow_port=1, _env_file=None)
    release = {
        "release_id": RELEASE,
        "bento_tag": None,
        "release_dir": str(write_release(settings.releases_dir, RELEASE)),
        "previous": None,
        "changed_at": datetime.now(UTC).isoformat(),
    }
    write_pointer(settings.pointer_path, release)
    with serve(settings, "bentos.screening.service:Screening", "--working-dir", str(ROOT)):
        wait_until(lambda: answers(settings, "/readyz"))
        yield settings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The four views of a phantom exam."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, exams=1, scanner="aurora", seed=1, processes=1)
    return sorted((folder / "train_images").rglob("*.dcm"))


def test_the_door_is_open_until_the_first_token(settings: Settings, files: list[Path]) -> None:
    url = settings.service_url
    assert "access is OPEN" in (settings.home / "service.log").read_text()
    with Screening(url) as service:
        assert service.ready().release == service.release().release == RELEASE
        first = service.score(files, key="one")
        assert (first.release, len(first.views), first.refused) == (RELEASE, 4, [])
        assert service.score(files[::-1], key="one").request == first.request
        assert service.exam(first.exam).times_scored == 1
        job = service.submit(files)
        assert service.wait(job, timeout=60).score == first.score
        assert [len(one.image_id) > 0 for one in service.findings(first.exam).views] == [True] * 4
        with pytest.raises(ResultUnknown, match="there is no heat map"):  # nor has the release one
            service.heatmap(first.exam)
        assert service.report(first.exam)[128:132] == b"DICM"
        told = OutcomeIn(
            exam=first.exam, cancer=False, known_at=datetime.now(UTC), source="registry"
        )
        assert [service.add_outcomes([told]).new for _ in range(2)] == [1, 0]
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 200  # the viewer's files
    rebound = httpx.get(f"{url}/v1/release", headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["code"]) == (421, "HOST_FOREIGN")


def test_from_the_first_token_on_each_role_has_its_own(
    settings: Settings, files: list[Path]
) -> None:
    url, store = settings.service_url, TokenStore(settings.tokens_path)
    secrets = {role: store.add(f"its-{role}", [role]) for role in ROLES}
    with Screening(url) as nobody, pytest.raises(TokenMissing):
        nobody.score(files)
    environment = {"MAMMO_TOKEN": secrets["predict"], "MAMMO_HOME": str(settings.home)}
    line = ["predict", *map(str, files), "--url", url, "--json"]
    scored = json.loads(CliRunner(env=environment).invoke(app, line).stdout)
    wanted = pytest.raises(RoleMissing, match="needs the role read; the token its-predict has")
    with Screening(url, secrets["predict"]) as predicting, wanted:
        predicting.exam(scored["exam"])
    with Screening(url, secrets["read"]) as reading:
        assert reading.exam(scored["exam"]).request == scored["request"]
        store.revoke("its-read")
        with pytest.raises(TokenInvalid):
            reading.release()
    audit = settings.audit_path.read_text().splitlines()
    assert "its-predict" in {json.loads(line)["who"] for line in audit}
    everything = "".join((settings.home / "service.log").read_text().split("\n"))
    assert not [one for one in secrets.values() if one in everything or one in "".join(audit)]


@pytest.mark.parametrize("path", ["/v1/exams", "/", "/schema.json", "/docs.json", "/any/thing"])
def test_no_route_of_the_server_around_it_passes_by(settings: Settings, path: str) -> None:
    kind = {"Content-Type": "application/vnd.bentoml+pickle"}
    answer = httpx.post(f"{settings.service_url}{path}", content=b"\x80\x04N.", headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_BODY")
    plain = httpx.post(f"{settings.service_url}{path}", content=b"x")
    assert (plain.status_code, plain.json()["code"]) == (401, "TOKEN_MISSING")
    assert "server" not in plain.headers
    assert plain.headers["x-content-type-options"] == "nosniff"
