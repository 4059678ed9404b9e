"""Who may call which route: bearer tokens with roles, and nothing else lets in.

`Access` belongs outside of everything that reads a body, and inside of what
counts and logs (`Watch`) and of `SecurityHeaders`:

    app.add_middleware(BodyLimit, ...)
    app.add_middleware(Access, settings=settings, tokens=TokenStore(settings.tokens_path))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Watch, ...)

A route that is not in `RULES` needs ``read`` to be looked at and ``operate`` for
anything else, so that a forgotten one is shut. Paths that the server around this
app answers by itself are not seen here: `OwnRoutes` must give them to the app.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.screening.access_rules import (
    RULES,
    find_rule,
    is_loopback,
    may_be_open,
    roles_for,
    secure,
)
from bentos.screening.security_headers import SecurityHeaders
from mammo.contract import PROBLEM
from mammo.errors import (
    HostForeign,
    JobUnknown,
    MammoError,
    OriginForeign,
    RoleMissing,
    TokenInvalid,
    TokenMissing,
    TokensUnreadable,
    UnsupportedBody,
)
from mammo.settings import Settings
from mammo.tokens import ROLES, TokenStore

__all__ = [
    "RULES",
    "Access",
    "Caller",
    "SecurityHeaders",
    "caller_of",
    "require_own",
    "secure",
    "warn_of_access",
]

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
PICKLES = ("pickle", "joblib", "dill", "python-object")
"""Parts of content types of which reading could run somebody's code."""
_log = logging.getLogger("mammo.service")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of the token, and its roles; ``local`` has none to show."""

    name: str
    roles: frozenset[str]


LOCAL = Caller("local", frozenset(ROLES))
ANONYMOUS = Caller("anonymous", frozenset())


def caller_of(scope: Scope) -> Caller:
    """Return who asks, as `Access` found out."""
    found: Caller = scope.get("state", {}).get("caller", ANONYMOUS)
    return found


def require_own(caller: Caller, asked_by: str) -> None:
    """Raise JobUnknown unless a job is the caller's own, or the caller may read all.

    The id of a job can be found from its caller's name and a guessed
    Idempotency-Key, so that knowing it proves nothing.
    """
    if caller.name != asked_by and "read" not in caller.roles:
        raise JobUnknown("No job of this caller has this id.")


class Access:
    """ASGI middleware that lets a request in or refuses it, before its body is read.

    Without a token only while ``MAMMO_AUTH`` is ``auto``, the service listens on
    a loopback address, the connection came over one and through no proxy, and no
    token was ever made. Then a page in a browser of this machine is the one who
    could ask in somebody's place: Host must name a loopback address, and Origin,
    where there is one, this service.

    ``on_refused`` is told the code of each refusal and who asked, to be counted
    and audited. `caller_of` gives who was let in.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        tokens: TokenStore,
        on_refused: Callable[[str, Caller, Scope], None] | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._tokens = tokens
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer with the refusal."""
        if scope["type"] == "websocket":  # there are none here
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            try:
                self._admit(scope, Headers(scope=scope))
            except MammoError as error:
                await self._refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, headers: Headers) -> None:
        state = scope.setdefault("state", {})
        state["caller"] = ANONYMOUS
        _refuse_pickle(headers)
        needed = roles_for(scope["method"], scope["path"])
        if self._is_open(scope, headers):
            if needed:
                _require_own_page(headers)
            state["caller"] = LOCAL
        elif needed:
            state["caller"] = self._require(headers, state, needed)

    def _is_open(self, scope: Scope, headers: Headers) -> bool:
        return _is_local(scope, headers) and may_be_open(self._settings, self._tokens)

    def _require(self, headers: Headers, state: dict[str, Any], needed: frozenset[str]) -> Caller:
        token = self._tokens.find(_bearer(headers))
        if token is None:
            raise TokenInvalid("The token is none of this service's, or was revoked.")
        caller = state["caller"] = Caller(token.name, frozenset(token.roles))
        if caller.roles.isdisjoint(needed):
            wanted = " or ".join(sorted(needed))
            raise RoleMissing(
                f"This needs the role {wanted}; the token {token.name} has "
                f"{', '.join(token.roles)}. `mammo token add NAME --role ROLE` makes another one."
            )
        return caller

    async def _refuse(self, error: MammoError, scope: Scope, receive: Receive, send: Send) -> None:
        rule = scope["route"] = find_rule(scope["method"], scope["path"])  # for log and counts
        if self._on_refused is not None:
            self._on_refused(error.code, caller_of(scope), scope)
        headers = _challenge(error, rule.roles)
        answer = JSONResponse(error.problem(), error.http_status, headers, media_type=PROBLEM)
        await answer(scope, receive, send)


def warn_of_access(settings: Settings, tokens: TokenStore) -> None:
    """Tell at every start when nobody is asked for a token, or nobody has a good one."""
    if may_be_open(settings, tokens):
        _log.warning(
            "access is OPEN to everybody with an account on this machine: no token was made. "
            "`mammo token add NAME --role predict` shuts it, MAMMO_AUTH=on whatever else holds"
        )
        return
    try:
        if not tokens.list():
            _log.warning("nobody can call: there is no token; `mammo token add` makes one")
    except TokensUnreadable as error:
        _log.error("nobody can call: %s", error.message)


def _bearer(headers: Headers) -> str:
    """Return the token that a request shows (RFC 6750 section 2.1; never from the URL)."""
    shown = headers.getlist("authorization")
    if not shown:
        raise TokenMissing(
            "Show a token as `Authorization: Bearer TOKEN`; `mammo token add` makes one."
        )
    scheme, _, secret = shown[0].partition(" ")
    if len(shown) > 1 or scheme.lower() != "bearer" or not secret.strip():
        raise TokenInvalid("One header `Authorization: Bearer TOKEN` is needed, and no other.")
    return secret.strip()


def _challenge(error: MammoError, needed: frozenset[str]) -> dict[str, str]:
    """Return the header in which a refusal says what it wants (RFC 6750 section 3)."""
    told = {
        "TOKEN_MISSING": "",
        "TOKEN_INVALID": ', error="invalid_token"',
        "ROLE_MISSING": f', error="insufficient_scope", scope="{" ".join(sorted(needed))}"',
    }
    known = error.code in told
    return {"WWW-Authenticate": f'Bearer realm="mammo"{told[error.code]}'} if known else {}


def _is_local(scope: Scope, headers: Headers) -> bool:
    """True when the connection itself came from this machine, through no proxy that says so."""
    ends = [scope.get("server"), scope.get("client")]
    return all(end and is_loopback(str(end[0])) for end in ends) and not any(
        name in headers for name in FORWARDED
    )


def _require_own_page(headers: Headers) -> None:
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not is_loopback(_hostname(host)):
        raise HostForeign(
            "Without tokens the Host header must be localhost or a loopback address; "
            "`mammo token add NAME --role predict` makes a token for callers by another name."
        )
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise OriginForeign("A page of another origin may not ask here without a token.")


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets that do not close
        return ""


def _refuse_pickle(headers: Headers) -> None:
    kind = headers.get("content-type", "").lower()
    if any(part in kind for part in PICKLES):
        raise UnsupportedBody(
            "Pickled objects are never read here: reading one can run its sender's code."
        )
