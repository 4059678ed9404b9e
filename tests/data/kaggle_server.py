"""A local far side that speaks as Kaggle does to its own client (kagglesdk 0.1.37).

``POST /v1/competitions.CompetitionApiService/{ListDataFiles,DownloadDataFile}`` with
JSON and a bearer token; a download is answered with 302 to a signed address of the
storage, another server here as there, which knows no token, honours Range and
If-Range, and tells ETag and ``x-goog-hash``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

API = "/v1/competitions.CompetitionApiService/"
TOKEN = "KGAT_0123456789abcdef-right"


@dataclass
class FarSide:
    """What the two servers have, and what goes wrong with them."""

    files: dict[str, bytes]
    accepted: bool = True
    served_as: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes that the listing tells in place of the true ones."""
    cuts: list[int | None] = field(default_factory=list)
    """The storage hangs up after so many bytes, one for each request; None is not to."""
    api_answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses with headers that the API gives first."""
    storage_answers: list[int] = field(default_factory=list)
    false_md5: int = 0
    etag: str | None = None
    page: bool = False
    """A proxy's page in place of all answers."""
    slow_seconds: float = 0.0
    pages: list[str] = field(default_factory=list)
    requests: list[tuple[str, str | None, int]] = field(default_factory=list)
    """Of the storage: name, Range, status."""
    storage_headers: list[dict[str, str]] = field(default_factory=list)
    api: str = ""
    storage: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, queue: list[Any]) -> Any:
        with self.lock:
            return queue.pop(0) if queue else None


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that hung up; anything else its answer shows."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    far: FarSide

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, status: int, told: object, **headers: str) -> None:
        self.answer(status, json.dumps(told).encode(), Content_Type="application/json", **headers)


class Api(Handler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.far.page:
            return self.answer(200, b"<html>please sign in</html>", Content_Type="text/html")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer_json(401, {"code": 401, "message": "Unauthenticated"})
        if planned := self.far.take(self.far.api_answers):
            status, headers = planned
            return self.answer_json(status, {"code": status, "message": "later"}, **headers)
        if not self.far.accepted:
            return self.answer_json(403, {"code": 403, "message": "You must accept the rules"})
        if self.path == API + "ListDataFiles":
            return self.list_files(asked)
        assert self.path == API + "DownloadDataFile", self.path
        name = asked["fileName"]
        if name not in self.far.files:
            return self.answer_json(404, {"code": 404, "message": "Not found"})
        served = self.far.served_as.get(name, name)
        return self.answer(302, Location=f"{self.far.storage}/{served}?X-Goog-Signature=abc")

    def list_files(self, asked: dict[str, Any]) -> None:
        names, first = list(self.far.files), int(asked.get("pageToken") or 0)
        size = min(asked.get("pageSize") or 20, 3)  # fewer than asked for, as a server may
        self.far.pages.append(asked.get("pageToken", ""))
        page = names[first : first + size]
        more = str(first + size) if first + size < len(names) else ""
        told = [
            {"ref": n, "name": n, "totalBytes": self.far.sizes.get(n, len(self.far.files[n])),
             "creationDate": "2022-11-28T16:00:00.000Z"} for n in page
        ]  # fmt: skip
        self.answer_json(200, {"files": told, "nextPageToken": more, "childrenFetchTimeMs": 1})


class Storage(Handler):
    def do_GET(self) -> None:
        served = unquote(urlparse(self.path).path[1:])
        back = {served_as: name for name, served_as in self.far.served_as.items()}
        name = back.get(served, served)
        body, asked = self.far.files[name], self.headers.get("Range")
        self.far.storage_headers.append(dict(self.headers))
        if status := self.far.take(self.far.storage_answers):
            self.far.requests.append((name, asked, status))
            self.answer(status)
            return
        digest = hashlib.md5(body).digest()
        etag = self.far.etag or f'"{digest.hex()}"'
        start = 0
        if asked and self.headers.get("If-Range") == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        with self.far.lock:
            false, self.far.false_md5 = self.far.false_md5 > 0, self.far.false_md5 - 1
        md5 = base64.b64encode(b"\0" * 16 if false else digest).decode()
        self.far.requests.append((name, asked, 206 if start else 200))
        self.send_response(206 if start else 200)
        for header, value in {
            "Content-Length": str(len(body) - start), "Accept-Ranges": "bytes", "ETag": etag,
            "Content-Type": "application/octet-stream",
            "x-goog-hash": f"crc32c=AAAAAA==, md5={md5}",
        }.items():  # fmt: skip
            self.send_header(header, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        with suppress(ConnectionError):  # who goes on asks anew for the rest, and hangs up here
            self.send_body(body[start:])

    def send_body(self, body: bytes) -> None:
        cut = self.far.take(self.far.cuts)
        if self.far.slow_seconds:
            for at in range(0, len(body), 65536):
                self.wfile.write(body[at : at + 65536])
                threading.Event().wait(self.far.slow_seconds)
        else:
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


@contextmanager
def serve(far: FarSide) -> Iterator[FarSide]:
    """Run both servers on free ports while the block lasts."""
    servers = []
    for kind in (Api, Storage):
        handler = type(kind.__name__, (kind,), {"far": far})
        server = Server(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
    far.api, far.storage = (f"http://127.0.0.1:{one.server_port}" for one in servers)
    try:
        yield far
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
