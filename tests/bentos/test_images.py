"""Images of a scored exam over HTTP: at full depth, checked each time, gone with their days."""

from __future__ import annotations

import gzip
import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pydicom import dcmread

from bentos.screening.app import create_app
from mammo.audit import AuditLog
from mammo.settings import Settings
from tests.bentos.conftest import load_fake, open_client, point_to
from tests.dicom.builders import make_file
from tests.heat_release import load, one_exam, write_heat_release

pytestmark = pytest.mark.slow
RELEASE = "r-20260301-aaaaaaaa"


@dataclass(frozen=True)
class Hospital:
    settings: Settings
    client: TestClient
    files: list[bytes]
    exam: dict[str, Any]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, _env_file=None)
    directory = write_heat_release(settings.releases_dir, RELEASE)
    point_to(settings, RELEASE, release_dir=str(directory))
    files = [data for _, data in one_exam(home / "phantom")]
    with open_client(create_app(settings, load=load)) as client:
        yield Hospital(settings, client, files, send(client, files))


def send(client: TestClient, files: list[bytes], **headers: str) -> dict[str, Any]:
    parts = [("files", (f"{n}.dcm", data)) for n, data in enumerate(files)]
    answer = client.post("/v1/exams", files=parts, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def images_of(client: TestClient, exam: str, query: str = "") -> dict[str, Any]:
    """Ask as a viewer does: again after as long as it is told."""
    deadline = time.monotonic() + 120
    while (answer := client.get(f"/v1/exams/{exam}/images{query}")).status_code == 503:
        assert answer.json()["code"] == "IMAGES_NOT_READY"
        assert answer.headers["retry-after"] == "1" and time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_pixels_are_those_of_the_file(hospital: Hospital) -> None:
    told = images_of(hospital.client, hospital.exam["exam"])
    assert (told["request"], told["missing"]) == (hospital.exam["request"], [])
    originals = {}
    for data in hospital.files:
        original = dcmread(io.BytesIO(data))
        originals[original.ImageLaterality, original.ViewCodeSequence[0].CodeMeaning] = original
    assert len(told["images"]) == len(originals) == 4
    for one, original in zip(told["images"], originals.values(), strict=True):
        got = hospital.client.get(one["pixels"])
        pixels = np.frombuffer(got.content, "<u2").reshape(one["rows"], one["columns"])
        assert np.array_equal(pixels, original.pixel_array)
        assert (one["minimum"], one["maximum"]) == (pixels.min(), pixels.max())
        assert one["laterality"] == original.ImageLaterality
        assert one["bits_stored"] == original.BitsStored
        assert one["spacing_mm"] == pytest.approx(
            [float(value) for value in original.ImagerPixelSpacing], rel=0.2
        )
        assert one["findings"] == hospital.exam["views"][told["images"].index(one)]["findings"]


def test_a_cached_image_is_asked_for_each_time(hospital: Hospital) -> None:
    one = images_of(hospital.client, hospital.exam["exam"])["images"][0]
    packed = hospital.client.get(one["pixels"], headers={"Accept-Encoding": "gzip"})
    plain = hospital.client.get(one["pixels"], headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers and plain.content == packed.content
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert packed.headers["cache-control"] == "private, no-cache"
    same = hospital.client.get(one["pixels"], headers={"If-None-Match": packed.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    other = hospital.client.get(one["pixels"], headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    listed = hospital.client.get(f"/v1/exams/{hospital.exam['exam']}/images")
    assert listed.headers["cache-control"] == "no-store"


def test_heat_lies_over_the_whole_image(hospital: Hospital) -> None:
    for one in images_of(hospital.client, hospital.exam["exam"])["images"]:
        picture = Image.open(io.BytesIO(hospital.client.get(one["heat"]).content))
        assert (picture.mode, [picture.height, picture.width]) == ("RGBA", one["heat_size"])
        assert picture.height / picture.width == pytest.approx(one["rows"] / one["columns"], 0.01)
        assert np.asarray(picture)[..., 3].max() > 20


def test_each_look_is_in_the_audit_log(hospital: Hospital) -> None:
    log, exam = AuditLog(hospital.settings.audit_path), hospital.exam["exam"]
    before = len(list(log.entries()))
    one = images_of(hospital.client, exam)["images"][0]
    for link in (one["pixels"], one["heat"]):
        hospital.client.get(link)
    lines = list(log.entries())[before:]
    assert [line["action"] for line in lines] == ["images", "pixels", "heatmap"]
    assert {line["exam"] for line in lines} == {exam}


def test_nothing_kept_names_the_patient(hospital: Hospital) -> None:
    images_of(hospital.client, hospital.exam["exam"])
    original = dcmread(io.BytesIO(hospital.files[0]))
    secrets = [str(original[name].value).encode() for name in ("PatientID", "StudyInstanceUID")]
    kept = [path for path in hospital.settings.images_dir.rglob("*") if path.is_file()]
    assert kept and not list((hospital.settings.images_dir / "waiting").glob("*"))
    for path in kept:
        assert not any(secret in path.read_bytes() for secret in secrets)
    assert hospital.settings.images_dir.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/exams/E-0/images", "EXAM_UNKNOWN"),
        ("/v1/exams/E-0/images/I-0/pixels", "EXAM_UNKNOWN"),
        ("/v1/exams/{exam}/images/I-0/pixels", "RESULT_UNKNOWN"),
        ("/v1/exams/{exam}/images/I-0/heat.png", "RESULT_UNKNOWN"),
        ("/v1/exams/{exam}/images/{image}/voi_lut", "RESULT_UNKNOWN"),
        ("/v1/exams/{exam}/images?request=never", "RESULT_UNKNOWN"),
        ("/v1/exams/{exam}/images?request=../../x", "RESULT_UNKNOWN"),
    ],
)
def test_what_is_not_there_has_a_code(hospital: Hospital, path: str, code: str) -> None:
    one = images_of(hospital.client, hospital.exam["exam"])["images"][0]
    answer = hospital.client.get(path.format(exam=hospital.exam["exam"], image=one["image_id"]))
    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_the_prior_is_the_latest_exam_before_this_one(hospital: Hospital) -> None:
    now = images_of(hospital.client, hospital.exam["exam"])
    day = dcmread(io.BytesIO(hospital.files[0])).AcquisitionDate
    taken = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    assert now["prior"] is None
    earlier = [again_on(hospital.files, taken - timedelta(days=days)) for days in (730, 400)]
    scored = [send(hospital.client, files) for files in (*reversed(earlier), hospital.files)]
    for one in scored[:2]:
        images_of(hospital.client, one["exam"])
    told = images_of(hospital.client, hospital.exam["exam"])["prior"]
    expected = {"exam": scored[0]["exam"], "acquired_on": str(taken - timedelta(days=400))}
    assert told == expected
    assert images_of(hospital.client, scored[0]["exam"])["prior"]["exam"] == scored[1]["exam"]
    assert images_of(hospital.client, scored[1]["exam"])["prior"] is None


def again_on(files: list[bytes], day: date) -> list[bytes]:
    """Return the same views as another study of the same patient on another day."""
    made = []
    for number, data in enumerate(files):
        dataset = dcmread(io.BytesIO(data))
        dataset.StudyInstanceUID = f"1.2.3.{day:%Y%m%d}"
        dataset.SOPInstanceUID = f"1.2.3.{day:%Y%m%d}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for name in ("StudyDate", "AcquisitionDate", "ContentDate", "SeriesDate"):
            if name in dataset:
                setattr(dataset, name, f"{day:%Y%m%d}")
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        made.append(stream.getvalue())
    return made


def test_a_view_with_a_lut_serves_it(hospital: Hospital) -> None:
    from tests.dicom.test_voi import lut

    pixels = np.zeros((300, 200), np.uint16)
    pixels[50:250, :120] = np.arange(120) * 30
    told = send(hospital.client, [make_file(pixels, VOILUTSequence=lut([0, 900, 4095], 5))])
    (one,) = images_of(hospital.client, told["exam"])["images"]
    assert one["voi_lut"] and (one["lut"]["first"], one["lut"]["entries"]) == (5, 3)
    table = hospital.client.get(one["lut"]["values"]).content
    assert np.frombuffer(table, "<u2").tolist() == [0, 900, 4095]


def test_images_of_a_killed_worker_are_made_by_the_next(settings: Settings) -> None:
    """What waits on the disk when the service goes is kept when it comes back."""
    settings = settings.model_copy(update={"image_days": None})
    point_to(settings, "r-1")
    app = create_app(settings, load=load_fake)
    waiting = app.state.service.keeper.waiting
    pixels = np.zeros((300, 200), np.uint16)
    pixels[50:250, :120] = 900
    waiting.add("q-1", "E-1", [make_file(pixels), b"no file of DICOM"])
    assert waiting.holds("q-1") and waiting.size_bytes() > pixels.nbytes
    with open_client(app):
        deadline = time.monotonic() + 120
        while waiting.holds("q-1"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(app.state.service.images.of_request("q-1").facts) == 1


def test_a_full_disk_costs_the_images_and_no_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"image_days": None})
    point_to(settings, "r-1")
    app = create_app(settings, load=load_fake)
    monkeypatch.setattr(app.state.service.keeper.waiting, "max_mb", 0)
    with open_client(app) as client:
        assert send(client, [b"E-1|L CC"])["exam"] == "E-1"
        deadline = time.monotonic() + 10
        while "mammo_images_lost_total 1.0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get("/v1/exams/E-1/images").json()["code"] == "RESULT_UNKNOWN"


def test_no_days_keep_nothing(settings: Settings) -> None:
    point_to(settings, "r-1")
    with open_client(create_app(settings, load=load_fake)) as client:
        send(client, [b"E-1|L CC"])
        gone = client.get("/v1/exams/E-1/images")
        assert (gone.status_code, gone.json()["code"]) == (404, "RESULT_UNKNOWN")
        assert "MAMMO_IMAGE_DAYS" in gone.json()["detail"]
    assert not settings.images_dir.exists()


def test_gzip_is_plain_gzip(hospital: Hospital) -> None:
    store = hospital.client.app.state.service.images  # type: ignore[attr-defined]
    images_of(hospital.client, hospital.exam["exam"])
    kept = store.latest(hospital.exam["exam"])
    one = kept.image(kept.facts[0]["image_id"])
    assert len(gzip.decompress(one.pixels_gz)) == 2 * one.rows * one.columns


def test_an_exam_scored_again_has_its_images_once(hospital: Hospital) -> None:
    store = hospital.client.app.state.service.images  # type: ignore[attr-defined]
    first, later = (send(hospital.client, hospital.files) for _ in range(2))
    images_of(hospital.client, later["exam"])
    while store.has(first["request"]):  # made after it is told that the later ones are there
        time.sleep(0.02)
    told = images_of(hospital.client, first["exam"], f"?request={first['request']}")
    assert told["request"] == first["request"] and len(told["images"]) == 4
    assert hospital.client.get(told["images"][0]["pixels"]).status_code == 200
    part = send(hospital.client, hospital.files[:1])
    images_of(hospital.client, part["exam"], f"?request={part['request']}")
    assert store.has(part["request"]) and store.has(later["request"])


def test_images_go_with_their_days(hospital: Hospital) -> None:
    told = send(hospital.client, hospital.files)
    images_of(hospital.client, told["exam"])
    store = hospital.client.app.state.service.images  # type: ignore[attr-defined]
    path: Path = store.request_path(told["request"])
    os.utime(path, (0, time.time() - 31 * 86_400))
    store.sweep()
    assert not path.exists() and not store.has(told["request"])
