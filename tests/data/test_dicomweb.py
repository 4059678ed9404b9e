"""The archive source against an archive, a proxy and a network that answer wrongly."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from flows.cli_get import add_get_commands
from mammo.data.download_retry import Patience
from mammo.data.sources.dicomweb import FetchReport, fetch_new, spool_of
from mammo.data.sources.dicomweb_archive import find_address, is_uid
from mammo.data.sources.multipart import Broken, single_part
from mammo.errors import ArchiveUnreachable, DownloadInterrupted, MammoError, SettingsInvalid
from mammo.settings import Settings

from .dicomweb_server import BOUNDARY, RELATED, TOKEN, Pacs, multipart, serve

HASTY = Patience(tries=3, first_seconds=0.001, longest_seconds=0.002)
UIDS = [f"1.2.826.0.1.{n}" for n in range(1, 5)]
HTML = (200, {"Content-Type": "text/html"}, b"<html>Sign in, Geheim^Anna</html>")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    from .conftest import write_dicom

    folder = tmp_path_factory.mktemp("pacs")
    paths = [write_dicom(folder / f"{n}.dcm", n, PatientName="Geheim^Anna") for n in range(4)]
    return {str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes() for path in paths}


@pytest.fixture
def pacs(images: dict[str, bytes]) -> Iterator[Pacs]:
    days = {uid: f"2024010{n}" for n, uid in enumerate(UIDS, start=1)}
    with serve(Pacs(dict(images), days)) as running:
        yield running


@pytest.fixture
def settings(pacs: Pacs, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home", _env_file=None, dicomweb_url=pacs.url,
        dicomweb_token=SecretStr(TOKEN),
    )  # fmt: skip


def fetch(settings: Settings, **more: Any) -> FetchReport:
    return fetch_new(settings, patience=HASTY, **more)


def spooled(settings: Settings) -> dict[str, bytes]:
    files = spool_of(settings).glob("??/*.dcm")
    return {str(pydicom.dcmread(path).SOPInstanceUID): path.read_bytes() for path in files}


def test_everything_comes_as_it_is(
    settings: Settings, pacs: Pacs, images: dict[str, bytes]
) -> None:
    report = fetch(settings)
    assert spooled(settings) == images
    assert (report.fetched, report.watermark) == (4, date(2024, 1, 4))
    assert report.bytes == sum(map(len, images.values()))
    assert fetch(settings, overlap_days=1).fetched == 0
    assert any("StudyDate=20240103-" in one for one in pacs.asked)


@pytest.mark.parametrize(
    "change",
    [{"cap": 1}, {"cap": 3}, {"knows_offset": False}, {"knows_star": False}, {"cut": 5000}],
)
def test_archives_with_ways_of_their_own(
    settings: Settings, pacs: Pacs, images: dict[str, bytes], change: dict[str, Any]
) -> None:
    for name, value in change.items():
        setattr(pacs, name, value)
    assert fetch(settings).fetched == 4
    assert spooled(settings) == images


FIRST = UIDS[1]
GOOD_TYPE = {"Content-Type": "application/dicom"}
BROKEN = {
    "truncated": (200, RELATED, multipart(b"x" * 999)[:-10]),
    "no part": (200, RELATED, f"--{BOUNDARY}--\r\n".encode()),
    "no delimiter": (200, RELATED, b"y" * 99),
    "endless preamble": (200, RELATED, b"y" * 200_000),
    "no boundary": (200, {"Content-Type": "multipart/related"}, multipart(b"x")),
    "empty": (200, RELATED, b""),
    "JPEG": (200, {"Content-Type": "image/jpeg"}, b"\xff\xd8"),
    "JSON": (200, {"Content-Type": "application/dicom+json"}, b"[]"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_instance_holds_the_watermark_only(
    settings: Settings, pacs: Pacs, images: dict[str, bytes], kind: str
) -> None:
    pacs.retrievals[FIRST] = [BROKEN[kind]]
    report = fetch(settings)
    assert (report.fetched, report.failed) == (3, {"BROKEN_ANSWER": 1})
    assert report.watermark == date(2024, 1, 1)  # the day before the broken one's
    assert spooled(settings) == {uid: b for uid, b in images.items() if uid != FIRST}
    assert not list(spool_of(settings).rglob(".draft-*"))
    pacs.retrievals.clear()
    mended = fetch(settings, overlap_days=0)
    assert (mended.fetched, mended.watermark) == (1, date(2024, 1, 4))
    assert spooled(settings) == images


def test_an_answer_with_two_parts_or_another_instance_is_broken(
    settings: Settings, pacs: Pacs, images: dict[str, bytes]
) -> None:
    two = multipart(images[FIRST])[:-4] + multipart(images[FIRST])[2 + len(BOUNDARY) :]
    pacs.retrievals = {
        FIRST: [(200, RELATED, two)],
        UIDS[2]: [(200, RELATED, multipart(images[UIDS[0]]))],
    }
    report = fetch(settings)
    assert report.failed == {"BROKEN_ANSWER": 2}
    assert set(spooled(settings)) == {UIDS[0], UIDS[3]}


def test_what_is_broken_once_is_asked_again(
    settings: Settings, pacs: Pacs, images: dict[str, bytes]
) -> None:
    body = images[FIRST]
    busy = (503, {"Retry-After": "0"}, b"")
    pacs.retrievals[FIRST] = [BROKEN["truncated"], busy, (200, GOOD_TYPE, body)]
    pacs.searches = [busy, (429, {}, b"")]
    assert fetch(settings).failed == {}
    assert spooled(settings) == images


@pytest.mark.parametrize(
    ("answer", "code"),
    [((200, RELATED, multipart(b"x" * 4096)), "NOT_DICOM"),
     ((200, RELATED, multipart(b"\0" * 2**21)), "TOO_LARGE")],
)  # fmt: skip
def test_what_is_wrong_for_good_is_refused_once(
    settings: Settings, pacs: Pacs, answer: Any, code: str
) -> None:
    pacs.retrievals[FIRST] = [answer]
    small = settings.model_copy(update={"max_file_mb": 1})
    report = fetch(small)
    assert (report.refused, report.failed) == ({code: 1}, {})
    assert report.watermark == date(2024, 1, 4)
    asked = sum(FIRST + "?" in one or one.endswith(FIRST) for one in pacs.asked)
    assert fetch(small).refused == {}
    assert asked == sum(FIRST + "?" in one or one.endswith(FIRST) for one in pacs.asked)


def test_what_the_archive_lists_and_lacks_does_not_hold_the_rest(
    settings: Settings, pacs: Pacs
) -> None:
    pacs.retrievals[FIRST] = [(404, {}, b"")]
    report = fetch(settings)
    assert (report.fetched, report.failed) == (3, {"FILE_VANISHED": 1})
    assert report.watermark == date(2024, 1, 4)
    pacs.retrievals.clear()
    assert fetch(settings).fetched == 1


SEARCHES = [
    (HTML, "web page.*login page or a proxy"),
    ((302, {"Location": "https://login.example/?uid=1.2.3"}, b""), r"status 302.*login page"),
    ((401, {}, b""), r"does not let us in \(status 401\).*MAMMO_DICOMWEB_TOKEN"),
    ((403, {}, b""), r"does not let us in \(status 403\)"),
    ((404, {}, b""), "should be the root of its DICOMweb services"),
    ((500, {}, b""), "status 500, 3 times in a row.*run it again"),
    ((503, {"Retry-After": "99999"}, b""), "status 503, 1 times in a row"),
    ((418, {}, b""), "status 418, which PS3.18 does not have here"),
]


# an instance that is gone (404) is another matter
CASES = [("search", *one) for one in SEARCHES]
CASES += [("instance", *one) for one in SEARCHES if one[0][0] != 404]


@pytest.mark.parametrize(("where", "answer", "message"), CASES)
def test_an_archive_that_cannot_be_asked(
    settings: Settings, pacs: Pacs, caplog: Any, answer: Any, message: str, where: str
) -> None:
    caplog.set_level(logging.DEBUG)
    if where == "search":
        pacs.searches = [answer] * 9
    else:
        pacs.retrievals[FIRST] = [answer]
    with pytest.raises(ArchiveUnreachable, match=message) as caught:
        fetch(settings)
    told = caught.value.message + caplog.text
    assert not [one for one in ("Geheim", "1.2.3", "1.2.826", TOKEN) if one in told]
    pacs.searches, pacs.retrievals = [], {}
    assert len(spooled(settings)) == (0 if where == "search" else 1)
    fetch(settings)
    assert len(spooled(settings)) == 4


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"not json", b'[{"0020000D": ', b"\xff\xfe"])
def test_a_search_that_is_no_list_of_matches(settings: Settings, pacs: Pacs, body: bytes) -> None:
    pacs.searches = [(200, {"Content-Type": "application/dicom+json"}, body)] * 3
    with pytest.raises(ArchiveUnreachable, match="the search is answered with"):
        fetch(settings)


@pytest.mark.parametrize(
    "match",
    [{"0020000D": {"Value": ["1.2/../../etc"]}}, {"0020000D": {"Value": []}}, {},
     {"0020000D": "1.2"}, {"0020000D": {"Value": {"a": 1}}}, {"0020000D": {"Value": ["9" * 65]}}],
)  # fmt: skip
def test_matches_without_a_uid_are_passed_over(
    settings: Settings, pacs: Pacs, match: dict[str, Any]
) -> None:
    answer = json.dumps([match]).encode()
    pacs.searches = [(200, {"Content-Type": "application/json"}, answer), (204, {}, b"")]
    assert fetch(settings).studies == 0
    assert len(pacs.asked) <= 2


def test_nobody_listens(settings: Settings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ArchiveUnreachable, match=r"127.0.0.1:\d+: no answer \(ConnectError\)"):
            fetch(settings, url=url)


@pytest.mark.parametrize(
    ("url", "message"),
    [("", "no archive is given"), ("pacs.example", "no http"), ("ftp://a/b", "no http"),
     ("http://", "no http"), ("http://h:99999999", "no http"), ("http://[::1", "no http"),
     ("https://u:secret-9@pacs.example", "holds an account"),
     ("https://pacs.example?token=secret-9", "holds an account or a query")],
)  # fmt: skip
def test_addresses_that_cannot_be(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(SettingsInvalid, match=message) as caught:
        find_address(Settings(home=tmp_path, _env_file=None), url)
    assert "secret-9" not in caught.value.message


@pytest.mark.parametrize("token", ["tok\nen", "tök€n"])
def test_a_token_that_cannot_be_is_not_shown(settings: Settings, caplog: Any, token: str) -> None:
    caplog.set_level(logging.DEBUG)
    given = settings.model_copy(update={"dicomweb_token": SecretStr(token)})
    with pytest.raises(MammoError, match="DICOMWEB_TOKEN") as caught:
        fetch(given)
    assert token not in caught.value.message + caplog.text + str(caught.getrepr(style="native"))


def test_secrets_are_in_no_dump_and_reach_children(settings: Settings) -> None:
    given = settings.model_copy(update={"dicomweb_password": SecretStr("pass-77")})
    assert not [one for one in (TOKEN, "pass-77") if one in repr(given) + given.model_dump_json()]
    environment = given.child_environment()
    assert environment["MAMMO_DICOMWEB_TOKEN"] == TOKEN
    assert environment["MAMMO_DICOMWEB_PASSWORD"] == "pass-77"
    assert environment["MAMMO_DICOMWEB_URL"] == settings.dicomweb_url


def test_days_in_the_future_and_none_do_not_move_the_watermark(
    settings: Settings, pacs: Pacs
) -> None:
    pacs.days |= {UIDS[2]: "29990101", UIDS[3]: "not a day"}
    report = fetch(settings)
    assert report.fetched == 4
    assert report.watermark is not None and report.watermark < date(2999, 1, 1)


def test_the_memory_holds_hashes_only(settings: Settings) -> None:
    fetch(settings)
    (path,) = spool_of(settings).glob(".dicomweb/*.db")
    rows = sqlite3.connect(path).execute("SELECT hash FROM instances").fetchall()
    assert len(rows) == 4 and all(len(bytes.fromhex(one)) == 16 for (one,) in rows)
    text = path.read_bytes().decode("latin-1")
    assert not [word for word in (*UIDS, "Geheim", "127.0.0.1") if word in text]


def test_a_killed_write_is_found_again(settings: Settings, images: dict[str, bytes]) -> None:
    """The file is there and was not entered: what a kill between the two leaves."""
    fetch(settings)
    (path,) = spool_of(settings).glob(".dicomweb/*.db")
    with sqlite3.connect(path) as state:
        state.executescript("DELETE FROM instances; DELETE FROM studies; DELETE FROM watermark;")
    assert fetch(settings).fetched == 4
    assert spooled(settings) == images


def test_a_later_since_leaves_no_gap_behind_the_watermark(settings: Settings, pacs: Pacs) -> None:
    """Else the watermark would pass days of which nothing was asked for."""
    later = {uid: pacs.files.pop(uid) for uid in UIDS[1:]}
    first = fetch(settings)
    assert (first.fetched, first.watermark) == (1, date(2024, 1, 1))
    pacs.files |= later
    assert fetch(settings, since=date(2024, 1, 4), overlap_days=0).fetched == 3


def test_two_fetches_do_not_share_a_folder(settings: Settings) -> None:
    from mammo.data.download_set import at_work

    with at_work(spool_of(settings)), pytest.raises(DownloadInterrupted, match="another process"):
        fetch(settings)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10**6])
@pytest.mark.parametrize(
    "body", [b"", b"x", b"\r\n", b"\r\n--" + BOUNDARY[:-1].encode(), b"--" + BOUNDARY.encode(),
             b"\r\n\r\n--\r\n" * 50],
)  # fmt: skip
def test_a_part_is_found_however_it_is_cut(body: bytes, size: int) -> None:
    for start in (b"", b"\r\n", b"a preamble\r\n"):
        whole = start + multipart(body)
        chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert b"".join(single_part(chunks, BOUNDARY)) == body
    with pytest.raises(Broken):
        list(single_part(chunks[:-8], BOUNDARY) if size == 1 else single_part([], BOUNDARY))


@pytest.mark.parametrize(
    ("text", "right"), [("1.2.840", True), ("1..2", False), ("1.2\n", False), ("", False)]
)
def test_uids(text: str, right: bool) -> None:
    assert is_uid(text) is right


def test_the_command(settings: Settings, monkeypatch: pytest.MonkeyPatch, pacs: Pacs) -> None:
    import typer

    app, get = typer.Typer(), typer.Typer()
    add_get_commands(get)
    app.add_typer(get, name="get")
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    monkeypatch.setenv("MAMMO_DICOMWEB_TOKEN", TOKEN)
    done = CliRunner().invoke(app, ["get", "dicomweb", pacs.url, "--since", "2024-01-03", "--json"])
    assert done.exit_code == 0, done.stderr
    assert (json.loads(done.stdout)["fetched"], json.loads(done.stdout)["watermark"]) == (
        2, "2024-01-04",
    )  # fmt: skip
    monkeypatch.delenv("MAMMO_DICOMWEB_TOKEN")
    refused = CliRunner().invoke(app, ["get", "dicomweb", pacs.url])
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error ARCHIVE_UNREACHABLE: 127.0.0.1:")
