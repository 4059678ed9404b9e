"""STOW-RS: what each answer of a DICOMweb service leads to, and what is never told to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bentos.gateway.outbox import Outbox
from bentos.gateway.outbox_attempts import Attempts
from bentos.gateway.peer import Peer
from flows.servers import free_port
from tests.gateway.pacs import NAME, STUDY_UID, make_report, outbox_to
from tests.gateway.test_outbox_sending import START, sender_to

Answer = tuple[int, dict[str, str], bytes]


def failed(reason: int) -> bytes:
    items = [{"00081197": {"vr": "US", "Value": [reason]}}]
    return json.dumps({"00081198": {"vr": "SQ", "Value": items}}).encode()


def stored(**tags: Any) -> bytes:
    item = {tag: {"vr": "US", "Value": [value]} for tag, value in tags.items()}
    return json.dumps([{"00081199": {"vr": "SQ", "Value": [item]}}]).encode()


class Web:
    """An HTTP server that gives the answers it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.post: Answer = (200, {}, b"")
        self.found: Answer = (204, {}, b"")
        asked, web = self.asked, self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, answer: Answer) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((self.command, self.path, dict(self.headers), body))
                self.send_response(answer[0])
                for name, value in {**answer[1], "Content-Length": str(len(answer[2]))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer[2])

            def do_POST(self) -> None:
                if web.post[0] == 0:
                    self.close_connection = True
                    return
                self._answer(web.post)

            def do_GET(self) -> None:
                self._answer(web.found)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    running = Web()
    yield running
    running.server.shutdown()


def web_peer(port: int, **differs: Any) -> Peer:
    told = {"name": "pacs", "receives": ("report",), "via": "stow", "timeout_seconds": 5.0}
    return Peer(**told | {"url": f"http://127.0.0.1:{port}/dicom-web"} | differs)  # type: ignore[arg-type]


def filled(home: Path, peer: Peer) -> Outbox:
    outbox = outbox_to(home, peer)
    outbox.put("study-1", 1, [make_report()], now=START)
    return outbox


@pytest.mark.parametrize(
    ("answer", "state", "code", "uncertain"),
    [
        ((200, {}, b"<xml/>"), "sent", "SENT", False),
        ((200, {}, stored()), "sent", "SENT", False),
        ((202, {}, stored(**{"00081196": 0xB000})), "sent", "STOW_B000", False),
        ((202, {}, failed(0xA700)), "waiting", "STOW_A700", False),
        ((409, {}, failed(0x0110)), "waiting", "STOW_0110", True),
        ((409, {}, failed(0xA900)), "stuck", "STOW_A900", False),
        ((409, {}, failed(0xC122)), "stuck", "STOW_C122", False),
        ((409, {}, failed(0x0111)), "sent", "STOW_0111", False),
        ((409, {}, b""), "stuck", "HTTP_409", False),
        ((400, {}, b""), "stuck", "HTTP_400", False),
        ((413, {}, b""), "stuck", "HTTP_413", False),
        ((415, {}, b""), "stuck", "HTTP_415", False),
        ((401, {}, b""), "waiting", "HTTP_401", False),
        ((403, {}, b""), "waiting", "HTTP_403", False),
        ((404, {}, b""), "waiting", "HTTP_404", False),
        ((302, {"Location": "/login"}, b""), "waiting", "HTTP_302", False),
        ((429, {"Retry-After": "90"}, b""), "waiting", "HTTP_429", False),
        ((503, {}, b""), "waiting", "HTTP_503", False),
        ((500, {}, b""), "waiting", "HTTP_500", True),
        ((504, {}, b""), "waiting", "HTTP_504", True),
        ((0, {}, b""), "waiting", "NO_ANSWER", True),
    ],
)
def test_what_an_answer_leads_to(
    web: Web, tmp_path: Path, answer: Answer, state: str, code: str, uncertain: bool
) -> None:
    web.post = answer
    outbox = filled(tmp_path, web_peer(web.port))
    step = sender_to(outbox, web_peer(web.port)).step(START)
    (one,) = outbox.deliveries()
    assert (one.state, one.code, one.uncertain) == (state, code, uncertain)
    if state == "waiting":
        assert step.next_at is not None and step.next_at > START
        assert step.next_at >= START + float(answer[1].get("Retry-After", 0))


def test_an_address_names_no_study_and_the_body_is_the_file(web: Web, tmp_path: Path) -> None:
    outbox = filled(tmp_path, web_peer(web.port))
    Attempts(outbox, "pacs").begin(1, START)  # and a kill
    assert sender_to(outbox, web_peer(web.port)).step(START).sent == 1
    search, store = web.asked
    report = make_report()
    assert search[:2] == ("GET", f"/dicom-web/instances?SOPInstanceUID={report[2]}&limit=1")
    assert store[:2] == ("POST", "/dicom-web/studies")
    assert store[2]["Content-Type"].startswith('multipart/related; type="application/dicom"')
    assert report[3] in store[3]
    heads = str([(path, headers) for _, path, headers, _ in web.asked])
    assert not [one for one in (NAME, STUDY_UID) if one in heads]


def test_a_report_that_arrived_is_found(web: Web, tmp_path: Path) -> None:
    uid = make_report()[2]
    match = json.dumps([{"00080018": {"vr": "UI", "Value": [uid]}}]).encode()
    web.found = (200, {"Content-Type": "application/dicom+json"}, match)
    outbox = filled(tmp_path, web_peer(web.port))
    Attempts(outbox, "pacs").begin(1, START)
    assert sender_to(outbox, web_peer(web.port)).step(START).found == 1
    assert [one[0] for one in web.asked] == ["GET"]


def test_where_nothing_is_searched_it_goes_again(web: Web, tmp_path: Path) -> None:
    web.found = (400, {}, b"")
    outbox = filled(tmp_path, web_peer(web.port))
    Attempts(outbox, "pacs").begin(1, START)
    assert sender_to(outbox, web_peer(web.port)).step(START).sent == 1
    assert outbox.deliveries()[0].code == "SENT_AGAIN"


def test_the_token_comes_from_the_environment(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    peer = web_peer(web.port, token_env="MAMMO_TEST_TOKEN")
    outbox = filled(tmp_path, peer)
    sender = sender_to(outbox, peer)
    step = sender.step(START)
    assert outbox.destinations()[0].code == "TOKEN_MISSING" and web.asked == []
    monkeypatch.setenv("MAMMO_TEST_TOKEN", "geheim-token")
    assert step.next_at is not None and sender.step(step.next_at).sent == 1
    assert web.asked[0][2]["Authorization"] == "Bearer geheim-token"
    assert "geheim-token" not in caplog.text


def test_a_service_that_is_down_waits(tmp_path: Path) -> None:
    peer = web_peer(free_port())
    outbox = filled(tmp_path, peer)
    assert sender_to(outbox, peer).step(START).sent == 0
    assert outbox.destinations()[0].code == "PEER_UNREACHABLE"
    assert not outbox.deliveries()[0].uncertain
