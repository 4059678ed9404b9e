"""How the client talks to the service: tries again where that is safe, and names what failed."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from mammo.contract import Problem
from mammo.errors import AnswerUnreadable, MammoError, Overloaded, ServiceUnreachable, TokenInvalid

TRIED_AGAIN = frozenset((429, 502, 503))
"""Overload, a release that still loads, and a proxy whose service restarts."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
OWN_MISTAKES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""Errors that another try cannot mend."""
CONNECT_SECONDS = 10.0
NO_ADDRESS = "The address of a service has the form http://host:3000 or https://host."
ELSEWHERE = "Is a proxy or another server at this address?"
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What a bearer token may hold (RFC 6750 section 2.1)."""
M = TypeVar("M", bound=BaseModel)
_log = logging.getLogger("mammo.client")


class RemoteError(MammoError):
    """The service refused with a code that this version of the library does not know."""


class Transport:
    """Sends requests to one service; safe to use from several threads.

    A request is sent again, at most ``tries`` times and for ``timeout_seconds``
    in all, when no answer came or the answer says to come again; after
    ``Retry-After`` where there is one, else after a pause that doubles. Every
    request of `Screening` may safely be sent twice.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout_seconds: float,
        tries: int,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._tries, self._timeout_seconds = tries, timeout_seconds
        _require_token(token)
        try:
            self._http = httpx.Client(
                base_url=url.rstrip("/"),
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=httpx.Timeout(
                    timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)
                ),
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise ServiceUnreachable(NO_ADDRESS) from error
        if token:
            _warn_of_plain_text(self._http.base_url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Return the answer to a request, when it is a good one.

        Raises
        ------
        ServiceUnreachable
            No answer came.
        MammoError
            The service refused: the error of its code in `mammo.errors`, or a
            `RemoteError` with that code where there is none.
        """
        answer = self._try(lambda: self._http.request(method, path, **content))
        if not answer.is_success:
            raise error_of(answer)
        return answer

    def _try(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        pauses, until = _pauses(), time.monotonic() + self._timeout_seconds
        for left in reversed(range(self._tries)):
            answer, failure = _send(send)
            if answer is not None and answer.status_code not in TRIED_AGAIN:
                return answer
            pause = next(pauses)
            if answer is not None:
                pause = retry_after_seconds(answer.headers) or pause
            if left and time.monotonic() + pause < until:
                time.sleep(pause)
                continue
            if answer is not None:
                return answer
            raise ServiceUnreachable(
                f"No answer from {self._http.base_url.host} after {self._tries - left} tries: "
                f"{type(failure).__name__}. Is the service up, and is this its address?"
            ) from failure
        raise AssertionError("tries is at least 1")


def _send(
    send: Callable[[], httpx.Response],
) -> tuple[httpx.Response | None, httpx.HTTPError | None]:
    try:
        return send(), None
    except OWN_MISTAKES as error:
        raise ServiceUnreachable(NO_ADDRESS) from error
    except httpx.TransportError as error:
        return None, error
    except httpx.HTTPError as error:
        raise AnswerUnreadable(
            f"The answer could not be read ({type(error).__name__}). {ELSEWHERE}"
        ) from error


def _pauses() -> Iterator[float]:
    """Yield pauses that double, each shortened by chance, so that callers do not come at once."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return ``Retry-After`` in seconds from now, given as such or as a date (RFC 9110 10.2.3)."""
    told = headers.get("retry-after", "").strip()
    if told.isdecimal():
        return float(told)
    try:
        then = parsedate_to_datetime(told)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def read_answer(model: type[M], answer: httpx.Response) -> M:
    """Return the answer's body as a model. Raises AnswerUnreadable."""
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        wrong = ", ".join(".".join(str(at) for at in one["loc"]) for one in error.errors()[:5])
        raise AnswerUnreadable(
            f"The answer ({answer.status_code}) is not this service's or of another version: "
            f"{wrong or 'the body'} does not fit. {ELSEWHERE}"
        ) from None  # its text could quote what was answered


def error_of(answer: httpx.Response) -> MammoError:
    """Return the error that a refusal names; its class where this library has one."""
    try:
        error = problem_error(Problem.model_validate_json(answer.content))
    except ValidationError:
        return AnswerUnreadable(
            f"The service answered {answer.status_code} without saying why. {ELSEWHERE}"
        )
    if isinstance(error, Overloaded):
        error.retry_after_seconds = round(retry_after_seconds(answer.headers) or 1)
    return error


def problem_error(problem: Problem) -> MammoError:
    """Return the error of a problem, with its code, status and message."""
    kind = _known_errors().get(problem.code)
    if kind is None or kind.http_status != problem.status:
        told = {"code": problem.code, "http_status": problem.status, "__doc__": RemoteError.__doc__}
        kind = type("RemoteError", (RemoteError,), told)
    error = kind(problem.detail)
    if isinstance(problem.refused, list):
        error.refused = tuple(problem.refused)  # type: ignore[attr-defined]
    return error


@cache
def _known_errors() -> dict[str, type[MammoError]]:
    """Return the errors of the tree by their code; built when first asked for."""

    def below(kind: type[MammoError]) -> Iterator[type[MammoError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    named = [kind for kind in below(MammoError) if kind.__module__ == "mammo.errors"]
    return {kind.code: kind for kind in reversed(named)}


def _require_token(token: str | None) -> None:
    if token and not TOKEN.fullmatch(token):
        raise TokenInvalid(
            "The token holds characters that no token has; `mammo token add` printed it in one "
            "line, without quotes."
        )


def _warn_of_plain_text(url: httpx.URL) -> None:
    near = url.host in ("localhost", "::1") or url.host.startswith("127.")
    if url.scheme == "http" and not near:
        _log.warning(
            "the token and the mammograms go over the network in plain text; use an https address"
        )
