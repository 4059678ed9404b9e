"""A canary patient, planted in every text of every file, appears nowhere afterwards."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_fragments

from bentos.screening.app import create_app
from mammo.data.ingest import ingest
from mammo.data.quarantine import read_quarantine
from mammo.describe import describe_file
from mammo.dicom.deidentified_file import deidentify_file
from mammo.dicom.phantom import write_phantoms
from mammo.dicom.read import decode_image, read_file
from mammo.models.config import read_config
from mammo.settings import Settings
from tests.bentos.conftest import open_client
from tests.bentos.releases import write_release
from tests.canary import (
    EVERYTHING,
    FAMILY,
    GIVEN,
    PATIENT,
    TOKENS,
    UID_ROOT,
    plant,
    plant_beside_pixels,
    to_file,
)
from tests.canary_search import find_tokens, search_tree

pytestmark = pytest.mark.slow

SCANNERS = ("aurora", "borealis", "cygnus", "draco", "eridanus")
KEY = b"a key that is only for the tests"

Change = Callable[[FileDataset], None]


def _set(**values: object) -> Change:
    def change(dataset: FileDataset) -> None:
        for keyword, value in values.items():
            if value is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, value)

    return change


CS = FAMILY.upper()
SPOILT: dict[str, Change] = {
    "modality": _set(Modality=CS, SOPClassUID=""),
    "modality_and_body_part": _set(Modality="CT", BodyPartExamined=CS),
    "sop_class": _set(SOPClassUID=f"{UID_ROOT}.4"),
    "intent": _set(PresentationIntentType=CS, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1"),
    "photometric": _set(PhotometricInterpretation=CS),
    "view": _set(
        ImageLaterality=CS, ViewPosition=CS, ViewCodeSequence=None, PatientOrientation=None,
        PatientID=PATIENT, AnatomicRegionSequence=None,
    ),
    "charset": _set(SpecificCharacterSet=CS, Modality=CS, SOPClassUID=""),
    "image_type": _set(ImageType=[CS, CS, CS], Modality="CT"),
    "no_pixels": _set(PixelData=None),
}  # fmt: skip
"""Files that are refused because of an element that holds a token."""
READABLE: dict[str, Change] = {
    "plain": _set(),
    "charset_unknown": _set(SpecificCharacterSet=CS),
    "charset_japanese": _set(SpecificCharacterSet=["", "ISO 2022 IR 87"]),
    "position_unknown": _set(ViewPosition=CS, ViewCodeSequence=None),
    "odd_codes": _set(
        PresentationLUTShape=CS, VOILUTFunction=CS, LossyImageCompression=CS, ImageType=[CS, CS],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, exams=len(SCANNERS), scanner=SCANNERS, seed=3, cancer_rate=0.5)
    return sorted((folder / "train_images").rglob("*.dcm"))


@pytest.fixture(scope="module")
def planted(phantoms: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of readable and of spoilt files, named after the patient, too."""
    folder = tmp_path_factory.mktemp("inbox") / f"{FAMILY}_{GIVEN}" / PATIENT
    folder.mkdir(parents=True)
    for name, content in _draw_files(phantoms):
        (folder / f"{FAMILY} {name}.dcm").write_bytes(content)
    return folder.parents[1]


def _draw_files(phantoms: list[Path]) -> Iterator[tuple[str, bytes]]:
    files = [_plant(path) for path in phantoms[::4]]
    for number, planted in enumerate(files):
        yield f"phantom{number}", planted
    for number, (name, change) in enumerate({**READABLE, **SPOILT}.items(), 1):
        yield name, _change(files[0], number, change)
    yield "stream", _change(files[1], 50, _spoil_stream)
    yield "empty", b""
    yield "text", f"Patient: {EVERYTHING}\n".encode() * 9
    yield "preamble", EVERYTHING.encode().ljust(128)[:128] + b"DICM" + EVERYTHING.encode()
    for cut in (200, 3_000, 30_000, len(files[1]) // 2, len(files[1]) - 9):
        yield f"cut{cut}", files[1][:cut]
    rng = np.random.default_rng(11)
    for number in range(10):
        mutated = bytearray(_change(files[number % 5], 60 + number, _set()))
        for place in rng.integers(128, 120_000, 12):
            mutated[place] = rng.integers(256)
        yield f"mutated{number}", bytes(mutated)


def _plant(path: Path) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom does not like what is planted
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        plant(dataset)
        plant_beside_pixels(dataset)
        return to_file(dataset)


def _change(planted: bytes, number: int, change: Change) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(planted))
        dataset.SOPInstanceUID = f"{UID_ROOT}.100.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        change(dataset)
        return to_file(dataset)


