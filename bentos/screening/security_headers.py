"""What every answer tells a browser: keep nothing, guess nothing, frame nothing.

The service has two pages. The OpenAPI page's scripts are allowed one by one: its own
files, and the inline start of Swagger UI by its digest. The viewer may run its own files
and ask this service; it has neither inline scripts nor inline styles. Nothing
from another host is ever loaded. ``Strict-Transport-Security`` belongs to the
proxy that speaks TLS.
"""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DOCS, VIEWER = "/docs", "/"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SHUT = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
VIEWER_POLICY = (
    f"{SHUT}; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'"
)
INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
KEPT_PATHS = ("/docs/assets/", "/viewer/")
"""Files that are the same for everybody; everything else must not lie in a cache."""
CHECKED_PATHS = re.compile(r"/v1/exams/[^/]+/images/[^/]+/(?:pixels|heat\.png|voi_lut)")
"""Images: a browser may keep one of 25 MB, and asks each time whether it may show it."""
DROPPED = ("server", "x-powered-by")


def docs_policy(page: bytes) -> str:
    """Return the Content-Security-Policy under which this OpenAPI page works."""
    digests = [hashlib.sha256(script).digest() for script in INLINE_SCRIPT.findall(page)]
    allowed = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in digests)
    return (
        f"{SHUT}; script-src 'self' {allowed}".rstrip()
        # Swagger UI sets styles on elements and draws its icons from data: URLs
        + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'"
    )


class SecurityHeaders:
    """ASGI middleware, outside of what may refuse: sets the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the head of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, held = str(scope["path"]), None

        async def send_safe(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                _complete(message, path)
                if path == DOCS:  # its policy depends on what the page holds
                    held = message
                    return
            elif held is not None:
                policy = docs_policy(message.get("body", b""))
                MutableHeaders(scope=held)["Content-Security-Policy"] = policy
                await send(held)
                held = None
            await send(message)

        await self._app(scope, receive, send_safe)


def _complete(start: Message, path: str) -> None:
    headers = MutableHeaders(scope=start)
    for name in DROPPED:
        del headers[name]
    headers.update(ALWAYS)
    headers["Content-Security-Policy"] = VIEWER_POLICY if path == VIEWER else SHUT
    if CHECKED_PATHS.fullmatch(path) and start["status"] in (200, 304):
        headers["Cache-Control"] = "private, no-cache"
    elif not path.startswith(KEPT_PATHS):
        headers["Cache-Control"] = "no-store"
