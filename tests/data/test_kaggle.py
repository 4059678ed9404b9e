"""The challenge's download: Kaggle's own client against a far side that breaks in every way."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli_get import add_get_commands
from mammo.data.download import WORK
from mammo.data.download_retry import Passing, Patience, retry_after
from mammo.data.download_rsna import Choice, download_rsna
from mammo.data.download_set import MANIFEST, verify_set
from mammo.errors import (
    ChecksumMismatch,
    DiskFull,
    DownloadInterrupted,
    DownloadRefused,
    MammoError,
    SettingsInvalid,
    SourceInvalid,
    SourceNotFound,
    TableInvalid,
)

from .kaggle_server import TOKEN, FarSide, serve

HASTY = Patience(tries=3, first_seconds=0.01, longest_seconds=0.02)
TABLE = b"site_id,patient_id,image_id\n2,5,101\n2,5,102\n1,7,103\n1,9,104\n"
IMAGE = random.Random(4).randbytes(3 * 2**20)
FILES = {"train.csv": TABLE} | {
    f"train_images/{patient}/{image}.dcm": IMAGE[image:]
    for patient, image in ((5, 101), (5, 102), (7, 103), (9, 104))
}
ONE = "train_images/7/103.dcm"
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kagglesdk")
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENVIRONMENT", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[FarSide]:
    from kagglesdk import kaggle_env

    with serve(FarSide(dict(FILES))) as side:
        where = kaggle_env._env_to_endpoint
        monkeypatch.setitem(where, kaggle_env.KaggleEnv.PROD, side.api)
        yield side


def get(folder: Path, *only: str, patience: Patience = HASTY, **more: Any) -> Any:
    return download_rsna(folder, Choice(only), patience=patience, connections=1, **more)


def present(folder: Path) -> dict[str, bytes]:
    """Every file that a reader would find; nothing hidden, and no list of checksums."""
    files = (path for path in folder.rglob("*") if path.is_file())
    shown = {path.relative_to(folder).as_posix(): path for path in files}
    return {n: p.read_bytes() for n, p in shown.items() if n[0] != "." and n != MANIFEST}


def test_all_comes_by_pages_and_sha256sum_agrees(far: FarSide, tmp_path: Path) -> None:
    report = download_rsna(tmp_path / "rsna", patience=HASTY)
    assert (report.files, report.fetched) == (5, 5)
    assert report.bytes == sum(map(len, FILES.values()))
    assert present(tmp_path / "rsna") == FILES
    assert far.pages == ["", "3"]
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", MANIFEST], cwd=tmp_path / "rsna", capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count(": OK") == 5
    assert not list((tmp_path / "rsna" / WORK).glob("*.part"))


def test_the_token_goes_to_kaggle_and_not_to_its_storage(far: FarSide, tmp_path: Path) -> None:
    far.cuts = [2**20]
    get(tmp_path, ONE)
    assert len(far.storage_headers) == 3
    assert not any("Authorization" in headers for headers in far.storage_headers)
    assert {headers["Accept-Encoding"] for headers in far.storage_headers} == {"identity"}


def test_a_second_run_asks_for_nothing(far: FarSide, tmp_path: Path) -> None:
    get(tmp_path)
    asked = len(far.requests)
    assert get(tmp_path).fetched == 0
    assert len(far.requests) == asked
    assert far.pages == ["", "3"]  # the listing is kept too


def test_a_connection_cut_twice_goes_on_by_ranges(far: FarSide, tmp_path: Path) -> None:
    far.cuts = [2**20, None, 2**20]
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: FILES[ONE]}
    ranges = [asked for _, asked, status in far.requests if status == 206]
    assert ranges == [f"bytes={2**20}-", f"bytes={2**21}-"]


def test_what_an_ended_run_left_is_gone_on_with(far: FarSide, tmp_path: Path) -> None:
    far.cuts = [2**20]
    with pytest.raises(DownloadInterrupted, match=r"1\.0 MB of it are kept.*0 of 1 files are here"):
        get(tmp_path, ONE, patience=Patience(tries=1))
    assert present(tmp_path) == {}
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: FILES[ONE]}
    assert far.requests[-1] == (ONE, f"bytes={2**20}-", 206)


def test_a_file_changed_between_two_runs_begins_anew(far: FarSide, tmp_path: Path) -> None:
    far.cuts = [2**20]
    with pytest.raises(DownloadInterrupted):
        get(tmp_path, ONE, patience=Patience(tries=1))
    far.files[ONE] = other = bytes(reversed(FILES[ONE]))
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: other}


def test_a_file_changed_under_the_range_request_begins_anew(far: FarSide, tmp_path: Path) -> None:
    """The plain answer and the one to the Range request are of two versions."""
    far.cuts = [2**20]
    with pytest.raises(DownloadInterrupted):
        get(tmp_path, ONE, patience=Patience(tries=1))
    far.storage_answers = [0]  # nothing planned for the first of the two
    other = bytes(reversed(FILES[ONE]))
    answers = iter([FILES[ONE], other, other, other])

    class Turning(dict[str, bytes]):
        def __getitem__(self, name: str) -> bytes:
            return next(answers)

    far.files = Turning(far.files)
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: other}


def test_a_far_side_without_etag_begins_anew(far: FarSide, tmp_path: Path) -> None:
    far.etag, far.cuts = 'W/"weak"', [2**20]
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: FILES[ONE]}
    assert [asked for _, asked, _ in far.requests] == [None, None]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_far_side_is_asked_again(far: FarSide, tmp_path: Path, status: int) -> None:
    far.api_answers, far.storage_answers = [(status, {})], [status]
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: FILES[ONE]}


def test_retry_after_is_waited_for(far: FarSide, tmp_path: Path) -> None:
    far.api_answers = [(429, {"Retry-After": "1"})]
    began = time.monotonic()
    get(tmp_path, ONE)
    assert time.monotonic() - began >= 1.0


def test_a_retry_after_of_hours_ends_the_run(far: FarSide, tmp_path: Path) -> None:
    far.api_answers = [(429, {"Retry-After": "7200"})]
    with pytest.raises(DownloadInterrupted, match=r"status 429 \(it asks to wait 120 minutes\)"):
        get(tmp_path, ONE)


def test_a_signed_address_that_expired_is_asked_for_anew(far: FarSide, tmp_path: Path) -> None:
    far.storage_answers = [403]
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: FILES[ONE]}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("17", 17.0), (" 3 ", 3.0), ("", None), ("soon", None), ("-4", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Oct 2015", None)],
)  # fmt: skip
def test_retry_after_is_read(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_waits_double_up_to_the_longest() -> None:
    pauses = [Patience(tries=9).pause(n, Passing("x")) or 0.0 for n in range(1, 9)]
    assert all(2**n / 2 <= one <= 2**n for n, one in enumerate(pauses[:6]))
    assert all(30 <= one <= 60 for one in pauses[6:])
    assert Patience(tries=9).pause(9, Passing("x")) is None


REFUSED = [
    ("KGAT_wrong", {}, DownloadRefused, "does not know the token.*kaggle.com/settings.*API_TOKEN"),
    ("", {}, DownloadRefused, "no Kaggle token was found.*KAGGLE_API_TOKEN"),
    ("KGAT_a\nb", {}, DownloadRefused, "line break"),
    ("KGAT_ключ", {}, DownloadRefused, "another sign"),
    ("KGAT_" + "x" * 5000, {}, DownloadRefused, "token"),
    (TOKEN, {"accepted": False}, DownloadRefused, "rsna-breast-cancer-detection/rules"),
    (TOKEN, {"page": True}, DownloadRefused, "a web page came.*proxy"),
    (TOKEN, {"api_answers": [(418, {})]}, DownloadRefused, "status 418"),
    (TOKEN, {"files": {}}, SourceNotFound, "has not got train_images/7/103.dcm"),
    (TOKEN, {"false_md5": 9}, ChecksumMismatch, "promises MD5 0000"),
    (TOKEN, {"api_answers": [(503, {})] * 9}, DownloadInterrupted, "status 503.*goes on where"),
]  # fmt: skip


@pytest.mark.parametrize(("token", "wrong", "error", "message"), REFUSED)
def test_refusals_tell_the_way_out_and_never_the_token(
    far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any,
    token: str, wrong: dict[str, Any], error: type[MammoError], message: str,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    for name, value in wrong.items():
        setattr(far, name, value)
    with pytest.raises(error, match=message) as caught:
        get(tmp_path / "rsna", ONE)
    assert present(tmp_path / "rsna") == {}
    told = caplog.text + caught.value.message + repr(caught.getrepr(style="native"))
    assert not token or token not in told
    assert "KGAT_" not in told.replace("KGAT_wrong" if not token else "", "")


def test_the_listing_is_refused_and_retried_likewise(
    far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far.api_answers = [(503, {}), (429, {"Retry-After": "0"})]
    assert get(tmp_path / "a").files == 5
    far.api_answers = [(503, {})] * 9
    with pytest.raises(DownloadInterrupted, match="the listing of the files broke off"):
        get(tmp_path / "b")
    far.page, far.api_answers = True, []
    with pytest.raises(DownloadRefused, match="a web page came"):
        get(tmp_path / "b")


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/passwd", "a/../../b", ".bashrc", "a\nb", "c:\\x"]
)
def test_a_name_outside_the_folder_is_not_written(far: FarSide, tmp_path: Path, name: str) -> None:
    far.files = {name: b"x"}
    with pytest.raises(SourceInvalid, match="outside the folder or be hidden"):
        get(tmp_path / "rsna")
    assert present(tmp_path) == {}


def test_false_bytes_are_asked_for_once_more(far: FarSide, tmp_path: Path) -> None:
    far.false_md5 = 1
    get(tmp_path, ONE)
    assert present(tmp_path) == {ONE: FILES[ONE]}
    assert len(far.requests) == 2


def test_a_table_that_comes_zipped_is_unpacked(far: FarSide, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", TABLE)
    far.files["train.csv"], far.served_as["train.csv"] = packed.getvalue(), "train.csv.zip"
    get(tmp_path, "train.csv")
    assert present(tmp_path) == {"train.csv": TABLE}
    assert verify_set(tmp_path) == 1
    far.files["train.csv"] = b"PK\3\4 and no more"
    with pytest.raises(ChecksumMismatch, match="came as a ZIP that does not hold it"):
        get(tmp_path / "other", "train.csv")
    assert present(tmp_path / "other") == {}


@pytest.mark.parametrize(
    ("choice", "patients"),
    [(Choice(patients=("7", "9")), {"7", "9"}), (Choice(images=3), {"5", "7"}),
     (Choice(images=0), set()), (Choice(images=99), {"5", "7", "9"})],
)  # fmt: skip
def test_whole_patients_are_chosen(
    far: FarSide, tmp_path: Path, choice: Choice, patients: set[str]
) -> None:
    download_rsna(tmp_path, choice, patience=HASTY)
    expected = {n: b for n, b in FILES.items() if n.split("/")[1:2] in [[p] for p in patients]}
    assert present(tmp_path) == expected | {"train.csv": TABLE}
    assert far.pages == []


def test_choices_that_cannot_be_met(far: FarSide, tmp_path: Path) -> None:
    with pytest.raises(TableInvalid, match="no such patient: number 2 of the 2 given"):
        download_rsna(tmp_path, Choice(patients=("5", "6")), patience=HASTY)
    far.files["train.csv"] = b"image_id,patient\n1,2\n"
    with pytest.raises(TableInvalid, match="no column patient_id"):
        download_rsna(tmp_path / "b", Choice(images=1), patience=HASTY)
    with pytest.raises(SettingsInvalid, match="one of --only"):
        Choice(only=("a",), images=1)


def test_room_is_asked_for_before_the_first_file(far: FarSide, tmp_path: Path) -> None:
    far.sizes = {ONE: 10**15}
    with pytest.raises(DiskFull, match=r"1,000,00.* GB are needed.*--to"):
        get(tmp_path)
    assert far.requests == []
    assert present(tmp_path) == {}


def test_a_disk_that_fills_up_keeps_what_came(
    far: FarSide, tmp_path: Path, monkeypatch: Any
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        monkeypatch.setattr("mammo.data.download.SPARE_BYTES", -(2**40))  # only the kernel refuses
        with pytest.raises(DiskFull, match=r"make room.*0 of 1 files are here"):
            get(disk, ONE)
        assert present(disk) == {}
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        get(disk, ONE)
        assert present(disk) == {ONE: FILES[ONE]}
        assert far.requests[-1][2] == 206
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_file_that_came_another_way_is_not_written_over(far: FarSide, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"mine")
    with pytest.raises(ChecksumMismatch, match=r"train\.csv is in the folder.*Move it away"):
        get(tmp_path, "train.csv")
    assert (tmp_path / "train.csv").read_bytes() == b"mine"


def test_verify_names_what_differs(far: FarSide, tmp_path: Path) -> None:
    get(tmp_path)
    assert verify_set(tmp_path) == 5
    (tmp_path / ONE).write_bytes(b"\0" + FILES[ONE][1:])
    (tmp_path / "train.csv").unlink()
    with pytest.raises(ChecksumMismatch, match=f"2 of 5 files differ.*train.csv, {ONE}"):
        verify_set(tmp_path)
    (tmp_path / ONE).unlink()
    assert get(tmp_path).fetched == 2
    assert verify_set(tmp_path) == 5
    with pytest.raises(SourceNotFound, match=r"has no checksums\.sha256"):
        verify_set(tmp_path / "empty")


CHILD = """
import sys, pathlib
sys.path.insert(0, {root!r})
from kagglesdk import kaggle_env
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = {api!r}
from mammo.data.download_rsna import download_rsna
download_rsna(pathlib.Path({folder!r}), connections=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.15, 0.9, 3.0])
def test_kill_9_leaves_nothing_half_written(far: FarSide, tmp_path: Path, moment: float) -> None:
    far.slow_seconds = 0.05  # two images are here after 2.4 s, all four after 4.8
    folder = tmp_path / "rsna"
    code = CHILD.format(root=str(ROOT), api=far.api, folder=str(folder))
    child = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    while not far.requests and child.poll() is None:
        time.sleep(0.01)
    time.sleep(moment)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    came = present(folder)
    assert came.items() <= FILES.items()
    far.slow_seconds = 0.0
    assert get(folder).fetched == 5 - len(came)
    assert present(folder) == FILES
    assert verify_set(folder) == 5


def test_two_downloads_do_not_share_a_folder(far: FarSide, tmp_path: Path) -> None:
    from mammo.data.download_set import at_work

    with at_work(tmp_path), pytest.raises(DownloadInterrupted, match="another process"):
        get(tmp_path, ONE)


def test_importing_says_and_sends_nothing(tmp_path: Path) -> None:
    code = "import sys, mammo.data.download_rsna; assert 'kagglesdk' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


def command(*arguments: str) -> Any:
    app, get_app = typer.Typer(), typer.Typer()
    add_get_commands(get_app)
    app.add_typer(get_app, name="get")
    return CliRunner().invoke(app, ["get", *arguments])


def test_the_command(far: FarSide, tmp_path: Path) -> None:
    to = ["--to", str(tmp_path / "rsna")]
    done = command("rsna", *to, "--patients", "5", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["files"] == 3
    checked = command("rsna", *to, "--verify", "--json")
    assert json.loads(checked.stdout) == {"directory": str(tmp_path / "rsna"), "verified": 3}
    far.accepted = False
    shutil.rmtree(tmp_path / "rsna")
    refused = command("rsna", *to, "--only", "train.csv", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stderr)["code"] == "DOWNLOAD_REFUSED"
