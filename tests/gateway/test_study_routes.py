"""Studies by HTTP and at the command line, and images by STOW-RS into the same inbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from bentos.gateway import inbox as inbox_module
from bentos.gateway.alive import ALIVE, beat
from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from bentos.gateway.tables import connect
from bentos.screening.app import create_app
from mammo.settings import Settings
from mammo.tokens import TokenStore
from tests.bentos.conftest import load_fake, open_client, point_to
from tests.gateway.images import OTHERS, PATIENT, STUDY, image, make_home

TYPE = 'multipart/related; type="application/dicom"; boundary=mammo'
FAILED, STORED, OTHER = "00081198", "00081199", "0008119A"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_home(tmp_path, image_days=0, max_request_mb=4, dicom_max_mb=2)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        yield client


def related(files: Sequence[bytes], kind: str = "application/dicom") -> bytes:
    parts = [
        b"--mammo\r\nContent-Type: " + kind.encode() + b"\r\n\r\n" + one + b"\r\n" for one in files
    ]
    return b"".join([*parts, b"--mammo--\r\n"])


def stow(client: TestClient, files: Sequence[bytes], study: str = "") -> Any:
    return client.post(
        f"/dicom-web/studies{study}", content=related(files), headers={"content-type": TYPE}
    )


def sequence(answer: Any, tag: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.json().get(tag, {}).get("Value", [])
    return found


def test_no_gateway_ever_is_no_study(client: TestClient) -> None:
    answer = client.get("/v1/studies").json()
    assert (answer["studies"], answer["next"], answer["counts"]["failed"]) == ([], None, 0)
    refused = client.get("/v1/studies/E-0000000000000000")
    assert (refused.status_code, refused.json()["code"]) == (404, "STUDY_UNKNOWN")


def test_stow_stores_what_c_store_knows_again(client: TestClient, settings: Settings) -> None:
    files = [image(number) for number in (1, 2, 3, 4)]
    answer = stow(client, files)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    uids = [one["00081155"]["Value"][0] for one in sequence(answer, STORED)]
    assert uids == [f"{STUDY}.{number}" for number in (1, 2, 3, 4)]
    inbox = Inbox(settings)
    assert [inbox.take(one, "SENDER").status for one in files] == ["known"] * 4
    inbox.close()
    (line,) = client.get("/v1/studies").json()["studies"]
    assert (line["state"], line["images"], line["incident"]) == ("receiving", 4, False)


@pytest.mark.parametrize(
    ("files", "study", "status", "counts"),
    [
        ([image(), image()], "", 200, (2, 0, 0)),
        ([image(), image(BitsStored=11)], "", 202, (2, 0, 0)),
        ([image(1), b"no DICOM"], "", 202, (1, 0, 1)),
        ([b"no DICOM"], "", 409, (0, 0, 1)),
        ([image(sop_class=OTHERS["CT"][0])], "", 200, (1, 0, 0)),
        ([image(1), image(2)], f"/{STUDY}", 200, (2, 0, 0)),
        ([image(1), image(2, study=f"{STUDY}.7")], f"/{STUDY}", 202, (1, 1, 0)),
        ([image(1)], "/1.2.3", 409, (0, 1, 0)),
    ],
    ids=["twice", "other bytes", "one is no DICOM", "none is DICOM", "CT", "of the study",
         "one of another study", "of another study"],
)  # fmt: skip
def test_each_object_of_a_request_gets_its_answer(
    files: list[bytes], study: str, status: int, counts: tuple[int, ...], client: TestClient
) -> None:
    answer = stow(client, files, study)
    found = tuple(len(sequence(answer, tag)) for tag in (STORED, FAILED, OTHER))
    assert (answer.status_code, found) == (status, counts)


def test_reasons_are_those_of_the_standard(client: TestClient) -> None:
    answer = stow(client, [image(), image(BitsStored=11), b"no", image(2, study=f"{STUDY}.7")],
                  f"/{STUDY}")  # fmt: skip
    reasons = [
        one.get("00081196", one.get("00081197", {})).get("Value", [0])[0]
        for tag in (STORED, FAILED, OTHER)
        for one in sequence(answer, tag)
    ]
    assert reasons == [0, 0xB006, 0xA900, 0xC000]


def test_what_is_of_no_known_study_is_told_all_the_same(client: TestClient) -> None:
    stow(client, [b"no DICOM"])
    told = client.get("/v1/studies").json()
    assert [one["code"] for one in told["loose_incidents"]] == ["NOT_DICOM"]


def test_a_full_disk_is_507(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(inbox_module, "write_file", refuse)
    answer = stow(client, [image()])
    reason = sequence(answer, FAILED)[0]["00081197"]["Value"]
    assert (answer.status_code, reason) == (507, [0xA700])


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (related([image()]), "multipart/form-data; boundary=mammo", 415, "UNSUPPORTED_BODY"),
        (image(), "application/dicom", 415, "UNSUPPORTED_BODY"),
        (related([b"{}"], "application/dicom+json"), TYPE, 415, "UNSUPPORTED_BODY"),
        (related([]), TYPE, 400, "EMPTY_REQUEST"),
        (related([image()])[:-20], TYPE, 400, "BODY_INCOMPLETE"),
        (related([image()]), 'multipart/related; type="application/dicom"', 400, "BAD_REQUEST"),
        (related([image() + b"\0" * 3 * 2**20]), TYPE, 413, "TOO_LARGE"),
        (related([image() + b"\0" * 2**20] * 5), TYPE, 413, "TOO_LARGE"),
    ],
    ids=["form", "bare", "metadata", "empty", "cut", "no boundary", "file too large", "too large"],
)
def test_bodies_that_are_not_taken(
    content: bytes, kind: str, status: int, code: str, client: TestClient, settings: Settings
) -> None:
    answer = client.post("/dicom-web/studies", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert Book(settings.gateway_book).studies().studies == ()


def test_studies_are_paged_filtered_and_name_nobody(client: TestClient) -> None:
    for place in range(5):
        stow(client, [image(study=f"{STUDY}.{place}00")])
    stow(client, [image(study=f"{STUDY}.000", BitsStored=11)])
    first = client.get("/v1/studies?limit=2").json()
    second = client.get(f"/v1/studies?limit=3&before={first['next']}").json()
    keys = [one["study"] for one in (*first["studies"], *second["studies"])]
    assert (len(set(keys)), second["next"]) == (5, None)
    only = client.get("/v1/studies?incident=true").json()["studies"]
    assert [one["study"] for one in only] == keys[-1:]
    assert client.get(f"/v1/studies?search={keys[2][3:9]}").json()["studies"][0]["study"] == keys[2]
    assert client.get("/v1/studies?state=failed").json()["studies"] == []
    assert client.get("/v1/studies?state=other").status_code == 400
    whole = client.get(f"/v1/studies/{keys[-1]}")
    assert whole.json()["incidents"][0]["code"] == "SAME_UID_OTHER_BYTES"
    assert not [one for one in (STUDY, PATIENT, "secret-id") if one in whole.text]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, []),
        ({"exam": "E-1", "abstention": ["SATURATED"]}, ["SATURATED"]),
        ({"exam": "E-1", "abstention": []}, []),
        ({"exam": "E-1", "abstention": None}, None),
        ({"exam": "E-1"}, None),
    ],
    ids=["no answer", "a reason", "no reason", "not known any more", "an older service"],
)
def test_a_study_tells_whether_its_score_is_to_be_relied_on(
    client: TestClient, settings: Settings, answer: dict[str, Any] | None, told: list[str] | None
) -> None:
    stow(client, [image()])
    (study,) = client.get("/v1/studies").json()["studies"]
    book = connect(settings.gateway_book)
    book.execute(
        "INSERT INTO scorings (study, version, images_sha256, images, last_image, state, answer,"
        " scored_at) VALUES (?, ?, '', 1, 1, 'scored', ?, 1)",
        (study["study"], study["version"], None if answer is None else json.dumps(answer)),
    )
    book.close()
    (line,) = client.get("/v1/studies").json()["studies"]
    assert line["abstention"] == told
    assert Book(settings.gateway_book).study(line["study"]).to_json()["abstention"] == told


def test_metrics_tell_of_the_gateway(client: TestClient, settings: Settings) -> None:
    assert "mammo_gateway" not in client.get("/metrics").text
    stow(client, [image(), image(BitsStored=11)])
    told = client.get("/metrics").text
    assert 'mammo_gateway_studies{state="receiving"} 1.0' in told
    assert "mammo_gateway_incidents 1.0" in told
    assert "mammo_gateway_up 0.0" in told
    assert "mammo_gateway_associations 0.0" in told
    assert 'mammo_gateway_incidents_by_code_total{code="SAME_UID_OTHER_BYTES"} 1.0' in told
    assert 'mammo_gateway_images_total{code="none"} 1.0' in told
    assert "mammo_gateway_last_received_timestamp_seconds 1." in told
    beat(settings, 3)
    told = client.get("/metrics").text
    assert "mammo_gateway_up 1.0" in told and "mammo_gateway_associations 3.0" in told


@pytest.mark.parametrize("kept", ["no database", "half of it"])
def test_a_damaged_book_takes_no_other_metric_along(
    client: TestClient, settings: Settings, kept: str
) -> None:
    connect(settings.gateway_book).close()
    whole = settings.gateway_book.read_bytes()
    book = {"no database": b"no database " * 512, "half of it": whole[: len(whole) // 2]}[kept]
    settings.gateway_book.write_bytes(book)
    beat(settings, 1)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    told = answer.text
    assert "mammo_gateway_book_up 0.0" in told and "mammo_gateway_up 1.0" in told
    assert "mammo_gateway_studies" not in told, "what is not known is no number"
    assert "mammo_service_ready 1.0" in told
    settings.gateway_book.write_bytes(whole)
    assert "mammo_gateway_book_up 1.0" in client.get("/metrics").text


def test_whatever_the_gateways_beat_holds_the_page_is_made(
    client: TestClient, settings: Settings
) -> None:
    connect(settings.gateway_book).close()
    beat(settings)
    (settings.gateway_dir / ALIVE).write_bytes(b"\xff\xfe3")
    assert "mammo_gateway_associations 0.0" in client.get("/metrics").text


def test_roles(settings: Settings) -> None:
    tokens = TokenStore(settings.tokens_path)
    may = {name: tokens.add(name, [name]) for name in ("read", "predict")}
    with open_client(create_app(settings, load=load_fake)) as client:
        for name, token in may.items():
            client.headers["authorization"] = f"Bearer {token}"
            found = (stow(client, [image()]).status_code, client.get("/v1/studies").status_code)
            assert found == ((403, 200) if name == "read" else (200, 403))


def test_the_command_shows_studies_and_one(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import app

    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    stow(client, [image(), image(BitsStored=11)])
    run = CliRunner().invoke
    told = json.loads(run(app, ["studies", "--json"]).stdout)
    (line,) = told["studies"]
    assert (line["state"], line["incidents"], told["counts"]["incident"]) == ("receiving", 1, 1)
    assert "receiving" in run(app, ["studies", "--incident"]).output
    one = json.loads(run(app, ["studies", line["study"], "--json"]).stdout)
    assert [each["code"] for each in one["incident_list"]] == ["SAME_UID_OTHER_BYTES"]
    assert all(word in run(app, ["studies", line["study"]]).output for word in ("Images", "SAME_U"))
    missing = run(app, ["studies", "E-0"])
    assert missing.exit_code != 0
    assert "STUDY_UNKNOWN" in missing.output