def _spoil_stream(dataset: FileDataset) -> None:
    frame = bytearray().join(list(generate_fragments(dataset.PixelData))[1:])
    frame[len(frame) // 3 :] = EVERYTHING.encode() * 50
    dataset.PixelData = encapsulate([bytes(frame)])


@dataclass(frozen=True)
class Run:
    """What the real thing left behind: a home, and all that was said meanwhile."""

    home: Path
    said: dict[str, str]
    told: dict[str, str]


@pytest.fixture(scope="module")
def ingested(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All commands that see files, as their users run them."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ,
        "MAMMO_HOME": str(home),
        "COLUMNS": "300",
        "PYTHONWARNINGS": "always",
    }
    home.chmod(0o700)
    # a name that its caller gives is not told again here: `inspect` says what it was asked about
    one, bad = home.parent / "one.dcm", home.parent / "bad.dcm"
    one.write_bytes(next(planted.rglob("*phantom0.dcm")).read_bytes())
    bad.write_bytes(next(planted.rglob("*modality.dcm")).read_bytes())
    copies = str(home / "copies")
    lines = {
        "ingest": ["ingest", str(planted)],
        "ingest again": ["ingest", str(planted), "--json"],
        "validate": ["validate", "--json"],
        "inspect": ["inspect", str(one), "--json"],
        "inspect refused": ["inspect", str(bad)],
        "deidentify": ["deidentify", str(planted), "--to", copies, "--json"],
        "deidentify again": ["deidentify", str(planted), "--to", copies],
    }
    said, told = {}, {}
    for name, line in lines.items():
        run = subprocess.run(
            [sys.executable, "-m", "flows.cli", *line],
            capture_output=True, text=True, env=environment, errors="surrogateescape",
        )  # fmt: skip
        said[name], told[name] = run.stdout, run.stdout + run.stderr
    return Run(home, said, told)


def test_the_search_finds_what_is_there(planted: Path) -> None:
    found = search_tree(planted)
    assert {token for tokens in found.values() for token in tokens} == set(TOKENS)


@pytest.mark.stack  # seven commands over forty files: two minutes
def test_most_files_are_read_and_each_fault_is_refused(ingested: Run) -> None:
    report = json.loads(ingested.said["ingest again"])
    codes = {record.code for record in read_quarantine(ingested.home / "quarantine")}
    assert report["known"] >= 9
    assert codes >= {
        *("NOT_MAMMOGRAPHY", "PIXELS_UNREADABLE", "VIEW_UNKNOWN", "DICOM_TRUNCATED"),
        *("EMPTY_FILE", "NOT_DICOM", "FOR_PROCESSING"),
    }


@pytest.mark.stack
def test_nothing_below_the_home_holds_a_token(ingested: Run) -> None:
    assert search_tree(ingested.home, spared=("quarantine",)) == {}


@pytest.mark.stack
def test_the_quarantine_is_its_owners_alone(ingested: Run) -> None:
    quarantine = ingested.home / "quarantine"
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700
    messages = [(record.code, record.message) for record in read_quarantine(quarantine)]
    assert [told for told in messages if find_tokens(str(told))] == []


@pytest.mark.stack
def test_no_command_says_a_token(ingested: Run) -> None:
    found = {name: find_tokens(text) for name, text in ingested.told.items()}
    assert {name: tokens for name, tokens in found.items() if tokens} == {}


def test_no_library_call_says_a_token(
    planted: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level("DEBUG")
    warnings.simplefilter("always")
    settings = Settings(home=tmp_path, _env_file=None)
    report = ingest("dicom", planted, settings, read_config("smoke").preprocess, processes=0)
    described = [
        {**describe_file(path, KEY, "site"), "file": ""} for path in planted.rglob("*.dcm")
    ]
    out, err = capfd.readouterr()
    texts = {
        "report": json.dumps([one | {"file": ""} for one in report.to_dict()["quarantined"]]),
        "described": json.dumps(described, default=str),
        "out": out,
        "err": err,
        "log": caplog.text,
        "warnings": "\n".join(str(one.message) for one in recwarn.list),
    }
    assert {name: found for name, text in texts.items() if (found := find_tokens(text))} == {}


def test_a_deidentified_file_holds_no_token_and_the_same_pixels(planted: Path) -> None:
    for path in planted.rglob("*phantom*.dcm"):
        data = path.read_bytes()
        copy = deidentify_file(data, KEY, 2**30)
        assert find_tokens(copy) == set()
        read, again = (decode_image(read_file(one, key=KEY, site="")) for one in (data, copy))
        assert np.array_equal(read.pixels, again.pixels)


def await_images(home: Path) -> None:
    """Wait until no file waits any more to be made into images without a header."""
    deadline = time.monotonic() + 120.0
    while any((home / "images" / "waiting").rglob("*.dcm")):
        assert time.monotonic() < deadline, "files still wait to be made into images"
        time.sleep(0.1)


@pytest.mark.parametrize("keep", [False, True], ids=["without ids", "with ids for reports"])
def test_the_service_says_and_stores_no_token(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, keep: bool,
) -> None:  # fmt: skip
    """Nothing names the patient but, where they are asked for, what the reports are made of."""
    caplog.set_level("DEBUG", logger="bentos")
    settings = Settings(home=tmp_path / "home", _env_file=None)
    settings = settings.model_copy(update={"keep_original_ids": keep})
    release = write_release(settings.releases_dir, "r-1")
    answers = []
    with open_client(create_app(settings, embedded=release)) as client:
        for path in sorted(planted.rglob("*.dcm")):
            sent = {"files": ("image.dcm", path.read_bytes())}
            answers.append(client.post("/v1/exams", files=sent))
        await_images(settings.home)
        metrics = client.get("/metrics").text
    assert {answer.status_code for answer in answers} >= {200, 422}
    out, err = capfd.readouterr()
    texts = {
        "answers": "".join(answer.text for answer in answers), "metrics": metrics,
        "out": out, "err": err, "log": caplog.text,
    }  # fmt: skip
    assert {name: found for name, text in texts.items() if (found := find_tokens(text))} == {}
    named = search_tree(settings.home)
    assert {Path(name).parts[0] for name in named} == ({"results"} if keep else set())
