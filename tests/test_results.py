"""What is kept of a scoring: pictures, findings and the report, for a while and whole."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from mammo.errors import DiskFull, ResultUnknown
from mammo.kept_result import KeptResult
from mammo.picture import HEIGHT
from mammo.reports import ReportMaterial
from mammo.result_picture import lay_back
from mammo.results import ResultStore
from mammo.scoring import Scoring
from mammo.screening import Screener
from tests.bentos.releases import write_release
from tests.heat_release import KEY, load, one_exam, write_heat_release

pytestmark = pytest.mark.slow
DAY = 86_400.0


@pytest.fixture(scope="module")
def screener(tmp_path_factory: pytest.TempPathFactory) -> Screener:
    return load(write_heat_release(tmp_path_factory.mktemp("releases"), "r-light"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    return one_exam(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def scoring(screener: Screener, files: list[tuple[str, bytes]]) -> Scoring:
    read = screener.read_exam(files, key=KEY, site="s", identity=True)
    return screener.score_read(read)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def keep(store: ResultStore, scoring: Scoring, request: str = "q-1", exam: str = "") -> KeptResult:
    store.keep(request, exam or scoring.report.exam_id, scoring.report.to_json(), scoring)
    return store.of_request(request)


def files_of(store: ResultStore) -> list[Path]:
    return sorted(path for path in store.folder.rglob("*") if path.is_file())


def test_what_was_kept_comes_back(store: ResultStore, scoring: Scoring) -> None:
    kept = keep(store, scoring)
    assert kept.answer == scoring.report.to_json()
    assert kept.findings()["views"][0] == {
        "image_id": scoring.report.views[0].image_id,
        "laterality": "L",
        "view": "CC",
        "rows": scoring.views[0].mammogram.rows,
        "columns": scoring.views[0].mammogram.columns,
        "findings": [one.to_dict() for one in scoring.report.views[0].findings],
    }
    for place, view in enumerate(kept.views):
        apart = np.abs(view.pixels - (scoring.views[place].prepared.pixels >> 8).astype(float))
        assert apart.mean() < 1.0 and apart.max() < 24
        assert view.heat is not None and scoring.heat is not None
        assert np.array_equal(view.heat.heat, scoring.heat[place])
        assert view.geometry == scoring.views[place].prepared.geometry


def test_the_latest_of_an_exam_is_the_one_kept_last(store: ResultStore, scoring: Scoring) -> None:
    for request in ("q-2", "q-1"):
        keep(store, scoring, request)
    assert store.latest(scoring.report.exam_id).request_id == "q-1"
    assert store.of_request("q-2").request_id == "q-2"


@pytest.mark.parametrize("name", ["never", "../../etc/passwd", "", "\udc80", "x" * 5000, "a\0b"])
def test_what_is_not_kept_is_unknown(store: ResultStore, name: str) -> None:
    for ask in (store.latest, store.of_request):
        with pytest.raises(ResultUnknown, match="No pictures or findings are kept") as caught:
            ask(name)
        assert not name or name not in str(caught.value)


def test_the_folder_is_its_owners_alone(store: ResultStore, scoring: Scoring) -> None:
    keep(store, scoring)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    (file,) = (path for path in files_of(store) if not path.is_symlink())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert scoring.report.exam_id not in str(files_of(store))


def test_what_is_old_or_too_much_goes(store: ResultStore, scoring: Scoring) -> None:
    for number in range(4):
        keep(store, scoring, f"q-{number}", f"E-{number}")
        path = store.request_path(f"q-{number}")
        os.utime(path, (0, time.time() - (39 - 10 * number) * DAY))
    draft = path.with_name(".draft")
    draft.write_bytes(b"half")
    assert store.sweep() == 1  # of 39, 29, 19 and 9 days, one is more than 30
    store = ResultStore(store.folder, days=25)
    assert store.sweep() == 1
    assert draft.exists()  # somebody may be writing it
    with pytest.raises(ResultUnknown):
        store.latest("E-1")
    size = path.stat().st_size
    store.max_mb = size * 1.5 / 2**20  # room for one of the two that are left
    assert store.sweep() == 1
    assert store.latest("E-3").request_id == "q-3"
    assert store.sweep(time.time() + DAY) == 0 and not draft.exists()
    assert len(list((store.folder / "exams").glob("*/*"))) == 1  # no link leads nowhere


def test_a_file_that_was_cut_off_is_no_result(store: ResultStore, scoring: Scoring) -> None:
    keep(store, scoring)
    path = store.request_path("q-1")
    data = path.read_bytes()
    for length in (0, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ResultUnknown, match="damaged"):
            store.of_request("q-1")


FULL_DISK = """
import pickle, resource, signal, sys
from pathlib import Path
from mammo.errors import DiskFull
from mammo.results import ResultStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
scoring = pickle.load(sys.stdin.buffer)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
store = ResultStore(Path(sys.argv[1]))
try:
    store.keep("q-1", "E-1", {}, scoring)
