"""How much body may come, and how slowly: a caller cannot hold a place by sending nothing."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.screening.received import MB, above_limit
from mammo.errors import RequestTimeout, TooLarge

JSON_LIMIT_MB = 16
IDLE_SECONDS = 30.0
"""How long the next piece of a body is waited for."""
LEAST_KB_PER_SECOND = 32.0
"""On average, once the body has come for IDLE_SECONDS: a quarter of a megabit a second."""


class BodyLimit:
    """ASGI middleware: bounds size, pauses and slowness of a request's body.

    A stated length above the limit is refused before a byte is read, an
    unstated one at the first byte above. The server throws away what still
    comes after the answer; after a body that was too slow it closes the
    connection. Once the body has come, waiting is not bounded: to wait for more
    is then how an app learns that the caller left.
    """

    def __init__(
        self,
        app: ASGIApp,
        exams_path: str,
        max_request_mb: int,
        idle_seconds: float = IDLE_SECONDS,
        least_kb_per_second: float = LEAST_KB_PER_SECOND,
        stow_path: str = "/dicom-web/studies",
    ) -> None:
        self._app = app
        self._exams_path, self._stow_path = exams_path, stow_path
        self._max_request_mb = max_request_mb
        self._idle_seconds = idle_seconds
        self._least_kb_per_second = least_kb_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counted and timed body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        images = path == self._exams_path or f"{path}/".startswith(f"{self._stow_path}/")
        limit = (self._max_request_mb if images else JSON_LIMIT_MB) * MB
        body = _Body(receive, limit, self._idle_seconds, self._least_kb_per_second)
        body.state(dict(scope["headers"]).get(b"content-length", b""))

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and body.too_slow:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, body.receive, send_closing)


class _Body:
    """The body of one request, counted and timed."""

    def __init__(
        self, receive: Receive, limit: int, idle_seconds: float, least_kb_per_second: float
    ) -> None:
        self._receive, self._limit, self._idle_seconds = receive, limit, idle_seconds
        self._least = 1024 * least_kb_per_second
        self._stated = self._came = 0
        self._began = time.monotonic()
        self._whole = self.too_slow = False

    def state(self, length: bytes) -> None:
        """Note the length that the caller states, if any."""
        self._stated = int(length) if length.isdigit() else 0

    async def receive(self) -> Message:
        """Return the next message. Raises TooLarge and RequestTimeout."""
        if self._whole:
            return await self._receive()
        self._require_within()
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError:
            self._refuse_slow(f"no byte of the body came for {self._idle_seconds:g} s")
        self._came += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        self._require_within()
        self._require_pace()
        return message

    def _require_within(self) -> None:
        if max(self._stated, self._came) > self._limit:
            raise TooLarge(above_limit("The request", self._limit))

    def _require_pace(self) -> None:
        seconds = time.monotonic() - self._began
        if not self._whole and seconds > self._idle_seconds and self._came < seconds * self._least:
            self._refuse_slow(f"the body came with less than {self._least / 1024:g} KB a second")

    def _refuse_slow(self, what: str) -> None:
        self.too_slow = True
        raise RequestTimeout(f"The request was given up: {what}. Nothing was scored.")
