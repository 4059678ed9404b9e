"""The outer edge: errors become problem+json, requests become log lines and counts."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.screening import schema
from bentos.screening.metrics import CLIENT_GONE, Metrics
from bentos.screening.rollout import Rollout
from mammo import telemetry
from mammo.errors import MammoError, NotReady, OutcomeInvalid, RequestError

QUIET_PATHS = ("/healthz", "/livez", "/readyz", "/metrics")
"""Paths that are asked every few seconds."""
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
"""RFC 9110 section 9, RFC 5789."""
RETRY_AFTER_SECONDS = 5
_log = logging.getLogger("mammo.service")


def add_errors(app: FastAPI, rollout: Rollout, metrics: Metrics) -> None:
    """Answer every error of the tree, and of the framework, as problem+json."""

    def answer(problem: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
        metrics.refusals.labels(problem["code"]).inc()
        return JSONResponse(problem, problem["status"], headers, media_type=schema.PROBLEM)

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, MammoError)
        problem = error.problem()
        refusal = rollout.refused
        if isinstance(error, NotReady) and refusal is not None:
            problem["refused"] = refusal.to_dict()
        elif refused := getattr(error, "refused", ()):
            problem["refused"] = schema.name_refused(refused, request.state.file_names)
            metrics.count_refused(refused)
        return answer(problem, come_again(error))

    async def refuse_fields(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if all(one["loc"][0] == "query" for one in error.errors()):
            told = (f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
            return await refuse(
                request, RequestError(f"The query is malformed: {'; '.join(told)}.")
            )
        return await refuse(request, OutcomeInvalid(_describe(error.errors())))

    async def refuse_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, MammoError):  # raised while the framework read the body
            return await refuse(request, error.__cause__)
        if error.status_code == 400:  # the framework could not even decode the body
            return await refuse(request, RequestError("The body is no JSON in UTF-8."))
        code, detail = f"HTTP_{error.status_code}", str(error.detail)
        problem = {"type": "about:blank", "title": detail, "code": code, "detail": detail}
        headers = dict(error.headers or {})
        if error.status_code == 405:  # the framework names those of the first route alone
            headers["Allow"] = _allowed(app, request)
        return answer(problem | {"status": error.status_code}, headers)

    app.add_exception_handler(MammoError, refuse)
    app.add_exception_handler(RequestValidationError, refuse_fields)
    app.add_exception_handler(HTTPException, refuse_http)


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods of every route of this path (RFC 9110 section 10.2.1)."""
    here = (one for one in app.routes if one.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({name for one in here for name in getattr(one, "methods", None) or ()}))


def come_again(error: MammoError) -> dict[str, str]:
    """Return Retry-After (RFC 9110 section 10.2.3) for what passes by itself."""
    if error.http_status not in (429, 503):
        return {}
    return {"Retry-After": str(getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS))}


def _describe(errors: Any) -> str:
    """Say which field of which outcome is wrong, and how; never what it held."""
    # a body may be an object or a list; what fits neither is told for the one that was sent
    inner = [error for error in errors if len(error["loc"]) > 2] or errors
    kinds = ("body", "OutcomeIn", "list[OutcomeIn]")
    lines = [
        f"{'.'.join(str(part) for part in error['loc'] if part not in kinds) or 'body'}: "
        f"{error['msg']}"
        for error in inner
    ]
    return f"{'; '.join(dict.fromkeys(lines[:10]))}. Nothing was stored."


class Watch:
    """ASGI middleware, outermost: access log, request count, and the last resort.

    The log has the route's template, not the path: a caller may put anything
    into a path. An unexpected error is logged with its type and its place in
    the code, without its text, which could quote a header.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with telemetry.current().request() as tell:
            try:
                await self._app(scope, receive, send_noted)
            except Exception as error:  # noqa: BLE001 - the outermost edge
                _log_unexpected(error)
                if not status:
                    problem = MammoError("The request failed inside the service; it was logged.")
                    response = JSONResponse(problem.problem(), 500, media_type=schema.PROBLEM)
                    await response(scope, receive, send_noted)
            tell(_method(scope), _route(scope), status or CLIENT_GONE)
        self._note(scope, status or CLIENT_GONE, 1000 * (time.perf_counter() - started))

    def _note(self, scope: Scope, status: int, milliseconds: float) -> None:
        method, route = _method(scope), _route(scope)
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.request_seconds.labels(route).observe(milliseconds / 1000)
        if scope.get("state", {}).get("waits_for_score"):
            self._metrics.time_exam(status, milliseconds / 1000)
        level = logging.DEBUG if route in QUIET_PATHS else logging.INFO
        _log.log(level, "%s %s %d %.0f ms", method, route, status, milliseconds)


def _method(scope: Scope) -> str:
    """Return the method; what is none of HTTP's is `other`: a caller may put any word there."""
    method = str(scope["method"])
    return method if method in METHODS else "other"


def _route(scope: Scope) -> str:
    """Return the template of the route; what has none is `other`."""
    return str(getattr(scope.get("route"), "path", "other"))


def _log_unexpected(error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = " > ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames)
    _log.error("unexpected %s at %s", type(error).__name__, places)


class OwnRoutes:
    """ASGI middleware around the server: every request is answered by our app.

    The server has routes of its own (health, metrics, pages, a call by pickled
    bodies where a service has methods), which would pass by `Access`.
    """

    def __init__(
        self, app: ASGIApp, own: Callable[[Scope, Receive, Send], Awaitable[None]]
    ) -> None:
        self._app = app
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave to the server what is not a request: its own start and end."""
        await (self._app if scope["type"] == "lifespan" else self._own)(scope, receive, send)


class Untimed:
    """ASGI middleware in the place of BentoML's time limit, which is not wanted here.

    That one starts a timer with each request and lets it run out although the
    request was answered: 3 to 6 KB each, kept for the whole limit. It also counts the
    upload. An exam has a deadline of its own (`mammo.patience`), and a body its pace.
    """

    def __init__(self, app: ASGIApp, timeout: float) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._app(scope, receive, send)