except DiskFull as error:
    print(error.code, sum(path.is_file() for path in store.folder.rglob("*")))
"""


def test_a_full_disk_leaves_nothing_behind(store: ResultStore, scoring: Scoring) -> None:
    import pickle

    # a limit on the size of files, in a process of its own: writing fails half-way, as it does
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(store.folder)],
        input=pickle.dumps(scoring), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.decode().split() == [DiskFull.code, "0"], done.stderr.decode()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_the_heat_map_is_in_the_frame_of_the_original(store: ResultStore, scoring: Scoring) -> None:
    kept = keep(store, scoring)
    picture = Image.open(BytesIO(kept.heatmap_png()))
    assert picture.height > 4 * HEIGHT
    for view, read in zip(kept.views, scoring.views, strict=True):
        shown, place = lay_back(view), read.prepared.geometry
        mammogram = read.mammogram
        assert shown.shape == (HEIGHT, round(mammogram.columns * HEIGHT / mammogram.rows))
        scale = HEIGHT / mammogram.rows
        rows, columns = np.nonzero(shown)
        assert rows.min() >= place.y0 * scale - 1 and rows.max() <= place.y1 * scale + 1
        assert columns.min() >= place.x0 * scale - 1 and columns.max() <= place.x1 * scale + 1
        # the brightest of the prepared image is at its own place of the original
        y, x = np.unravel_index(int(view.pixels.argmax()), view.pixels.shape)
        at_x, at_y = (edge * scale for edge in place.to_original(x + 0.5, y + 0.5))
        near = shown[int(at_y) - 4 : int(at_y) + 5, int(at_x) - 4 : int(at_x) + 5]
        assert near.max() > 0.8 * view.pixels.max()


def test_a_large_image_is_kept_smaller_and_drawn_alike(
    store: ResultStore, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = keep(store, scoring)
    monkeypatch.setattr("mammo.kept_result.MOST_ROWS", 64)  # of 128
    small = keep(store, scoring, "q-2")
    for view, smaller in zip(whole.views, small.views, strict=True):
        assert smaller.pixels.shape == tuple(side // 2 for side in view.pixels.shape)
        shown, alike = (lay_back(one).astype(float) for one in (view, smaller))
        assert np.abs(shown - alike).mean() < 4
        assert np.corrcoef(shown.ravel(), alike.ravel())[0, 1] > 0.98


def test_a_release_without_heat_has_no_map(
    store: ResultStore, files: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    plain = load(write_release(tmp_path / "releases", "r-plain"))
    kept = keep(store, plain.score_read(plain.read_exam(files, key=KEY, site="s")))
    assert kept.findings()["views"][0]["findings"] == []
    with pytest.raises(ResultUnknown, match="r-plain does not tell"):
        kept.heatmap_png()
    with pytest.raises(ResultUnknown, match="ids of the original images were not kept"):
        ReportMaterial.of_kept(kept)


def test_nothing_but_the_ids_names_the_patient(
    store: ResultStore, scoring: Scoring, files: list[tuple[str, bytes]]
) -> None:
    import zipfile

    keep(store, scoring)
    original = pydicom.dcmread(BytesIO(files[0][1]), stop_before_pixels=True)
    words = [str(original[name].value).encode() for name in ("PatientID", "StudyInstanceUID")]
    with zipfile.ZipFile(store.request_path("q-1")) as archive:
        for name in archive.namelist():
            found = [word in archive.read(name) for word in words]
            assert found == [name == "original_ids.json"] * 2, name
