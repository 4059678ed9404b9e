"""A small archive that can answer in every wrong way; what is right, Orthanc is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

TOKEN = "bearer-0123456789"
BOUNDARY = "a1b2c3"
Reply = tuple[int, dict[str, str], bytes]


def multipart(body: bytes, boundary: str = BOUNDARY) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return head + body + f"\r\n--{boundary}--\r\n".encode()


RELATED = {"Content-Type": f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'}


@dataclass
class Pacs:
    """Instances by UID, each a study of its own of one day, and the answers to give first."""

    files: dict[str, bytes]
    days: dict[str, str] = field(default_factory=dict)
    searches: list[Reply] = field(default_factory=list)
    retrievals: dict[str, list[Reply]] = field(default_factory=dict)
    """By UID; the last one stays."""
    cap: int = 500
    knows_offset: bool = True
    knows_star: bool = True
    cut: int | None = None
    """The connection ends after so many bytes of an instance, once."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def matches(self, path: list[str]) -> list[dict[str, Any]]:
        uids = [uid for uid in self.files if len(path) == 1 or path[1] == f"{uid}.1"]
        return [
            {
                "0020000D": {"vr": "UI", "Value": [f"{uid}.1"]},
                "0020000E": {"vr": "UI", "Value": [f"{uid}.2"]} if len(path) > 1 else {},
                "00080018": {"vr": "UI", "Value": [uid]} if len(path) > 3 else {},
                "00080020": {"vr": "DA", "Value": [self.days.get(uid, "20240101")]},
                "00080060": {"vr": "CS", "Value": ["MG"]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Geheim^Anna"}]},
            }
            for uid in uids
        ]


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that hung up; anything else its answer shows."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pacs: Pacs

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlparse(self.path)
        self.pacs.asked.append(self.path)
        path, asked = parts.path.strip("/").split("/"), parse_qs(parts.query)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply((401, {}, b"Geheim^Anna"))
        if path[-2:-1] == ["instances"]:
            return self.instance(path[-1])
        if self.pacs.searches:
            return self.reply(self.pacs.searches.pop(0))
        found = self.pacs.matches(path)
        if "StudyDate" in asked:
            first = asked["StudyDate"][0].rstrip("-")
            found = [one for one in found if one["00080020"]["Value"][0] >= first]
        start = int(asked["offset"][0]) * self.pacs.knows_offset
        page = found[start : start + min(int(asked["limit"][0]), self.pacs.cap)]
        told = {"Content-Type": "application/dicom+json"}
        return self.reply((200, told, json.dumps(page).encode()) if page else (204, {}, b""))

    def instance(self, uid: str) -> None:
        planned = self.pacs.retrievals.get(uid, [])
        if planned:
            return self.reply(planned.pop(0) if len(planned) > 1 else planned[0])
        if "transfer-syntax=*" in self.headers["Accept"] and not self.pacs.knows_star:
            return self.reply((406, {}, b""))
        return self.reply((200, RELATED, multipart(self.pacs.files[uid])))

    def reply(self, reply: Reply) -> None:
        status, headers, body = reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if "multipart" in headers.get("Content-Type", "") and self.pacs.cut is not None:
            body, self.pacs.cut, self.close_connection = body[: self.pacs.cut], None, True
        self.wfile.write(body)


@contextmanager
def serve(pacs: Pacs) -> Iterator[Pacs]:
    """Run it on a free port while the block lasts."""
    server = Server(("127.0.0.1", 0), type("H", (Handler,), {"pacs": pacs}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    pacs.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
