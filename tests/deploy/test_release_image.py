"""From an approved release to an image that answers: built, checked, started on an empty home."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.screening.image_context import write_context
from mammo.dicom.phantom import write_phantoms
from mammo.prediction_log import PredictionLog
from mammo.reading import ViewReader
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings
from tests.bentos.judging import judge
from tests.bentos.releases import write_release
from tests.deploy.release_image import ReleaseImage

pytestmark = pytest.mark.stack
RELEASE = "r-20260301-aaaaaaaa"
KEY, TOKEN = "00112233445566778899aabbccddeeff", "fedcba9876543210fedcba9876543210"
SECRETS = {"MAMMO_PSEUDONYM_KEY": KEY, "MAMMO_CALLER_TOKEN": TOKEN}
"""What Azure fills in, as deployment.yml asks it to (tests/azure/test_specs.py)."""
START_SECONDS = 180.0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The installation in which the release was made and judged."""
    home = tmp_path_factory.mktemp("house") / "home"
    settings = Settings(home=home, given_key=KEY, _env_file=None)  # type: ignore[arg-type]
    release = Release.read(write_release(settings.releases_dir, RELEASE, bias=0.25))
    judge(settings, RELEASE, release.digest)
    return settings


@pytest.fixture
def image(house: Settings, tmp_path: Path) -> ReleaseImage:
    """The image's files, as the COPY lines leave them."""
    told = write_context(RELEASE, house, tmp_path / "context")
    (tmp_path / "context/house").mkdir()
    shutil.copy(house.keys_dir / "signing.pub", tmp_path / "context/house/house.pub")
    image = ReleaseImage(
        tmp_path, tmp_path / "context", {"RELEASE": told["release"], "DIGEST": told["digest"]}
    )
    image.copy()
    return image


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release of another installation: whole, permitted and signed there, with its key."""
    folder = tmp_path_factory.mktemp("stranger")
    settings = Settings(home=folder / "home", _env_file=None)
    release = Release.read(write_release(settings.releases_dir, RELEASE, bias=3.0))
    judge(settings, RELEASE, release.digest)
    write_context(RELEASE, settings, folder / "context")
    return folder / "context" / "release"


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """The four views of a phantom exam: names and contents."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, exams=1, scanner="aurora", seed=1, processes=1)
    found = sorted((folder / "train_images").rglob("*.dcm"))
    return [(path.name, path.read_bytes()) for path in found]


def ask(image: ReleaseImage, path: str) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{image.port}{path}", timeout=5)
    except httpx.HTTPError:
        return None


def wait_until(condition: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + START_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)
    return found


def test_image_answers_as_the_house_does(
    house: Settings, image: ReleaseImage, exam: list[tuple[str, bytes]]
) -> None:
    built = image.run()
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["release"] == RELEASE
    assert not image.home.exists(), "building leaves nothing behind"
    assert image.healthcheck().returncode == 1, "nothing runs yet"
    with image.started(**SECRETS) as log:
        wait_until(lambda: (one := ask(image, "/readyz")) and one.status_code == 200, log)
        ready = ask(image, "/readyz")
        assert ready is not None and ready.json()["release"] == RELEASE
        assert image.healthcheck().returncode == 0
        url, files = f"http://127.0.0.1:{image.port}/v1/exams", [("files", one) for one in exam]
        assert httpx.post(url, files=files, timeout=60).status_code == 401
        shown = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.post(url, files=files, headers=shown, timeout=120)
    assert answer.status_code == 200, answer.text
    directory = house.releases_dir / RELEASE
    reader = ViewReader.of(house)
    own = Screener.load(directory, reader=reader).score_files(
        exam, key=house.pseudonym_key(), site=house.site
    )
    told, wanted = answer.json(), json.loads(json.dumps(own.to_json()))
    assert (told["exam"], told["score"], told["decision"]) == tuple(
        wanted[name] for name in ("exam", "score", "decision")
    )
    for part, numbers in (("breasts", ("probability",)), ("views", ("probability", "logit"))):
        mine = [[one[name] for name in numbers] for one in told[part]]
        assert mine == [[one[name] for name in numbers] for one in wanted[part]], "bit for bit"
    assert len(told["views"]) == 4
    logged = PredictionLog(house.model_copy(update={"home": image.home}).log_url).exams()
    assert list(logged["release_id"]) == [RELEASE]
    said = log.read_text()
    assert TOKEN not in said and KEY not in said
    assert not (image.home / "keys" / "signing.pub").exists(), "its key would end the carried one's"


def test_tampered_release_is_refused_when_built_and_when_started(image: ReleaseImage) -> None:
    model = image.root / "app/release/model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    built = image.run()
    assert built.returncode == 1
    assert built.stderr.startswith(f"DIGEST_MISMATCH: model.onnx of release {RELEASE} has SHA-256")
    with image.started(**SECRETS) as log:
        answer = wait_until(lambda: ask(image, "/readyz"), log)
        refused = answer.json()
        assert (answer.status_code, refused["code"]) == (503, "NOT_READY")
        assert refused["refused"]["code"] == "DIGEST_MISMATCH"
        assert "The release was changed after it was made" in refused["detail"]
        assert image.healthcheck().returncode == 1


SERVED = ("manifest.json", "model.onnx", "golden.npz", "card.md", "reference.parquet")
VOUCHERS = ("signature.json", "signer.pub", "permit.json")


@pytest.mark.parametrize(
    ("taken", "told"),
    [(SERVED + VOUCHERS, "trusted are"), (SERVED, "does not fit its id and digest")],
    ids=["whole, under its own signature", "under the house's signature"],
)
def test_release_of_a_stranger_is_refused_when_built_and_when_started(
    image: ReleaseImage, stranger: Path, taken: tuple[str, ...], told: str
) -> None:
    embedded = image.root / "app/release"
    for name in taken:
        shutil.copy(stranger / name, embedded / name)
    image.arguments["DIGEST"] = Release.read(stranger).digest  # the labels fit
    built = image.run()
    assert built.returncode == 1
    assert built.stderr.startswith("SIGNATURE_INVALID: ") and told in built.stderr
    with image.started(**SECRETS) as log:
        answer = wait_until(lambda: ask(image, "/readyz"), log)
        refused = answer.json()
        assert refused["refused"]["code"] == "SIGNATURE_INVALID" and told in refused["detail"]


def test_build_refuses_labels_of_another_release(image: ReleaseImage) -> None:
    image.arguments["DIGEST"] = "0" * 64
    built = image.run()
    assert built.returncode == 1
    assert "RELEASE_NOT_FOUND: The digest here is" in built.stderr
