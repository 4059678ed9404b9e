"""A mailbox and a webhook on this machine, which keep what an Alertmanager sends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, TypeVar

from aiosmtpd.controller import Controller

from flows.servers import HOST, free_port

LOOK_SECONDS = 0.2
Found = TypeVar("Found")


@dataclass
class Receivers:
    """An SMTP server and an HTTP server on free ports; ``folder`` gets a file for each message.

    ``mails`` and ``calls`` (JSON bodies of the webhook) are in the order in which they came.
    """

    folder: Path
    mails: list[EmailMessage] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        # port 0 would be asked for by name in the controller's own check of itself
        self._web = ThreadingHTTPServer((HOST, 0), _handler(self._keep_call))
        threading.Thread(target=self._web.serve_forever, daemon=True).start()
        self._smtp = Controller(_Mailbox(self._keep_mail), hostname=HOST, port=free_port())
        self._smtp.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._smtp.stop()
        self._web.shutdown()
        self._web.server_close()

    @property
    def smtp_address(self) -> str:
        """``host:port`` of the mail server."""
        return f"{HOST}:{self._smtp.port}"

    @property
    def webhook_url(self) -> str:
        """Where the webhook is called."""
        return f"http://{HOST}:{self._web.server_port}"

    def _keep_mail(self, content: bytes) -> None:
        mail = message_from_bytes(content, policy=policy.default)
        self.mails.append(mail)
        place = self.folder / f"mail-{len(self.mails)}"
        place.with_suffix(".eml").write_bytes(content)
        place.with_suffix(".html").write_text(body_of(mail, "html"))

    def _keep_call(self, body: dict[str, Any]) -> None:
        self.calls.append(body)
        place = self.folder / f"webhook-{len(self.calls)}.json"
        place.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")

    def wait_for_mail(self, words: str, seconds: float) -> EmailMessage | None:
        """Return the first mail with ``words`` in its subject; None where none comes in time."""
        return _wait(lambda: _first(self.mails, lambda one: words in str(one["subject"])), seconds)

    def wait_for_call(self, status: str, alert: str, seconds: float) -> dict[str, Any] | None:
        """Return the first call about ``alert`` in ``status`` (firing, resolved), or None."""

        def is_it(call: dict[str, Any]) -> bool:
            names = [one["labels"]["alertname"] for one in call["alerts"]]
            return call["status"] == status and alert in names

        return _wait(lambda: _first(self.calls, is_it), seconds)


def body_of(mail: EmailMessage, kind: str) -> str:
    """Return the ``plain`` or ``html`` body of a mail, "" where it has none."""
    part = mail.get_body((kind,))
    return "" if part is None else str(part.get_content())


def _first(things: list[Found], is_it: Callable[[Found], bool]) -> Found | None:
    return next((one for one in list(things) if is_it(one)), None)


def _wait(look: Callable[[], Found | None], seconds: float) -> Found | None:
    deadline = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return found


class _Mailbox:
    """Takes every mail (the handler of aiosmtpd)."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        self._keep = keep

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self._keep(envelope.content)
        return "250 kept"


def _handler(keep: Callable[[dict[str, Any]], None]) -> type[BaseHTTPRequestHandler]:
    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            keep(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: what came is kept and shown."""

    return Webhook
